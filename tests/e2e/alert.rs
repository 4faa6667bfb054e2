//! A real alert goes all the way to an approved silence, counted by proxies between the agents and their servers.

use http::Method;
use mirastack_tests::api::Api;
use mirastack_tests::cluster::Cluster;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::person;
use mirastack_tests::proxy::{CountingProxy, Seen};
use mirastack_tests::story::{ALERT, Product, Story};
use serde_json::Value;

const TOKEN: &str = "a-token-of-the-hook";

/// The story at the point where its run asks.
struct Asking {
    story: Story,
    prometheus: CountingProxy,
    alertmanager: CountingProxy,
    api: Api,
    run: String,
}

/// The product in one process.
async fn one() -> Product {
    let mirastack = Mirastack::start(Setup::default()).await;
    Product::One(Box::new(mirastack.expect("it starts")))
}

async fn asking(product: Product) -> Asking {
    let story = Story::start(product, TOKEN).await;
    let mut story = story.expect("all of it starts");
    let prometheus = CountingProxy::start(story.prometheus.address()).await;
    let prometheus = prometheus.expect("a port is free");
    let alertmanager = CountingProxy::start(story.alertmanager.address()).await;
    let alertmanager = alertmanager.expect("a port is free");
    let (metrics, alerts) = (prometheus.url(), alertmanager.url());
    let miractl = story.product.miractl().await.expect("it was built");
    let connected = story.connect(&miractl, TOKEN, &metrics, &alerts).await;
    connected.expect("the examples are valid");
    story.watched().await.expect("the target is scraped");
    story.target.go_down();
    let api = story.product.api().await.expect("the key is good");
    let run = story.run(&api).await.expect("the alert starts a run");
    person::asked(&api, &run).await.expect("it asks");
    Asking {
        story,
        prometheus,
        alertmanager,
        api,
        run,
    }
}

fn posts(proxy: &CountingProxy) -> usize {
    proxy.count(|seen| seen.is(&Method::POST, "/api/v2/silences"))
}

fn queries(seen: &Seen) -> bool {
    seen.path == "/api/v1/query_range"
}

#[tokio::test]
async fn an_alert_becomes_one_silence_and_no_more_once_a_person_agrees() {
    silences_once(asking(one().await).await).await;
}

#[tokio::test]
async fn on_a_cluster_an_alert_becomes_one_silence_and_no_more_too() {
    let cluster = Cluster::start().await.expect("it starts");
    silences_once(asking(Product::Many(Box::new(cluster))).await).await;
}

async fn silences_once(asking: Asking) {
    assert_eq!(posts(&asking.alertmanager), 0, "nobody has agreed");
    assert_eq!(asking.prometheus.count(queries), 1);

    let Asking {
        story, api, run, ..
    } = &asking;
    person::approves(api, run).await.expect("it asks");
    let ended = person::ended(api, run).await.expect("it ends");
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let silences = story.alertmanager.silences().await.expect("it answers");
    let [silence] = silences.as_slice() else {
        panic!("one silence, not {silences:?}");
    };
    assert_eq!(ended["outputs"]["silence"], silence["id"]);
    assert_eq!(silence["status"]["state"], "active");
    let matchers = silence["matchers"].as_array().expect("it has some");
    let alertname = |matcher: &Value| matcher["name"] == "alertname" && matcher["value"] == ALERT;
    assert!(matchers.iter().any(alertname), "{silence}");
    story
        .alert("suppressed")
        .await
        .expect("the alert is silenced");
    assert_eq!(posts(&asking.alertmanager), 1);
    assert_eq!(asking.prometheus.count(queries), 1, "READ was not repeated");
    let runs = api
        .get("/api/v1/runs?hook=alerts")
        .await
        .expect("it answers");
    let runs = runs.ok().expect("they may be read");
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1), "{runs}");
}

#[tokio::test]
async fn the_end_of_the_alert_cancels_the_run_that_waits_and_withdraws_its_question() {
    let asking = asking(one().await).await;
    let asked = person::asked(&asking.api, &asking.run).await;
    let asked = asked.expect("it still asks");
    asking.story.target.come_up();
    let ended = person::ended(&asking.api, &asking.run).await;
    let ended = ended.expect("it ends without a person");
    assert_eq!(ended["status"], "cancelled", "{ended}");
    let id = asked["id"].as_str().expect("an approval has an id");
    let path = format!("/api/v1/approvals/{id}");
    let approval = asking.api.get(&path).await.expect("it answers");
    let approval = approval.ok().expect("it may be read");
    assert_eq!(approval["state"], "withdrawn", "{approval}");
    assert_eq!(posts(&asking.alertmanager), 0);
}
