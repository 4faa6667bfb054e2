//! Certificates, and those who sign them, that change while the server runs: at the port for agents, and on the way to
//! agents. What people see of it at their port is in `tls`.

use std::fs;

use mirastack_tests::process::Stream;

use super::agents::{self, SETTINGS, hears, says};
use super::{Ground, Signer, put};

#[tokio::test]
async fn the_port_for_agents_has_a_renewed_certificate_without_a_restart() {
    let ground = Ground::new(None).await.expect("it starts");
    let next = Signer::new().expect("keys can be made");
    let at = ground.server.grpc().to_string();
    let shown = hears(&ground.signer, &at, None).await;
    assert_eq!(shown.expect("it is believed"), SETTINGS);
    let early = hears(&next, &at, None).await;
    early.expect_err("somebody else has signed for it");
    put(ground.folder.path(), next.sign().expect("signed")).expect("writable");
    let shown = hears(&next, &at, None).await;
    assert_eq!(shown.expect("it is believed"), SETTINGS);
    let late = hears(&ground.signer, &at, None).await;
    late.expect_err("the one before is not shown any more");
}

#[tokio::test]
async fn who_signs_for_clients_changes_at_both_ports_without_a_restart() {
    let (before, next) = (Signer::new(), Signer::new());
    let (before, next) = (before.expect("keys"), next.expect("keys"));
    let ground = Ground::new(Some(&before)).await.expect("it starts");
    let at = ground.server.grpc().to_string();
    // Whether somebody with a certificate of this one is let in, for people and for agents.
    let let_in = async |by: &Signer| {
        let own = || Some(by.sign().expect("signed"));
        let http = ground.answers(&ground.signer, own()).await;
        let grpc = hears(&ground.signer, &at, own()).await;
        (http.expect("it answers"), grpc.is_ok())
    };
    assert_eq!(let_in(&before).await, (true, true));
    assert_eq!(let_in(&next).await, (false, false));
    let path = ground.folder.path().join("client-ca.pem");
    fs::write(&path, &next.pem).expect("writable");
    assert_eq!(let_in(&next).await, (true, true));
    assert_eq!(let_in(&before).await, (false, false));
    // While the old ones are replaced, both may be in the file.
    let both = format!("{}{}", before.pem, next.pem);
    fs::write(&path, both).expect("writable");
    assert_eq!(let_in(&next).await, (true, true));
    assert_eq!(let_in(&before).await, (true, true));
}

#[tokio::test]
async fn who_signs_for_agents_changes_without_a_restart() {
    let ground = agents::Ground::new(true).await.expect("it starts");
    let next = Signer::new().expect("keys can be made");
    let named = |name: &str| ground.folder.path().join(name);
    // Both may speak to the engine. Whom it calls is told by the other file.
    let both = format!("{}{}", ground.signer.pem, next.pem);
    fs::write(named("clients.pem"), both).expect("writable");
    let (early, _kept) = ground.agent(&next, &ground.signer).expect("it starts");
    says(&early, "could not register").await.expect("refused");
    let log = early.output(Stream::Stderr).expect("ours");
    assert!(log.contains("invalid peer certificate"), "{log}");

    fs::write(named("agents.pem"), &next.pem).expect("writable");
    says(&early, "registered").await.expect("it tries again");
    let ended = ground.ended().await.expect("it ends");
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let (late, _kept) = ground
        .agent(&ground.signer, &ground.signer)
        .expect("it starts");
    says(&late, "could not register").await.expect("refused");
    let log = late.output(Stream::Stderr).expect("ours");
    assert!(log.contains("invalid peer certificate"), "{log}");
}
