//! Agents that run by themselves and register: the example `visitor`, made with the SDK, as processes of their own.

use std::net::SocketAddr;
use std::time::Duration;

use engine::registry::{self, SettingValue};
use proto::connection::Connection;
use proto::v1::{self, engine_service_client::EngineServiceClient};
use rustix::process::Signal;
use serde_json::json;
use tokio::process::Command;
use worker::{CallResult, NotSent};

use crate::bench::{seal, within};
use crate::jobs;
use crate::remote::{
    Process, agent, engine, pinned, remote, reserved, restarted, result, until, yard_at,
};
use crate::yard::{self, example};

fn visitor(engine: SocketAddr) -> Process {
    let mut command = Command::new(example("visitor"));
    command.args(["--engine", &engine.to_string()]);
    Process::start(command)
}

#[tokio::test]
async fn an_agent_may_be_up_before_its_engine_and_outlive_it() {
    let (socket, address) = reserved();
    let mut visitor = visitor(address);
    visitor.says("could not register").await;

    let config = || remote(9, &[]);
    let first = yard_at(socket.listen(64).expect("a bound socket"), config()).await;
    let there = until(&first, "visitor", 1).await;
    assert_eq!(there[0].form, "native");
    assert!(there[0].expires_at.is_some() && agent(&first, "visitor").await.unauthenticated);
    assert_eq!(
        result(&first, "visitor", "act", json!({})).await["pid"],
        visitor.pid()
    );
    let health = first.plugins.health(&yard::tenant(), "visitor").await;
    assert!(health.is_ok_and(|health| health.ok));

    let second = restarted(first, address, config()).await;
    until(&second, "visitor", 1).await;
    assert_eq!(
        result(&second, "visitor", "act", json!({})).await["pid"],
        visitor.pid()
    );
}

#[tokio::test]
async fn an_agent_may_listen_at_a_unix_socket() {
    let (yard, address) = engine(remote(90, &[])).await;
    let own = format!("unix:{}", yard.folder.path().join("own.sock").display());
    let mut command = Command::new(example("visitor"));
    command
        .args(["--engine", &address.to_string()])
        .env("MIRASTACK_PLUGIN_ADDR", &own);
    let visitor = Process::start(command);
    let there = until(&yard, "visitor", 1).await.remove(0);
    assert_eq!(there.address, Some(own));
    assert_eq!(
        result(&yard, "visitor", "act", json!({})).await["pid"],
        visitor.pid()
    );
}

#[tokio::test]
async fn an_instance_that_is_silent_is_gone_and_the_others_are_called() {
    let (yard, address) = engine(remote(3, &[])).await;
    let visitors = [visitor(address), visitor(address)];
    until(&yard, "visitor", 2).await;
    let job = pinned(&yard, "visitor", "act").await;
    visitors[0].signal(Signal::STOP);
    let mut lost = 0;
    for _ in 0..5 {
        match yard.call(&job, &json!({}), Duration::from_secs(1)).await {
            CallResult::Succeeded { .. } => {}
            CallResult::TimedOut => lost += 1,
            other @ (CallResult::Failed { .. }
            | CallResult::NotSent(_)
            | CallResult::Lost { .. }) => panic!("{other:?}"),
        }
    }
    assert!(
        lost <= 1,
        "{lost} calls went to the one that does not answer"
    );
    until(&yard, "visitor", 1).await;
    assert_eq!(
        result(&yard, "visitor", "act", json!({})).await["pid"],
        visitors[1].pid()
    );
    visitors[0].signal(Signal::CONT);
    until(&yard, "visitor", 2).await;
}

#[tokio::test]
async fn an_instance_that_dies_is_gone_at_once() {
    let (yard, address) = engine(remote(90, &[])).await;
    let mut visitors = [visitor(address), visitor(address)];
    until(&yard, "visitor", 2).await;
    visitors[0].child.kill().await.expect("it runs");
    until(&yard, "visitor", 1).await;
    assert_eq!(
        result(&yard, "visitor", "act", json!({})).await["pid"],
        visitors[1].pid()
    );

    visitors[1].signal(Signal::TERM);
    let ended = within(visitors[1].child.wait()).await.expect("it ran");
    assert!(ended.success());
    until(&yard, "visitor", 0).await;
    let job = pinned(&yard, "visitor", "act").await;
    let mut call = yard::call_of(&job, &json!({}), Duration::from_secs(5));
    call.ready = Duration::ZERO;
    let heard = std::sync::Arc::new(yard::Heard::default());
    let result = worker::Caller::call(yard.plugins.as_ref(), call, heard).await;
    let CallResult::NotSent(NotSent::Unavailable(why)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(why, "no instance of the agent visitor is registered now");
}

#[tokio::test]
async fn changes_and_secrets_are_for_those_whom_the_configuration_names() {
    let sealed = || {
        let bound = registry::setting_seal(&jobs::tenant(), "visitor", "url");
        let plain = json!("http://secret-place").to_string();
        SettingValue::Sealed(seal().seal(&bound, [3; 24], plain.as_bytes()))
    };
    let (yard, address) = engine(remote(90, &[])).await;
    let _stranger = visitor(address);
    let note = until(&yard, "visitor", 1)
        .await
        .remove(0)
        .note
        .expect("a note");
    assert!(note.ends_with("does not trust it: change"), "{note}");
    let offered = agent(&yard, "visitor").await.manifest;
    assert!(offered.action("change").is_none() && offered.action("act").is_some());
    let revision = yard
        .set("visitor", SettingValue::Plain(json!("http://a")))
        .await;
    let job = pinned(&yard, "visitor", "act").await;
    let patience = Duration::from_secs(5);
    let ready = worker::Caller::ready(yard.plugins.as_ref(), &job, revision, patience).await;
    ready.expect("the settings in force");
    assert_eq!(
        result(&yard, "visitor", "act", json!({})).await["url"],
        "http://a"
    );
    let revision = yard.set("visitor", sealed()).await;
    let ready = worker::Caller::ready(yard.plugins.as_ref(), &job, revision, patience).await;
    ready.expect("the settings in force");
    assert_eq!(result(&yard, "visitor", "act", json!({})).await["url"], "");

    let (yard, address) = engine(remote(90, &["visitor"])).await;
    yard.set("visitor", sealed()).await;
    let trusted = visitor(address);
    assert_eq!(until(&yard, "visitor", 1).await.remove(0).note, None);
    let changed = result(&yard, "visitor", "change", json!({})).await;
    assert_eq!(changed["pid"], trusted.pid());
    assert_eq!(changed["url"], "***url***");
}

#[tokio::test]
async fn nobody_asks_people_for_an_agent_that_proves_nothing_without_knowing_its_execution() {
    let (yard, address) = engine(remote(90, &["visitor"])).await;
    let _trusted = visitor(address);
    until(&yard, "visitor", 1).await;
    let address = address.to_string().parse().expect("an address");
    let connection = Connection::open(&address, Duration::from_secs(5)).await;
    let connection = connection.expect("it listens");
    let mut client = EngineServiceClient::with_origin(connection, Connection::origin());
    let asked = v1::RequestApprovalRequest {
        tenant_id: yard::tenant().to_string(),
        description: "restart it".to_owned(),
        ..v1::RequestApprovalRequest::default()
    };
    let refused = client
        .request_approval(asked)
        .await
        .expect_err("a stranger");
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
    assert!(refused.message().contains("execution_id"), "{refused}");
}
