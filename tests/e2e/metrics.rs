//! What Prometheus has, found out through the agent `metrics`.

use anyhow::{Result, ensure};
use mirastack_tests::api::Api;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::person;
use mirastack_tests::prometheus::{Prometheus, Watch};
use mirastack_tests::target::Target;
use mirastack_tests::wait::until;
use serde_json::{Value, json};

/// What one call of the agent answers.
async fn call(api: &Api, action: &str, params: Value) -> Result<Value> {
    let path = format!("/api/v1/agents/metrics/actions/{action}");
    let made = api.post(&path, &json!({ "params": params })).await?;
    let made = made.with_status(202)?;
    let ended = person::ended(api, made["id"].as_str().unwrap_or_default()).await?;
    ensure!(ended["status"] == "succeeded", "{ended}");
    Ok(ended["steps"][0]["output"].clone())
}

#[tokio::test]
async fn one_finds_out_what_prometheus_has() {
    let shop = Target::start("shop-1").await.expect("a port is free");
    let till = Target::start("till-1").await.expect("a port is free");
    let watch = Watch::default().target(&shop).target(&till);
    let prometheus = Prometheus::start(&watch).await.expect("Prometheus starts");
    until("both targets are seen", async || {
        let up = prometheus.query("target_requests_total").await?;
        ensure!(up.as_array().is_some_and(|all| all.len() == 2), "{up}");
        Ok(())
    })
    .await
    .expect("they are scraped");
    let server = Mirastack::start(Setup::default()).await.expect("it starts");
    let url = format!("metrics_url={}", prometheus.url());
    let set = ["agent", "config-set", "metrics", &url];
    let set = server.miractl().expect("it was built").run(&set).await;
    set.expect("it runs").ok().expect("it is taken");
    let api = server.api().await.expect("the key is good");
    let call = async |action: &str, params| call(&api, action, params).await.expect(action);

    let selector = json!({ "match": ["target_requests_total"] });
    let names = call("label_names", selector.clone()).await;
    assert_eq!(names["names"], json!(["__name__", "instance", "job"]));
    assert_eq!(names["truncated"], json!(false));
    let values = call("label_values", json!({ "label": "instance" })).await;
    assert_eq!(values["values"], json!(["shop-1", "till-1"]));
    let one = json!({ "label": "instance", "limit": 1 });
    let values = call("label_values", one).await;
    assert_eq!(values["values"], json!(["shop-1"]));
    assert_eq!(values["truncated"], json!(true));
    let series = call("series", selector).await;
    let labels = |instance| json!({ "labels": { "__name__": "target_requests_total", "instance": instance, "job": "target" } });
    assert_eq!(
        series["series"],
        json!([labels("shop-1"), labels("till-1")])
    );
    let metadata = call("metadata", json!({ "metric": "target_requests_total" })).await;
    assert_eq!(metadata["metrics"][0]["type"], "counter", "{metadata}");
    let none = call("metadata", json!({ "metric": "nothing" })).await;
    assert_eq!(none["metrics"], json!([]));
}
