//! Prometheus and Alertmanager are real, and an alert goes all the way.

use anyhow::{Result, ensure};
use http::Method;
use mirastack_tests::alertmanager::{Alertmanager, Webhook};
use mirastack_tests::prometheus::{Prometheus, Rule, Watch};
use mirastack_tests::proxy::{CountingProxy, Stage};
use mirastack_tests::receiver::{Received, Receiver};
use mirastack_tests::target::Target;
use mirastack_tests::wait::until;
use serde_json::json;

fn webhook(receiver: &Receiver) -> Webhook {
    Webhook {
        name: "mirastack".to_owned(),
        url: receiver.url(),
        bearer: Some("secret-of-the-hook".to_owned()),
    }
}

fn target_down() -> Rule {
    let rule = Rule::new("TargetDown", "up == 0").label("severity", "page");
    rule.annotation("summary", "{{ $labels.instance }} does not answer")
}

fn status(received: &Received) -> &str {
    received.body["status"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn an_alert_fires_through_to_the_receiver_and_resolves() {
    let mut receiver = Receiver::start().await.expect("a port is free");
    let alertmanager = Alertmanager::start(&[webhook(&receiver)])
        .await
        .expect("Alertmanager starts");
    let proxy = CountingProxy::start(alertmanager.address())
        .await
        .expect("a port is free");
    let target = Target::start("shop-1").await.expect("a port is free");
    let watch = Watch::default()
        .target(&target)
        .rule(target_down())
        .alertmanager(proxy.address());
    let prometheus = Prometheus::start(&watch).await.expect("Prometheus starts");
    until("the target is seen up", async || {
        seen_up(&prometheus, "1").await
    })
    .await
    .expect("it is scraped");
    assert!(receiver.already().is_none(), "nothing is wrong yet");

    target.go_down();
    let firing = receiver.next().await.expect("the alert fires");
    assert_eq!(status(&firing), "firing");
    assert_eq!(firing.authorization, "Bearer secret-of-the-hook");
    let alert = &firing.body["alerts"][0];
    assert_eq!(alert["labels"]["alertname"], "TargetDown");
    assert_eq!(alert["labels"]["instance"], "shop-1");
    assert_eq!(alert["labels"]["severity"], "page");
    assert_eq!(alert["annotations"]["summary"], "shop-1 does not answer");
    assert!(proxy.count(|seen| seen.is(&Method::POST, "/api/v2/alerts")) > 0);

    target.come_up();
    let resolved = receiver.next().await.expect("the alert resolves");
    assert_eq!(status(&resolved), "resolved");
}

async fn seen_up(prometheus: &Prometheus, value: &str) -> Result<()> {
    let up = prometheus.query("up{instance='shop-1'}").await?;
    ensure!(up[0]["value"][1] == value, "{up}");
    Ok(())
}

#[tokio::test]
async fn a_silence_posted_through_the_proxy_is_real_and_counted() {
    let receiver = Receiver::start().await.expect("a port is free");
    let alertmanager = Alertmanager::start(&[webhook(&receiver)])
        .await
        .expect("Alertmanager starts");
    let proxy = CountingProxy::start(alertmanager.address())
        .await
        .expect("a port is free");
    let silence = json!({
        "matchers": [{ "name": "alertname", "value": "TargetDown", "isRegex": false }],
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "tests", "comment": "key 1",
    });
    let gate = proxy.hold(Stage::Answered, |seen| {
        seen.is(&Method::POST, "/api/v2/silences")
    });
    let url = format!("{}/api/v2/silences", proxy.url());
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("constant settings");
    let (answer, ()) = tokio::join!(client.post(url).json(&silence).send(), async {
        let held = gate.reached().await.expect("it is answered");
        assert_eq!(
            alertmanager.silences().await.expect("it answers").len(),
            1,
            "carried out before the sender knows"
        );
        held.cut();
    });
    answer.expect_err("the answer is lost");
    assert_eq!(proxy.count(|seen| seen.method == Method::POST), 1);
    assert_eq!(
        alertmanager.silences().await.expect("it answers")[0]["comment"],
        "key 1"
    );
}

#[tokio::test]
async fn the_servers_take_another_configuration_and_come_back_at_their_address() {
    let receiver = Receiver::start().await.expect("a port is free");
    let mut alertmanager = Alertmanager::start(&[webhook(&receiver)])
        .await
        .expect("Alertmanager starts");
    let mut prometheus = Prometheus::start(&Watch::default())
        .await
        .expect("Prometheus starts");
    let target = Target::start("shop-1").await.expect("a port is free");
    prometheus
        .reload(&Watch::default().target(&target))
        .await
        .expect("the configuration is right");
    until("the new target is seen", async || {
        seen_up(&prometheus, "1").await
    })
    .await
    .expect("it is scraped");

    let mut other = Receiver::start().await.expect("a port is free");
    alertmanager
        .reload(&[webhook(&other)])
        .await
        .expect("the configuration is right");
    prometheus.process().kill().expect("it runs");
    alertmanager.process().terminate().await.expect("it ends");
    alertmanager
        .start_again()
        .await
        .expect("Alertmanager comes back");
    prometheus
        .start_again()
        .await
        .expect("Prometheus comes back");
    let watch = Watch::default()
        .target(&target)
        .rule(target_down())
        .alertmanager(alertmanager.address());
    prometheus
        .reload(&watch)
        .await
        .expect("the configuration is right");
    target.go_down();
    let told = other
        .next()
        .await
        .expect("the receiver of the new configuration is told");
    assert_eq!(status(&told), "firing");
}
