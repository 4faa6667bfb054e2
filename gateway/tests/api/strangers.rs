//! Whoever has proven nothing, and keeps nobody out.

use engine::duration::Duration;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::hooks::{alerts, at, deliver, firing, signed};
use crate::support::{World, config};

/// A signature that only the body can disprove.
fn forged() -> String {
    format!("sha256={}", "0".repeat(64))
}

/// Sends all but the last byte of a body that nothing proves.
async fn hold(world: &World, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(world.address).await.expect("it listens");
    let head = format!(
        "POST /hooks/signed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-mirastack-signature: {}\r\ncontent-length: {bytes}\r\n\r\n",
        forged()
    );
    // One that is turned away in the middle need not be told to its end.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&vec![b' '; bytes - 1]).await;
    stream
}

#[tokio::test]
async fn bodies_that_strangers_keep_open_keep_no_other_out() {
    let mut patient = config();
    patient.edge.body_unproven = Duration::from_secs(60);
    patient.edge.body_idle = Duration::from_secs(60);
    let world = World::with(patient).await;
    let signed_hook = json!({"hook": "signed", "type": "generic", "dedupe": "none"});
    let made = world.engineer.post("/api/v1/hooks").json(&signed_hook);
    let secret = made.await.text("secret");
    let mut held = Vec::new();
    for (number, bytes) in [(5, 1024 * 1024), (16, 64 * 1024)] {
        for _ in 0..number {
            held.push(hold(&world, bytes).await);
        }
    }
    // What is left is taken in small pieces, until there is no room for one more.
    let probe = json!({"more": "x".repeat(2_048)});
    loop {
        held.push(hold(&world, 3_072).await);
        let asked = world.nobody.post("/hooks/signed");
        let asked = asked.header("x-mirastack-signature", &forged());
        let asked = asked.json(&probe).await;
        match asked.status {
            401 => assert!(held.len() < 500, "a stranger finds room without end"),
            status => break assert_eq!(status, 503, "{}", asked.body),
        }
    }

    let key = json!({"api_key_id": "otto", "api_secret": "wrong"});
    let log_in = world.nobody.post("/api/v1/auth/token").json(&key).await;
    assert_eq!(log_in.status, 401, "{}", log_in.body);
    let body = json!({"what": "a small one"}).to_string();
    let delivery = world.nobody.post("/hooks/signed");
    let delivery = delivery.header("x-mirastack-signature", &signed(&secret, &body));
    let delivery = delivery.header("content-type", "application/json");
    let taken = delivery.send(Some(body)).await;
    assert_eq!(taken.status, 202, "{}", taken.body);
}

#[tokio::test]
async fn who_has_proven_nothing_keeps_no_other_from_delivering() {
    let mut one = config();
    one.deliveries = 1;
    let world = World::with(one).await;
    let secret = alerts(&world).await;
    let signed = json!({"hook": "signed", "type": "generic", "dedupe": "none"});
    let made = world.engineer.post("/api/v1/hooks").json(&signed).await;
    assert_eq!(made.status, 201, "{}", made.json);
    let mut slow = TcpStream::connect(world.address).await.expect("it listens");
    let head = format!(
        "POST /hooks/signed HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-mirastack-signature: {}\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n",
        forged()
    );
    slow.write_all(head.as_bytes())
        .await
        .expect("it takes bytes");
    // The gateway says this once it waits for the body.
    let mut said = [0; 12];
    slow.read_exact(&mut said).await.expect("it says something");
    assert_eq!(&said, b"HTTP/1.1 100");

    let sender = world.nobody.with_token(&secret);
    let taken = deliver(&sender, json!([firing("Down", &at(1))])).await;
    assert_eq!(taken.status, 202, "{}", taken.json);
}
