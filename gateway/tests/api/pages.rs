//! What is open to everybody.

use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::extract::Request;
use gateway::{Component, ComponentState, Gateway, Parts};
use store::clock::SystemRandom;
use store::embedded::{Embedded, Options, Place};

use crate::support::{TestClock, World, config, parts};

#[tokio::test]
async fn health_and_description_need_no_token() {
    let world = World::start().await;
    assert_eq!(world.nobody.get("/livez").await.body, "ok\n");
    assert_eq!(world.nobody.get("/readyz").await.status, 200);
    let health = world.nobody.get("/healthz").await;
    assert_eq!(health.json["status"], "ok");
    assert_eq!(health.json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(health.json["components"][1]["name"], "store");
    let api = world.nobody.get("/openapi.json").await;
    assert_eq!(api.json["openapi"], "3.1.0");
    assert_eq!(api.json, gateway::openapi());
    assert_eq!(world.nobody.get("/metrics").await.code(503), "unavailable");
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let world = World::start().await;
    let page = world.nobody.get("/docs").await;
    assert!(
        page.header("content-security-policy")
            .contains("default-src 'none'")
    );
    assert!(!page.body.contains("http://") && !page.body.contains("https://"));
    assert!(page.body.contains("fetch(\"openapi.json\")"));
}

#[tokio::test]
async fn a_stopping_gateway_ends_streams_and_takes_no_more() {
    let world = World::start().await;
    let stream = world.operator.open("/api/v1/events", &[]).await;
    let address = world.address;
    world.end().await;
    assert!(stream.text().await.is_ok(), "it ended in good order");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_cursor_that_no_list_gave_is_refused() {
    let world = World::start().await;
    for list in [
        "runs",
        "approvals",
        "workflows",
        "hooks",
        "agents",
        "secrets",
        "api-keys",
    ] {
        // The second is the text "what?" in the form of a cursor.
        let wrong: &[&str] = match list {
            "runs" | "approvals" => &["%21%21", "d2hhdD8"],
            _ => &["%21%21"],
        };
        for cursor in wrong {
            let path = format!("/api/v1/{list}?cursor={cursor}");
            let refused = world.admin.get(&path).await;
            assert_eq!(refused.code(400), "malformed", "{path}");
        }
    }
}

#[tokio::test]
async fn what_comes_later_says_so() {
    let world = World::start().await;
    for path in [
        "roles",
        "roles/ops",
        "pauses",
        "pauses/all",
        "users/ada",
        "hooks/alerts/deliveries/0197c0de/redeliver",
        "providers/claude/config",
        "connectors/slack/health",
    ] {
        let answer = world.admin.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.code(404), "not_supported", "{path}");
    }
}

#[tokio::test]
async fn an_argument_of_one_value_is_refused_when_it_is_given_twice() {
    let world = World::start().await;
    let run = "0197c0de-1111-7abc-8def-0123456789ab";
    for twice in [
        "workflows?limit=1&limit=2".to_owned(),
        "runs?since=2026-01-01T00:00:00Z&since=2027-01-01T00:00:00Z".to_owned(),
        "runs?ending=89abcd&status=failed&ending=89abcd".to_owned(),
        "approvals?run=&run=".to_owned(),
        format!("runs/{run}?wait=1&wait=0"),
    ] {
        let refused = world.admin.get(&format!("/api/v1/{twice}")).await;
        assert_eq!(refused.code(400), "malformed", "{twice}");
        assert!(refused.text("detail").contains("twice"), "{}", refused.body);
    }
}

/// A part that is not well.
struct Sick;

#[async_trait]
impl Component for Sick {
    fn name(&self) -> &str {
        "disk"
    }

    async fn state(&self) -> ComponentState {
        ComponentState {
            ok: false,
            detail: "it is full".to_owned(),
        }
    }
}

#[tokio::test]
async fn who_is_told_that_a_part_is_not_well_is_told_when_to_look_again() {
    let options = Options::new(Arc::new(TestClock::start()), Arc::new(SystemRandom));
    let (backend, _handle) = Embedded::inline(Place::Memory, options).expect("in memory");
    let sick: Arc<dyn Component> = Arc::new(Sick);
    let parts = Parts {
        components: vec![sick],
        ..parts()
    };
    let (app, _mirrors) = Gateway::new(config(), backend, parts).app().await;
    let request = Request::get("/healthz").body(Body::empty());
    let answer = app.answer(request.expect("a request")).await;
    assert_eq!(answer.status().as_u16(), 503);
    assert_eq!(
        answer.headers().get("retry-after").map(|v| v.as_bytes()),
        Some(&b"1"[..])
    );
}
