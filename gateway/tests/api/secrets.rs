//! Secrets are set, and never shown again.

use serde_json::json;
use store::port::Page;

use crate::support::World;

#[tokio::test]
async fn the_same_value_again_is_no_new_version() {
    let world = World::start().await;
    let set = async |value: &str| {
        let put = world.admin.put("/api/v1/secrets/token");
        let answer = put.json(&json!({"value": value})).await;
        (answer.status, answer.json["version"].clone())
    };
    assert_eq!(set("one").await, (201, json!(1)));
    assert_eq!(set("one").await, (200, json!(1)));
    assert_eq!(set("two").await, (200, json!(2)));
    assert_eq!(set("one").await, (200, json!(3)));
}

#[tokio::test]
async fn a_secret_is_set_versioned_and_deleted_and_its_value_never_shown() {
    let world = World::start().await;
    let set = |value: &str| {
        let ask = world.admin.put("/api/v1/secrets/token");
        let body = json!({"value": value});
        async move { ask.json(&body).await }
    };
    let first = set("canary-one").await;
    assert_eq!((first.status, &first.json["version"]), (201, &json!(1)));
    let second = set("canary-two").await;
    assert_eq!((second.status, &second.json["version"]), (200, &json!(2)));
    let list = world.engineer.get("/api/v1/secrets").await;
    assert_eq!(list.items()[0]["name"], "token");
    for body in [&first.body, &second.body, &list.body] {
        assert!(!body.contains("canary"));
    }
    assert_eq!(
        world
            .admin
            .delete("/api/v1/secrets/token")
            .empty()
            .await
            .status,
        204
    );
    assert_eq!(
        world.engineer.get("/api/v1/secrets/token").await.code(404),
        "not_found"
    );
    assert_eq!(
        set("canary-three").await.json["version"],
        3,
        "numbers are never given twice"
    );
}

#[tokio::test]
async fn names_must_fit_expressions_and_values_must_be_there() {
    let world = World::start().await;
    let set = |name: &str, value: &str| {
        let ask = world.admin.put(&format!("/api/v1/secrets/{name}"));
        let body = json!({"value": value});
        async move { ask.json(&body).await }
    };
    assert_eq!(set("has-dash", "x").await.code(422), "invalid");
    assert_eq!(set("empty", "").await.code(422), "invalid");
    assert_eq!(
        set("long", &"x".repeat(65 * 1024)).await.code(422),
        "invalid"
    );
}

#[tokio::test]
async fn no_canary_stands_in_the_registry_in_plain() {
    let world = World::start().await;
    let body = json!({"value": "canary-in-the-store"});
    assert_eq!(
        world
            .admin
            .put("/api/v1/secrets/token")
            .json(&body)
            .await
            .status,
        201
    );
    let config = json!({"token": "canary-in-the-config"});
    assert_eq!(
        world
            .admin
            .patch("/api/v1/agents/demo/config")
            .patch(&config)
            .await
            .status,
        200
    );
    let made = world
        .engineer
        .post("/api/v1/hooks")
        .json(&json!({"hook": "h", "type": "alertmanager"}))
        .await;
    let secret = made.text("secret");
    let items = world
        .backend
        .registry
        .list("", "", 10_000)
        .await
        .expect("in memory");
    assert!(items.len() > 5);
    for item in items {
        let text = String::from_utf8_lossy(&item.value).into_owned();
        assert!(
            !text.contains("canary") && !text.contains(&secret),
            "{}",
            item.key
        );
    }
    let page = Page {
        limit: 100,
        after: None,
    };
    let rows = world
        .backend
        .views
        .runs(&engine::id::Tenant::default(), &Default::default(), &page)
        .await;
    assert!(rows.expect("in memory").items.is_empty());
}
