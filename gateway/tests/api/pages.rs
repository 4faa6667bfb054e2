//! What is open to everybody.

use crate::support::World;

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
    for path in ["roles", "roles/ops", "pauses", "pauses/all", "users/ada"] {
        let answer = world.admin.get(&format!("/api/v1/{path}")).await;
        assert_eq!(answer.code(404), "not_supported", "{path}");
    }
}
