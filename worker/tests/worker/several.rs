//! What agents of the JSON form may ask and say while they work: on nothing, on one run, on several at once.

use std::sync::Arc;
use std::time::Duration;

use engine::id::{RunId, Shard, StepNo};
use engine::job::Job;
use engine::principal::Principal;
use engine::time::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Code;
use worker::{CallResult, Caller};

use crate::peer::{Answer, Peer, result};
use crate::remote::{engine, pinned, remote, until};
use crate::yard::{Heard, Yard, call_of};

/// A call that stays open until the test lets go of it.
fn calling(yard: &Yard, job: Job) -> JoinSet<CallResult> {
    let plugins = Arc::clone(&yard.plugins);
    let mut calls = JoinSet::new();
    calls.spawn(async move {
        let call = call_of(&job, &json!({}), Duration::from_secs(30));
        plugins.call(call, Arc::new(Heard::default())).await
    });
    calls
}

/// The same call in another run, for which somebody else has asked.
fn of_another(job: &Job) -> Job {
    let mut other = job.clone();
    other.key.run = RunId::new(Timestamp::from_millis(7), Shard(0), 2);
    other.requester = Principal::Key("somebody-else".to_owned());
    other
}

#[tokio::test]
async fn an_agent_speaks_only_about_runs_that_it_is_working_on() {
    let (yard, address) = engine(remote(90, &[])).await;
    let (one, two) = (
        Peer::new(address, "odd", "one").await,
        Peer::new(address, "even", "two").await,
    );
    for peer in [&one, &two] {
        peer.answers("Execute", Answer::Hangs);
        assert_eq!(peer.registers().await, "");
        until(&yard, peer.name, 1).await;
    }
    let job = pinned(&yard, "even", "read").await;
    let (run, call) = (job.key.run.to_string(), calling(&yard, job));
    two.asked("Execute", 1).await;
    let publishes = |of: &str, name: &str| json!({ "execution_id": of, "plugin_name": name, "success": true, "tenant_id": "default" });
    // Nobody says of itself who it is when it publishes: what counts is that somebody is at it.
    let foreign = "0190a5f0-0000-7000-8000-000000000000";
    for of in [foreign, "", "../.."] {
        let refused = one.says("PublishResult", publishes(of, "odd")).await;
        assert_eq!(refused.expect_err(of).code(), Code::PermissionDenied);
    }
    let line = |name: &str| json!({ "plugin_name": name, "event_type": "x", "execution_id": run, "tenant_id": "default" });
    let refused = one.says("LogEvent", line("odd")).await;
    assert_eq!(
        refused.expect_err("it is even's").code(),
        Code::PermissionDenied
    );
    two.says("LogEvent", line("even")).await.expect("its own");
    drop(call);
}

#[tokio::test]
async fn an_agent_that_works_on_several_runs_has_others_read_in_nobody_s_name() {
    let (yard, address) = engine(remote(90, &["odd"])).await;
    let (asks, reads) = (
        Peer::new(address, "odd", "one").await,
        Peer::new(address, "even", "two").await,
    );
    for peer in [&asks, &reads] {
        assert_eq!(peer.registers().await, "");
        until(&yard, peer.name, 1).await;
    }
    asks.answers("Execute", Answer::Hangs);
    reads.answers("Execute", result(&json!({ "n": 7 })));
    let first = pinned(&yard, "odd", "read").await;
    let wanted = json!({
        "caller_plugin": "odd", "target_plugin": "even", "params_json": "{\"action\":\"read\"}",
        "tenant_id": "default",
    });
    let idle = asks.says("CallPlugin", wanted.clone()).await;
    assert_eq!(idle.expect_err("it is idle").code(), Code::PermissionDenied);
    let one = calling(&yard, first.clone());
    asks.asked("Execute", 1).await;
    asks.says("CallPlugin", wanted.clone())
        .await
        .expect("for its only run");
    let told = reads.asked("Execute", 1).await;
    assert_eq!(told["principal"]["name"], first.requester.to_string());

    let two = calling(&yard, of_another(&first));
    asks.asked("Execute", 2).await;
    let answer = asks.says("CallPlugin", wanted).await;
    let answer = answer.expect("whoever asked for either may read");
    assert_eq!(answer["success"], true, "{answer}");
    let told = reads.asked("Execute", 2).await;
    assert_eq!(told["principal"], Value::Null, "it may be either's");
    drop((one, two));
}

#[tokio::test]
async fn a_question_that_may_be_of_several_steps_is_refused_with_what_to_do() {
    let (yard, address) = engine(remote(90, &["odd"])).await;
    let peer = Peer::new(address, "odd", "one").await;
    peer.answers("Execute", Answer::Hangs);
    assert_eq!(peer.registers().await, "");
    until(&yard, "odd", 1).await;
    let first = pinned(&yard, "odd", "read").await;
    let mut second = first.clone();
    second.step = StepNo(second.step.0 + 1);
    second.name = "another".to_owned();
    let run = first.key.run.to_string();
    let calls = [calling(&yard, first), calling(&yard, second)];
    peer.asked("Execute", 2).await;
    let asked = json!({ "execution_id": run, "description": "May I?", "tenant_id": "default" });
    let refused = peer.says("RequestApproval", asked).await;
    let refused = refused.expect_err("nobody knows for which");
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    assert!(refused.message().contains("max_parallel: 1"), "{refused}");
    for call in calls {
        drop(call);
    }
}
