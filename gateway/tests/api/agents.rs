//! Agents: looked at, set, asked how they are, called.

use serde_json::{Value, json};

use crate::support::{Answer, Client, World};

#[tokio::test]
async fn an_agent_shows_its_actions_and_settings() {
    let world = World::start().await;
    let agent = world.operator.get("/api/v1/agents/demo").await.json;
    assert_eq!(agent["version"], "1.0.0");
    assert_eq!(agent["state"], "stopped");
    assert_eq!(agent["actions"][1]["permission"], "MODIFY");
    assert_eq!(
        agent["config"],
        json!({"url": null, "token": {"secret": true, "set": false}, "limit": null})
    );
    assert_eq!(world.operator.get("/api/v1/agents").await.items().len(), 1);
    assert_eq!(
        world.operator.get("/api/v1/agents/nope").await.code(404),
        "not_found"
    );
}

#[tokio::test]
async fn settings_are_merged_checked_and_sealed() {
    let world = World::start().await;
    let set = |body: Value| {
        let ask = world.admin.patch("/api/v1/agents/demo/config");
        async move { ask.patch(&body).await }
    };
    let answer = set(json!({"url": "http://x", "token": "canary-1234"})).await;
    assert_eq!((answer.status, answer.header("etag")), (200, "\"1\""));
    assert_eq!(
        answer.json,
        json!({"url": "http://x", "token": {"secret": true, "set": true}, "limit": null})
    );
    let wrong = set(json!({"urll": "x", "limit": "many"})).await;
    assert_eq!(wrong.json["errors"].as_array().map(Vec::len), Some(2));
    assert_eq!(set(json!({"url": null})).await.json["url"], Value::Null);
    let agent = world.operator.get("/api/v1/agents/demo").await;
    assert_eq!(agent.json["config_revision"], 2);
    assert!(!agent.body.contains("canary"));
    let stale = world
        .admin
        .patch("/api/v1/agents/demo/config")
        .header("if-match", "\"1\"");
    assert_eq!(
        stale.patch(&json!({})).await.code(412),
        "precondition_failed"
    );
    let kind = world
        .admin
        .patch("/api/v1/agents/demo/config")
        .json(&json!({}))
        .await;
    assert_eq!(kind.code(415), "unsupported_media_type");
}

#[tokio::test]
async fn an_agent_is_asked_how_it_is() {
    let world = World::start().await;
    let answer = world
        .operator
        .post("/api/v1/agents/demo/health")
        .json(&json!({}))
        .await;
    assert_eq!(
        (answer.status, &answer.json["health"]["healthy"]),
        (200, &json!(true))
    );
    let none = world
        .operator
        .post("/api/v1/agents/nope/health")
        .empty()
        .await;
    assert_eq!(none.code(404), "not_found");
}

async fn call(client: &Client, action: &str, params: Value) -> Answer {
    let ask = client.post(&format!("/api/v1/agents/demo/actions/{action}"));
    ask.json(&json!({"params": params})).await
}

#[tokio::test]
async fn an_ad_hoc_call_is_a_run_of_one_step() {
    let world = World::start().await;
    let started = call(
        &world.operator,
        "read",
        json!({"value": "${{ secrets.x }}"}),
    )
    .await;
    assert_eq!(started.status, 202, "{}", started.json);
    let id = started.text("id");
    world
        .owner
        .succeed(&id, "call", json!({"value": "v"}))
        .await;
    let run = world.settled(&id).await;
    assert_eq!(run["status"], "succeeded");
    assert_eq!(run["workflow"], Value::Null);
    assert_eq!(
        run["inputs"],
        json!({"value": "${{ secrets.x }}"}),
        "nothing was evaluated"
    );
    assert_eq!(run["steps"][0]["output"], json!({"value": "v"}));
}

#[tokio::test]
async fn an_ad_hoc_change_asks_like_any_other() {
    let world = World::start().await;
    assert_eq!(
        call(&world.operator, "change", json!({"value": "v"}))
            .await
            .code(403),
        "forbidden"
    );
    assert_eq!(
        call(&world.engineer, "wipe", json!({"value": "v"}))
            .await
            .code(403),
        "forbidden"
    );
    let id = call(&world.engineer, "change", json!({"value": "v"}))
        .await
        .text("id");
    let run = world.settled(&id).await;
    assert_eq!(run["waiting_for"][0]["kind"], "approval");
    let approvals = world
        .engineer
        .get(&format!("/api/v1/approvals?run={id}"))
        .await;
    assert_eq!(approvals.items()[0]["params"], json!({"value": "v"}));
}

#[tokio::test]
async fn wrong_parameters_start_nothing() {
    let world = World::start().await;
    let wrong = call(&world.operator, "read", json!({"vlaue": "v"})).await;
    assert_eq!(wrong.code(422), "invalid");
    assert_eq!(
        call(&world.operator, "nope", json!({})).await.code(404),
        "not_found"
    );
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 0);
}

#[tokio::test]
async fn the_same_call_under_a_key_is_made_once() {
    let world = World::start().await;
    let ask = || {
        let ask = world.operator.post("/api/v1/agents/demo/actions/read");
        ask.header("idempotency-key", "k")
    };
    let body = json!({"params": {"value": "v"}});
    let first = ask().json(&body).await.text("id");
    let again = ask().json(&body).await;
    assert_eq!(
        (again.text("id"), again.header("idempotency-replayed")),
        (first, "true")
    );
}
