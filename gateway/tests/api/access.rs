//! Logging in, tokens, API keys.

use engine::duration::Duration;
use serde_json::json;

use crate::support::{WAITS, World, config};

#[tokio::test]
async fn whoever_logs_in_is_told_their_rights() {
    let world = World::start().await;
    let me = world.engineer.get("/api/v1/whoami").await;
    assert_eq!(me.json["principal"], "key:eve");
    assert_eq!(me.json["tenant"], "default");
    assert_eq!(me.json["roles"], json!(["engineer"]));
    let rights = me.json["rights"].to_string();
    assert!(rights.contains("approve") && !rights.contains("\"secrets\""));
}

#[tokio::test]
async fn wrong_credentials_say_nothing_about_what_was_wrong() {
    let world = World::start().await;
    let refused = |id: &str, secret: &str| {
        let body = json!({"api_key_id": id, "api_secret": secret});
        let ask = world.nobody.post("/api/v1/auth/token");
        async move {
            let answer = ask.json(&body).await;
            assert_eq!(answer.code(401), "unauthenticated");
            (answer.json["detail"].clone(), answer.json["hint"].clone())
        }
    };
    let wrong_secret = refused("eve", "msk_wrong").await;
    assert_eq!(wrong_secret, refused("nobody", "msk_wrong").await);
    let more = json!({"api_key_id": "eve", "api_secret": "x", "more": 1});
    assert_eq!(
        world
            .nobody
            .post("/api/v1/auth/token")
            .json(&more)
            .await
            .code(422),
        "invalid"
    );
    let keyed = world
        .nobody
        .post("/api/v1/auth/token")
        .header("idempotency-key", "k");
    let body = json!({"api_key_id": "eve", "api_secret": "x"});
    assert_eq!(keyed.json(&body).await.code(400), "malformed");
}

#[tokio::test]
async fn a_token_ends_with_its_time() {
    let world = World::start().await;
    assert_eq!(world.operator.get("/api/v1/whoami").await.status, 200);
    world.clock.advance(Duration::from_secs(15 * 60));
    let answer = world.operator.get("/api/v1/whoami").await;
    assert_eq!(answer.code(401), "unauthenticated");
    assert_eq!(answer.header("www-authenticate"), "Bearer");
}

#[tokio::test]
async fn a_revoked_key_ends_its_tokens_at_once_and_its_name_for_ever() {
    let world = World::start().await;
    let ci = world.engineer.make_key("ci", "operator").await;
    assert_eq!(ci.get("/api/v1/whoami").await.status, 200);
    let revoked = world.engineer.delete("/api/v1/api-keys/ci").empty().await;
    assert_eq!(revoked.status, 204);
    assert_eq!(ci.get("/api/v1/whoami").await.code(401), "unauthenticated");
    let again = world
        .admin
        .post("/api/v1/api-keys")
        .json(&json!({"name": "ci", "role": "operator"}))
        .await;
    assert_eq!(again.code(409), "conflict");
    let shown = world.admin.get("/api/v1/api-keys/ci").await;
    assert_eq!(shown.json["state"], "revoked");
    assert_eq!(
        world
            .engineer
            .delete("/api/v1/api-keys/ci")
            .empty()
            .await
            .status,
        204
    );
}

#[tokio::test]
async fn everybody_makes_keys_of_their_own_and_none_above_themselves() {
    let world = World::start().await;
    let make = |role: &str| {
        let body = json!({"name": format!("of-otto-{role}"), "role": role});
        let ask = world.operator.post("/api/v1/api-keys");
        async move { ask.json(&body).await }
    };
    assert_eq!(make("engineer").await.code(403), "forbidden");
    let made = make("operator").await;
    assert_eq!(made.status, 201);
    assert!(made.text("api_secret").starts_with("msk_"));
    let names = |answer: &crate::support::Answer| -> Vec<String> {
        let items = answer.items().iter();
        items
            .map(|key| key["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let own = world.operator.get("/api/v1/api-keys").await;
    assert_eq!(names(&own), ["of-otto-operator", "otto"]);
    assert!(!own.body.contains("argon2") && !own.body.contains("msk_"));
    let all = world.admin.get("/api/v1/api-keys").await;
    assert_eq!(
        names(&all),
        ["bootstrap", "eve", "of-otto-operator", "otto"]
    );
    assert_eq!(
        world.operator.get("/api/v1/api-keys/eve").await.code(404),
        "not_found"
    );
    assert_eq!(
        world
            .operator
            .delete("/api/v1/api-keys/eve")
            .empty()
            .await
            .code(404),
        "not_found"
    );
    let bad = json!({"name": "Not a name", "role": "operator"});
    assert_eq!(
        world
            .admin
            .post("/api/v1/api-keys")
            .json(&bad)
            .await
            .code(422),
        "invalid"
    );
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let world = World::start().await;
    let token = world.operator.token();
    for wrong in [
        "",
        "x",
        "v4.local.",
        "v4.public.AAAA",
        &token[..token.len() - 4],
        &format!("{token}A"),
    ] {
        let answer = world.nobody.with_token(wrong).get("/api/v1/whoami").await;
        assert_eq!(answer.code(401), "unauthenticated", "{wrong:?}");
    }
    let twice = world.operator.ask(reqwest::Method::GET, "/api/v1/whoami");
    let twice = twice.header("authorization", "Bearer x").empty().await;
    assert_eq!(twice.status, 401, "two tokens are none");
}

#[tokio::test]
async fn the_first_key_is_made_once() {
    let world = World::start().await;
    let tenant = engine::id::Tenant::default();
    let known = gateway::bootstrap::has_keys(&world.backend, &tenant).await;
    assert!(known.expect("the registry answers"));
    let other = gateway::bootstrap::secret(&world.backend);
    gateway::bootstrap::admin_key(&world.backend, &tenant, &other)
        .await
        .expect("the registry answers");
    let keys = json!({"api_key_id": gateway::bootstrap::NAME, "api_secret": other.as_str()});
    let login = world.nobody.post("/api/v1/auth/token").json(&keys).await;
    assert_eq!(login.code(401), "unauthenticated");
}

#[tokio::test]
async fn who_follows_events_is_let_go_when_their_key_or_their_token_ends() {
    let mut quick = config();
    quick.heartbeat = Duration::from_millis(20);
    let world = World::with(quick).await;
    world.save(WAITS).await;
    let run = world.run("waits", json!({})).await;
    let one = format!("/api/v1/runs/{run}/events");
    let mut streams = Vec::new();
    let paths = ["/api/v1/events", one.as_str()];
    for (name, path) in ["ci", "cd"].into_iter().zip(paths) {
        let listener = world.admin.make_key(name, "operator").await;
        let stream = listener.open(path, &[]).await;
        let key = format!("/api/v1/api-keys/{name}");
        assert_eq!(world.admin.delete(&key).empty().await.status, 204);
        ended(stream).await;
    }
    for path in paths {
        let stream = world.operator.open(path, &[]).await;
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    world.clock.advance(Duration::from_secs(15 * 60));
    for stream in streams {
        ended(stream).await;
    }
}

/// The stream comes to its end.
async fn ended(stream: reqwest::Response) {
    let limit = std::time::Duration::from_secs(10);
    let text = tokio::time::timeout(limit, stream.text()).await;
    assert!(
        text.expect("it still goes on").is_ok(),
        "it ended in good order"
    );
}

#[tokio::test]
async fn a_key_is_revoked_only_as_it_was_seen() {
    let world = World::start().await;
    world.admin.make_key("ci", "operator").await;
    let path = "/api/v1/api-keys/ci";
    let seen = world.admin.get(path).await;
    let tag = seen.header("etag").to_owned();
    assert!(!tag.is_empty());
    let other = world.admin.delete(path).header("if-match", "\"0\"");
    assert_eq!(other.empty().await.code(412), "precondition_failed");
    assert_eq!(world.admin.get(path).await.json["state"], "active");
    let same = world.admin.delete(path).header("if-match", &tag);
    assert_eq!(same.empty().await.status, 204);
}
