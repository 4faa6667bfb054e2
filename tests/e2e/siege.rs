//! Bad input and slow peers against the whole process. `make siege` is the long form of the first.

use crate::tls::Signer;
use anyhow::ensure;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::person;
use mirastack_tests::siege::{self, Order};
use mirastack_tests::story::root;
use mirastack_tests::wait::until;
use rustix::process::{Resource, Rlimit, prlimit};
use serde_json::json;
use std::fs;
use std::time::Duration;
use tokio::net::TcpStream;

/// Where the matrix begins and ends in its document.
const BEGIN: &str = "<!-- The matrix: its test writes it with UPDATE_GOLDEN=1. -->";
const END: &str = "<!-- So far the matrix. -->";

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_on_fifty_connections_is_refused_and_nobody_else_notices() {
    siege::siege(Duration::ZERO, Order::SideBySide, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_in_the_name_of_an_agent_of_elsewhere_takes_little_memory() {
    // The rest takes minutes: `make siege`.
    siege::beside_an_agent(Duration::ZERO, "agent of elsewhere: a result").await;
}

#[test]
fn the_matrix_of_bad_input_names_what_tries_each_kind_at_each_entrance() {
    let path = root()
        .expect("cargo runs the tests")
        .join("docs/reliability.md");
    let text = fs::read_to_string(&path).expect("it is in the checkout");
    let (before, rest) = text.split_once(BEGIN).expect("it begins");
    let (_, after) = rest.split_once(END).expect("it ends");
    let table = siege::matrix().expect("each cell is tried, or cannot be");
    let now = format!("{before}{BEGIN}\n\n{table}\n{END}{after}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &now).expect("writable");
    }
    assert!(
        text == now,
        "docs/reliability.md is out of date: run with UPDATE_GOLDEN=1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_that_send_a_byte_a_second_are_closed_and_nobody_else_notices() {
    let folder = tempfile::tempdir().expect("a folder");
    let (cert, key) = Signer::new().and_then(|s| s.sign()).expect("signed");
    let named = |name: &str| folder.path().join(name).display().to_string();
    fs::write(named("cert.pem"), cert).expect("writable");
    fs::write(named("key.pem"), key).expect("writable");
    let setup = Setup::default()
        .env("MIRASTACK_TLS_CERT", &named("cert.pem"))
        .env("MIRASTACK_TLS_KEY", &named("key.pem"));
    siege::slow(setup).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_that_cost_as_much_as_they_may_hold_nobody_up() {
    siege::costly().await;
}

#[tokio::test]
async fn connections_that_take_every_descriptor_do_not_end_the_process() {
    let mut server = Mirastack::start(Setup::default()).await.expect("it starts");
    let api = server.api().await.expect("the first key works");
    let pid = server.process().pid();
    let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
    let taken = || fs::read_dir(&folder).map(Iterator::count);
    let most = taken().expect("it is alive") + 40;
    let limit = Rlimit {
        current: Some(most as u64),
        maximum: Some(most as u64),
    };
    prlimit(Some(pid), Resource::Nofile, limit).expect("it is ours");
    let mut open = Vec::new();
    for port in [server.grpc(), server.http()].repeat(60) {
        open.push(TcpStream::connect(port).await.expect("it listens"));
    }
    until("the last descriptor", async || {
        ensure!(taken()? >= most, "{} of {most} are taken", taken()?);
        Ok(())
    })
    .await
    .expect("they are taken");
    drop(open);
    // Its READ takes an agent, which registers on the one port.
    let run = until("a run", async || {
        person::starts(&api, "hello", &json!({})).await
    });
    let run = run.await.expect("it is accepted");
    let asked = person::asked(&api, &run).await;
    asked.expect("its READ was done");
}
