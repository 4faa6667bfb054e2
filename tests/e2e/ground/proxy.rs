//! The proxy counts what passes and holds what it is told to hold.

use http::{Method, StatusCode};
use mirastack_tests::proxy::{CountingProxy, Seen, Stage};
use mirastack_tests::receiver::Receiver;
use reqwest::{Client, Response};
use std::net::{Ipv4Addr, TcpListener};
use tokio::task::JoinSet;

/// A server that keeps what it gets, and the proxy in front of it.
async fn server_behind_proxy() -> (Receiver, CountingProxy) {
    let server = Receiver::start().await.expect("a port is free");
    let proxy = CountingProxy::start(server.address())
        .await
        .expect("a port is free");
    (server, proxy)
}

/// A sender that can be stopped while it waits for its answer.
type Sender = JoinSet<reqwest::Result<Response>>;

fn post(proxy: &CountingProxy, body: &'static str) -> Sender {
    let client = Client::builder()
        .no_proxy()
        .build()
        .expect("constant settings");
    let request = client
        .post(format!("{}/things?sort=size", proxy.url()))
        .body(body);
    let mut sender = Sender::new();
    sender.spawn(request.header("content-type", "application/json").send());
    sender
}

async fn outcome(mut sender: Sender) -> reqwest::Result<StatusCode> {
    let answer = sender
        .join_next()
        .await
        .expect("one was sent")
        .expect("it does not panic");
    answer.map(|answer| answer.status())
}

fn things(seen: &Seen) -> bool {
    seen.is(&Method::POST, "/things")
}

#[tokio::test]
async fn every_request_is_written_down_in_order() {
    let (mut server, proxy) = server_behind_proxy().await;
    assert_eq!(
        outcome(post(&proxy, "[1]")).await.expect("it passes"),
        StatusCode::OK
    );
    assert_eq!(
        outcome(post(&proxy, "no json")).await.expect("it passes"),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(
        server.next().await.expect("it has come").body,
        serde_json::json!([1])
    );

    let seen = proxy.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(proxy.count(things), 2);
    assert_eq!(proxy.count(|seen| seen.is(&Method::GET, "/things")), 0);
    assert_eq!((seen[0].number, seen[1].number), (0, 1));
    assert_eq!(
        (seen[0].text(), seen[1].text()),
        ("[1]".to_owned(), "no json".to_owned())
    );
    assert_eq!(seen[0].query.as_deref(), Some("sort=size"));
    assert_eq!(seen[0].headers["content-type"], "application/json");
    assert_eq!(seen[0].status, Some(StatusCode::OK));
    assert_eq!(seen[1].status, Some(StatusCode::BAD_REQUEST));
}

#[tokio::test]
async fn a_request_held_on_arrival_has_not_reached_the_server() {
    let (mut server, proxy) = server_behind_proxy().await;
    let gate = proxy.hold(Stage::Arrived, things);
    let sender = post(&proxy, "[1]");
    let held = gate.reached().await.expect("it arrives");
    assert_eq!(held.seen().text(), "[1]");
    assert!(server.already().is_none());
    assert!(!proxy.seen()[0].forwarded);

    held.pass();
    assert_eq!(outcome(sender).await.expect("it passes"), StatusCode::OK);
    assert!(server.already().is_some());
    assert!(proxy.seen()[0].forwarded);
}

#[tokio::test]
async fn a_held_request_travels_on_after_its_sender_is_dead() {
    let (mut server, proxy) = server_behind_proxy().await;
    let gate = proxy.hold(Stage::Arrived, things);
    let mut sender = post(&proxy, "[1]");
    let held = gate.reached().await.expect("it arrives");
    sender.shutdown().await;
    held.pass();
    assert_eq!(
        server.next().await.expect("it comes late").body,
        serde_json::json!([1])
    );
}

#[tokio::test]
async fn a_request_cut_on_arrival_never_reaches_the_server() {
    let (mut server, proxy) = server_behind_proxy().await;
    let gate = proxy.hold(Stage::Arrived, things);
    let sender = post(&proxy, "[1]");
    gate.reached().await.expect("it arrives").cut();
    outcome(sender).await.expect_err("its connection is closed");

    // What is sent afterwards comes alone.
    outcome(post(&proxy, "[2]")).await.expect("it passes");
    assert_eq!(
        server.next().await.expect("it has come").body,
        serde_json::json!([2])
    );
    assert!(server.already().is_none());
    assert_eq!(proxy.seen()[0].status, None);
}

#[tokio::test]
async fn a_request_held_in_flight_reaches_the_server_while_its_sender_waits() {
    let (mut server, proxy) = server_behind_proxy().await;
    let gate = proxy.hold(Stage::Forwarded, things);
    let mut sender = post(&proxy, "[1]");
    let held = gate.reached().await.expect("it is forwarded");
    server.next().await.expect("the server gets it");
    assert!(proxy.seen()[0].forwarded);
    assert!(sender.try_join_next().is_none());

    held.pass();
    assert_eq!(outcome(sender).await.expect("it passes"), StatusCode::OK);
}

#[tokio::test]
async fn a_request_whose_answer_is_cut_was_carried_out() {
    let (mut server, proxy) = server_behind_proxy().await;
    let gate = proxy.hold(Stage::Answered, things);
    let sender = post(&proxy, "[1]");
    let held = gate.reached().await.expect("it is answered");
    assert!(server.already().is_some());
    held.cut();
    outcome(sender).await.expect_err("its connection is closed");
    assert_eq!(proxy.seen()[0].status, Some(StatusCode::OK));
}

#[tokio::test]
async fn a_gate_holds_one_request_of_its_kind() {
    let (_server, proxy) = server_behind_proxy().await;
    let gate = proxy.hold(Stage::Arrived, |seen| seen.text() == "[2]");
    outcome(post(&proxy, "[1]"))
        .await
        .expect("it is of another kind");
    let sender = post(&proxy, "[2]");
    let held = gate.reached().await.expect("it arrives");
    outcome(post(&proxy, "[2]"))
        .await
        .expect("one is held already");
    drop(held);
    outcome(sender)
        .await
        .expect("it passes when nobody holds it");

    drop(proxy.hold(Stage::Arrived, things));
    outcome(post(&proxy, "[2]"))
        .await
        .expect("nobody stands at the gate");
}

#[tokio::test]
async fn a_gate_that_was_dropped_is_not_in_the_way_of_another() {
    let (_server, proxy) = server_behind_proxy().await;
    drop(proxy.hold(Stage::Arrived, things));
    let gate = proxy.hold(Stage::Arrived, things);
    let sender = post(&proxy, "[1]");
    gate.reached().await.expect("it arrives").pass();
    outcome(sender).await.expect("it passes");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_bad_gateway() {
    let nobody =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let proxy = CountingProxy::start(nobody.expect("a port is free"))
        .await
        .expect("a port is free");
    assert_eq!(
        outcome(post(&proxy, "[1]"))
            .await
            .expect("the proxy answers"),
        StatusCode::BAD_GATEWAY
    );
    assert_eq!(proxy.seen()[0].status, Some(StatusCode::BAD_GATEWAY));
}
