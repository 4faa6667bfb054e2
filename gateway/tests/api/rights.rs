//! The server holds to the table, and the page to the server.

use reqwest::Method;
use serde_json::Value;

use crate::support::{Client, World, schema};

/// The rows of the table of routes: method, path, and what no token, operator, engineer and admin may.
fn table() -> Vec<(Method, String, [bool; 4])> {
    let page = gateway::rights();
    let rows = page
        .lines()
        .skip_while(|line| !line.starts_with("| method"))
        .skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let method = cells[1].parse().expect("a method");
            let path = cells[2].trim_matches('`').to_owned();
            (method, path, [4, 5, 6, 7].map(|n| cells[n] == "yes"))
        })
        .collect()
}

fn described() -> Vec<(Method, String)> {
    let paths = schema::document()["paths"].as_object().expect("paths");
    let all = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("an item").keys();
        methods.map(move |method| {
            (
                method.to_uppercase().parse().expect("a method"),
                path.clone(),
            )
        })
    });
    all.collect()
}

#[test]
fn the_page_of_rights_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/rights.md");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, gateway::rights()).expect("docs/ can be written");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == gateway::rights(),
        "docs/rights.md is stale: run with UPDATE_GOLDEN=1"
    );
}

#[test]
fn every_described_route_is_in_the_table_and_the_other_way_round() {
    let mut table: Vec<String> = table().iter().map(|(m, p, _)| format!("{m} {p}")).collect();
    let mut described: Vec<String> = described()
        .iter()
        .map(|(m, p)| format!("{m} {p}"))
        .collect();
    table.sort();
    described.sort();
    assert_eq!(table, described);
    assert!(table.len() > 50);
}

/// Whether the route's own check lets the caller through: whatever it answers then, it is not 401 or 403.
async fn lets_in(client: &Client, method: &Method, path: &str) -> (bool, u16) {
    let path = path
        .replace("{tenant}", "default")
        .replace("{sha256}", &"0".repeat(64))
        .replace("{id}", "0197c0de-1111-7abc-8def-0123456789ab")
        .replace("{name}", "nothing")
        .replace(['{', '}'], "");
    if path.ends_with("/events") && path.starts_with("/api/v1/events") {
        let response = client.open_as(&path).await;
        let status = response.status().as_u16();
        return (!matches!(status, 401 | 403), status);
    }
    let ask = client
        .ask(method.clone(), &path)
        .header("content-type", "application/json");
    let answer = ask
        .send((*method != Method::GET).then(|| "{\"x\":1}".to_owned()))
        .await;
    (!matches!(answer.status, 401 | 403), answer.status)
}

#[tokio::test]
async fn the_running_server_allows_exactly_what_the_table_says() {
    let world = World::start().await;
    let callers = [
        &world.nobody,
        &world.operator,
        &world.engineer,
        &world.admin,
    ];
    let mut wrong = Vec::new();
    for (method, path, allowed) in table() {
        for (caller, allowed) in callers.iter().zip(allowed) {
            let (let_in, status) = lets_in(caller, &method, &path).await;
            // Without the right credentials in the body, the open door of log-ins answers 422 here.
            if let_in != allowed {
                wrong.push(format!("{method} {path}: {status}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn what_comes_later_is_refused_as_such_and_the_rest_is_not_there() {
    let world = World::start().await;
    for path in [
        "/api/v1/runs/x/rerun",
        "/api/v1/runs/x/signals/go",
        "/api/v1/users",
        "/api/v1/audit",
        "/api/v1/pauses",
    ] {
        assert_eq!(
            world.admin.get(path).await.code(404),
            "not_supported",
            "{path}"
        );
    }
    assert_eq!(world.admin.get("/api/v2/runs").await.code(404), "not_found");
    assert_eq!(world.admin.get("/").await.code(404), "not_found");
    let method = world.admin.ask(Method::PATCH, "/api/v1/runs").empty().await;
    assert_eq!(method.code(405), "method_not_allowed");
    assert!(method.header("allow").contains("GET"));
}

#[tokio::test]
async fn options_names_the_methods() {
    let world = World::start().await;
    let answer = world
        .nobody
        .ask(Method::OPTIONS, "/api/v1/workflows/x")
        .empty()
        .await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("allow"), "GET,PUT,DELETE,HEAD,OPTIONS");
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let world = World::start().await;
    let own = world
        .nobody
        .ask(Method::GET, "/api/v1/whoami")
        .header("x-request-id", "my-1");
    let answer = own.empty().await;
    assert_eq!(answer.header("x-request-id"), "my-1");
    assert_eq!(answer.json["request_id"], Value::from("my-1"));
    let made = world
        .nobody
        .ask(Method::GET, "/livez")
        .header("x-request-id", "not ok");
    let made = made.empty().await;
    assert_eq!(made.header("x-request-id").len(), 32);
}
