//! Agents on the released Python SDK, which this project did not write. `scripts/python-sdk` fetches it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use engine::event::TimeSpan;
use engine::registry::SettingValue;
use engine::time::Timestamp;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::process::Command;
use worker::{CallResult, Caller};

use crate::remote::{
    Process, agent, engine, line, pinned, remote, reserved, restarted, result, result_and_said,
    until, yard_at,
};
use crate::yard;

async fn snake(engine: SocketAddr, arguments: &[&str]) -> Process {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fetched = Command::new(root.join("../scripts/python-sdk"))
        .output()
        .await;
    let fetched = fetched.expect("a shell");
    let why = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "{why}");
    let python = String::from_utf8(fetched.stdout).expect("a path");
    let (_, own) = reserved();
    let mut command = Command::new(python.trim());
    command
        .arg(root.join("tests/worker/python/agent.py"))
        .args(arguments)
        .env("MIRASTACK_ENGINE_ADDR", engine.to_string())
        .env("MIRASTACK_PLUGIN_ADDR", own.to_string())
        .env("MIRASTACK_PLUGIN_ADVERTISE_ADDR", own.to_string())
        .env("MIRASTACK_PLUGIN_TENANT_SLUG", yard::tenant().as_str())
        .env("MIRASTACK_PLUGIN_HEARTBEAT_INTERVAL", "1")
        .env("MIRASTACK_SDK_CONFIG_CACHE_TTL", "0");
    Process::start(command)
}

#[tokio::test]
async fn an_agent_that_cannot_say_what_it_does_is_listed_with_the_reason_and_looked_after() {
    let (socket, address) = reserved();
    let mut snake = snake(address, &[]).await;
    snake.says("Plugin registration pending").await;
    let config = || remote(9, &[]);
    let first = yard_at(socket.listen(64).expect("a bound socket"), config()).await;
    let there = until(&first, "snake", 1).await.remove(0);
    let note = there.note.expect("a note");
    assert!(
        note.starts_with("registered, metadata unavailable: ") && note.contains("serialize"),
        "{note}"
    );
    assert_eq!(
        (there.form.as_str(), there.version.as_deref()),
        ("json", Some("0.2.0"))
    );
    let listed = agent(&first, "snake").await;
    assert!(listed.unauthenticated && listed.manifest.actions.is_empty());
    let why = listed.metadata_unavailable.expect("a reason");
    assert!(why.contains("serialize"), "{why}");
    let health = first.plugins.health(&yard::tenant(), "snake").await;
    assert!(health.as_ref().is_ok_and(|health| health.ok), "{health:?}");
    first
        .set("snake", SettingValue::Plain(json!("broken")))
        .await;
    let health = first.plugins.health(&yard::tenant(), "snake").await;
    let health = health.expect("it is there");
    assert_eq!(
        (health.ok, health.message.as_str()),
        (false, "the back end is down")
    );

    let second = restarted(first, address, config()).await;
    until(&second, "snake", 1).await;
    snake.signal(Signal::TERM);
    snake.says("Deregistered from engine").await;
    until(&second, "snake", 0).await;
}

#[tokio::test]
async fn a_repaired_agent_is_called_and_calls_back() {
    let (yard, address) = engine(remote(90, &[])).await;
    let _snake = snake(address, &["repaired"]).await;
    let there = until(&yard, "snake", 1).await.remove(0);
    let note = there.note.expect("a note");
    assert!(note.ends_with("does not trust it: change"), "{note}");
    let mut job = pinned(&yard, "snake", "read").await;
    let url = SettingValue::Plain(json!("http://a"));
    let revision = yard.set("snake", url).await;
    let ready = yard.plugins.ready(&job, revision, Duration::from_secs(10));
    ready.await.expect("it takes them");
    job.call.time_range = Some(TimeSpan {
        start: Timestamp::from_millis(1_000),
        end: Timestamp::from_millis(2_500),
    });
    let params = json!({ "query": "x", "limit": 3 });
    let called = yard.call(&job, &params, Duration::from_secs(10)).await;
    let CallResult::Succeeded { output } = called else {
        panic!("{called:?}")
    };
    let told: Value = serde_json::from_slice(&output).expect("JSON");
    assert_eq!(
        (&told["pushed"], &told["span"]),
        (&json!({ "url": "http://a" }), &json!([1_000, 2_500]))
    );
    assert_eq!(
        told["params"],
        json!({ "action": "read", "query": "x", "limit": "3" })
    );
    assert_eq!(
        (&told["mode"], &told["url"]),
        (&json!("GUIDED"), &json!("http://a"))
    );

    let params = json!({ "query": "call back" });
    let (told, said) = result_and_said(&yard, "snake", params).await;
    assert_eq!(told["refused"], "StatusCode.PERMISSION_DENIED");
    assert_eq!(
        (&told["cached"], &told["kpi"], &told["kpis"]),
        (&json!(null), &json!(null), &json!([]))
    );
    let none = |key| json!({ "key": key, "value": "", "found": false });
    assert_eq!(told["batch"], json!([none("k"), none("none"), none("k")]));
    let expected = [
        line("warn", r#"said by a call-back a=1 n=["✓",2]"#),
        line("debug", "without data"),
        line("info", r#"result: {"a": "1"}"#),
    ];
    assert_eq!(said, expected);

    let params = json!({ "query": "fail" });
    let failed = yard.call(&job, &params, Duration::from_secs(10)).await;
    let CallResult::Failed { failure, .. } = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("plugin_error", "as you wish")
    );
}

#[tokio::test]
async fn a_repaired_agent_that_is_trusted_has_others_read() {
    let (yard, address) = engine(remote(90, &["snake"])).await;
    let _snake = snake(address, &["repaired"]).await;
    until(&yard, "snake", 1).await;
    let told = result(&yard, "snake", "read", json!({ "query": "call" })).await;
    let again = json!({ "action": "read", "query": "again" });
    assert_eq!(told["called"]["params"], again, "it called itself");
}
