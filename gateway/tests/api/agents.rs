//! Agents: looked at, set, asked how they are, called.

use engine::duration::Duration;
use engine::id::Tenant;
use engine::registry::{self, Kind, encode};
use engine::time::Timestamp;
use serde_json::{Value, json};
use store::clock::Clock;
use store::port::Expect;

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

/// Writes down that an agent registered itself, and an instance of it that is there until then.
async fn register(world: &World, name: &str, until: Timestamp) {
    let registry = &world.backend.registry;
    let agent = json!({
        "manifest": { "name": name, "version": "1", "actions": [] },
        "form": "json", "executable": null, "read_at": world.clock.now(), "unauthenticated": true,
        "metadata_unavailable": "it could not be serialized",
    });
    let tenant = Tenant::default();
    let key = Kind::Agents.key(&tenant, name);
    let bytes = encode(&agent);
    let put = registry.put(&key, &bytes, Expect::Absent);
    put.await.expect("it is new");
    let instance = json!({
        "agent": name, "instance": "one", "worker": "w", "version": "1", "address": "127.0.0.1:1", "form": "json",
        "state": "ready", "since": world.clock.now(), "restarts": 0, "last_error": null, "next_start": null,
        "health": null, "actions": {}, "note": null, "expires_at": until,
    });
    let key = registry::instance_key(&tenant, name, "one");
    let bytes = encode(&instance);
    let put = registry.put(&key, &bytes, Expect::Absent);
    put.await.expect("it is new");
}

#[tokio::test]
async fn an_agent_that_registered_itself_is_forgotten_once_it_is_gone() {
    let world = World::start().await;
    let until = world.clock.now().plus(Duration::from_secs(90));
    register(&world, "visitor", until).await;
    let path = "/api/v1/agents/visitor";
    let shown = async || world.operator.get(path).await;
    while shown().await.json["instances"]
        .as_array()
        .is_none_or(Vec::is_empty)
    {
        tokio::task::yield_now().await;
    }
    let there = world.admin.delete(path).empty().await;
    assert_eq!(there.code(409), "conflict");
    world.clock.advance(Duration::from_secs(91));
    let seen = shown().await;
    assert_eq!(seen.json["instances"], json!([]));
    let stale = world.admin.delete(path).header("if-match", "\"0\"");
    assert_eq!(stale.empty().await.code(412), "precondition_failed");
    assert_eq!(
        world.engineer.delete(path).empty().await.code(403),
        "forbidden"
    );
    let tag = seen.header("etag").to_owned();
    let deleted = world.admin.delete(path).header("if-match", &tag);
    assert_eq!(deleted.empty().await.status, 204);
    assert_eq!(shown().await.code(404), "not_found");
    assert_eq!(
        world.admin.delete(path).empty().await.code(404),
        "not_found"
    );
    let installed = world.admin.delete("/api/v1/agents/demo").empty().await;
    assert_eq!(installed.code(409), "conflict");
    // It may come back under its name.
    let key = Kind::Agents.key(&Tenant::default(), "visitor");
    let kept = world.backend.registry.get(&key).await;
    assert_eq!(kept.expect("an open store"), None);
}

#[tokio::test]
async fn an_agent_that_could_not_say_what_it_takes_is_seen_as_such_and_set() {
    let world = World::start().await;
    let until = world.clock.now().plus(Duration::from_secs(90));
    register(&world, "visitor", until).await;
    let listed = async || world.operator.get("/api/v1/agents").await;
    while listed().await.items().len() < 2 {
        tokio::task::yield_now().await;
    }
    let row = listed().await.items()[1].clone();
    assert_eq!(
        (&row["authenticated"], &row["metadata_unavailable"]),
        (&json!(false), &json!("it could not be serialized"))
    );
    let set = world.admin.patch("/api/v1/agents/visitor/config");
    let answer = set.patch(&json!({"metrics_url": "http://x"})).await;
    assert_eq!((answer.status, answer.header("etag")), (200, "\"1\""));
    let shown = world.operator.get("/api/v1/agents/visitor").await.json;
    assert_eq!(shown["config"], json!({"metrics_url": "http://x"}));
    let wrong = world.admin.patch("/api/v1/agents/visitor/config");
    let wrong = wrong.patch(&json!({"metrics_url": 7})).await;
    assert_eq!(wrong.code(422), "invalid");
}
