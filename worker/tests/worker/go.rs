//! An agent on grpc-go, in the form of the protocol that the public Go agents speak. `scripts/go-peer` builds it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::event::TimeSpan;
use engine::id::{RunId, Shard};
use engine::registry::{Instance, SettingValue};
use engine::time::Timestamp;
use proto::connection::Connection;
use proto::v1::CallPluginRequest;
use proto::v1::engine_service_client::EngineServiceClient;
use rustix::process::Signal;
use serde_json::{Value, json};
use store::embedded::{Embedded, Options, Place};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tonic::Code;
use worker::{CallResult, Caller};

use crate::bench::within;
use crate::remote::{
    Process, agent, engine, line, pinned, remote, reserved, restarted, result, result_and_said,
    until, until_is, yard_at,
};
use crate::yard::{self, Heard, Yard, call_of};

async fn gopher(engine: SocketAddr) -> Process {
    let mut command = command(engine).await;
    command.env("MIRASTACK_PLUGIN_HEARTBEAT_INTERVAL", "1");
    Process::start(command)
}

async fn command(engine: SocketAddr) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let built = Command::new(root.join("../scripts/go-peer")).output().await;
    let built = built.expect("a shell");
    let why = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{why}");
    let program = String::from_utf8(built.stdout).expect("a path");
    let mut command = Command::new(program.trim());
    command
        .env("MIRASTACK_ENGINE_ADDR", engine.to_string())
        .env("MIRASTACK_PLUGIN_ADDR", "127.0.0.1:0")
        .env("MIRASTACK_PLUGIN_TENANT_ID", yard::tenant().as_str());
    command
}

#[tokio::test]
async fn a_go_agent_says_that_it_lives_as_often_as_it_is_asked_to() {
    let (yard, address) = engine(remote(18, &[])).await;
    let mut gopher = Process::start(command(address).await);
    let first = until(&yard, "gopher", 1).await.remove(0);
    gopher.says("says every 2s that it lives").await;
    let is_later = |there: &Instance| there.expires_at > first.expires_at;
    until_is(&yard, "gopher", is_later).await;
}

#[tokio::test]
async fn a_go_agent_may_be_up_before_its_engine_outlives_it_and_says_good_bye() {
    let (socket, address) = reserved();
    let mut gopher = gopher(address).await;
    gopher.says("not registered").await;
    let config = || remote(9, &["gopher"]);
    let first = yard_at(socket.listen(64).expect("a bound socket"), config()).await;
    let there = until(&first, "gopher", 1).await.remove(0);
    assert_eq!(
        (there.form.as_str(), there.version.as_deref(), there.note),
        ("json", Some("0.3.0"), None)
    );
    let listed = agent(&first, "gopher").await;
    let actions: Vec<&str> = listed
        .manifest
        .actions
        .iter()
        .map(|a| a.id.as_str())
        .collect();
    assert_eq!(actions, ["read", "change"]);
    let params = json!({ "query": "x", "limit": 3 });
    let told = result(&first, "gopher", "read", params).await;
    let sent = json!({ "action": "read", "query": "x", "limit": "3" });
    assert_eq!((&told["action"], &told["params"]), (&json!("read"), &sent));
    assert_eq!(told["time_range"], json!(null));
    let mut job = pinned(&first, "gopher", "read").await;
    job.call.time_range = Some(TimeSpan {
        start: Timestamp::from_millis(1_000),
        end: Timestamp::from_millis(2_500),
    });
    let params = json!({ "query": "x" });
    let called = first.call(&job, &params, Duration::from_secs(10)).await;
    let CallResult::Succeeded { output } = called else {
        panic!("{called:?}")
    };
    let told: Value = serde_json::from_slice(&output).expect("JSON");
    let span = json!({ "start_epoch_ms": 1_000, "end_epoch_ms": 2_500 });
    assert_eq!(told["time_range"], span);

    let second = restarted(first, address, config()).await;
    gopher.says("asked to register again").await;
    until(&second, "gopher", 1).await;
    result(&second, "gopher", "read", json!({ "query": "x" })).await;
    gopher.signal(Signal::TERM);
    gopher.says("deregistered: true").await;
    until(&second, "gopher", 0).await;
}

#[tokio::test]
async fn a_go_agent_gets_its_settings_and_says_how_it_is() {
    let (yard, address) = engine(remote(90, &[])).await;
    let _gopher = gopher(address).await;
    until(&yard, "gopher", 1).await;
    let health = async || {
        let health = yard.plugins.health(&yard::tenant(), "gopher").await;
        let health = health.expect("it is there");
        (health.ok, health.message)
    };
    assert_eq!(health().await, (true, "ok".to_owned()));
    let job = pinned(&yard, "gopher", "read").await;
    let url = SettingValue::Plain(json!("http://a"));
    let revision = yard.set("gopher", url).await;
    let ready = yard.plugins.ready(&job, revision, Duration::from_secs(10));
    within(ready).await.expect("it takes them");
    let told = result(&yard, "gopher", "read", json!({ "query": "x" })).await;
    assert_eq!(told["url"], "http://a", "it was pushed");
    yard.set("gopher", SettingValue::Plain(json!("broken")))
        .await;
    assert_eq!(health().await, (false, "the back end is down".to_owned()));

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
async fn a_go_agent_keeps_any_bytes_in_its_cache_and_calls_back() {
    let (yard, address) = engine(remote(90, &[])).await;
    let _gopher = gopher(address).await;
    until(&yard, "gopher", 1).await;
    let told = result(&yard, "gopher", "read", json!({ "query": "cache" })).await;
    let all: String = (0..=255_u8).map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        (&told["gzip"], &told["none"], &told["all"]),
        (&json!("1f8b00ff"), &json!(""), &json!(all))
    );
    let params = json!({ "query": "call back" });
    let (told, said) = result_and_said(&yard, "gopher", params).await;
    for (method, code) in [
        ("LogEvent", "OK"),
        ("PublishResult", "OK"),
        ("PublishResult of a failure", "OK"),
        ("ListKPIs", "OK"),
        ("GetKPI", "OK"),
        ("CallPlugin", "PermissionDenied"),
        ("RequestApproval", "PermissionDenied"),
    ] {
        assert_eq!(told[method]["code"], code, "{method}: {told}");
    }
    let none = json!({ "kpis": [], "kpi": null });
    assert_eq!(told["ListKPIs"]["answer"], none);
    assert_eq!(told["GetKPI"]["answer"]["kpi"], json!(null));
    let expected = [
        line("warn", r#"said by a call-back a=1 n=["✓",2]"#),
        line("info", r#"result: {"a":"1","n":["✓",2]}"#),
        line("error", "failed: no more today"),
    ];
    assert_eq!(said, expected);
}

/// An engine with an agent `one` of its own, and a gopher.
async fn with_one() -> (Yard, SocketAddr, Process) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let store = Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
    let folder = TempDir::new().expect("a temporary folder");
    yard::install(folder.path(), "one", "good");
    let yard = Yard::at(listener, remote(90, &["gopher"]), folder, store).await;
    let gopher = gopher(address).await;
    until(&yard, "gopher", 1).await;
    (yard, address, gopher)
}

#[tokio::test]
async fn an_agent_that_is_called_may_have_others_read_and_nothing_else() {
    let (yard, address, _gopher) = with_one().await;
    let call = async |agent: &str, params: Value| {
        let params = json!({ "query": "call", "agent": agent, "params": params.to_string() });
        result(&yard, "gopher", "read", params).await
    };
    let told = call("one", json!({ "action": "act", "do": "pid" })).await;
    let pid = yard.pid("one").await;
    assert_eq!(
        (&told["code"], &told["result"]["pid"]),
        (&json!("OK"), &json!(pid))
    );
    let told = call(
        "one",
        json!({ "action": "act", "do": "fail", "code": "no" }),
    )
    .await;
    assert_eq!(
        (&told["code"], &told["result"]),
        (&json!("OK"), &json!(null))
    );
    assert_ne!(told["why"], "", "{told}");
    for (agent, params, code) in [
        ("one", json!({ "action": "change" }), "PermissionDenied"),
        ("one", json!({ "action": "none" }), "NotFound"),
        ("none", json!({ "action": "act" }), "NotFound"),
        ("one", json!({ "do": "pid" }), "InvalidArgument"),
        ("one", json!({ "action": 7 }), "InvalidArgument"),
        ("one", json!([]), "InvalidArgument"),
        // It needs a query.
        ("gopher", json!({ "action": "read" }), "InvalidArgument"),
    ] {
        let told = call(agent, params.clone()).await;
        assert_eq!(told["code"], code, "{agent} {params}: {told}");
    }
    // Who is not called itself calls nobody.
    let address = address.to_string().parse().expect("an address");
    let connection = Connection::open(&address, Duration::from_secs(5)).await;
    let connection = connection.expect("it listens");
    let mut engine = EngineServiceClient::with_origin(connection, Connection::origin());
    let asked = CallPluginRequest {
        caller_plugin: "gopher".to_owned(),
        target_plugin: "one".to_owned(),
        action_id: "act".to_owned(),
        tenant_id: yard::tenant().to_string(),
        ..CallPluginRequest::default()
    };
    let refused = engine.call_plugin(asked).await.expect_err("it is idle");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
}

#[tokio::test]
async fn agents_that_call_each_other_in_a_circle_come_to_an_end() {
    let (yard, _, _gopher) = with_one().await;
    let params = json!({ "query": "circle" });
    let mut told = result(&yard, "gopher", "read", params).await;
    let mut depth = 0;
    while told["code"] == "OK" {
        depth += 1;
        told = told["result"].take();
    }
    assert_eq!((depth, &told["code"]), (16, &json!("ResourceExhausted")));
}

#[tokio::test]
async fn a_line_stands_in_the_log_of_the_execution_that_it_names() {
    let (yard, _, _gopher) = with_one().await;
    let first = pinned(&yard, "gopher", "read").await;
    let mut second = first.clone();
    second.key.run = RunId::new(Timestamp::from_millis(7), Shard(0), 2);
    assert_ne!(first.key, second.key);
    // The second one waits for an answer while the first one speaks.
    let heard = [Arc::new(Heard::default()), Arc::new(Heard::default())];
    let waiting = json!({ "query": "wait" });
    let call = call_of(&second, &waiting, Duration::from_secs(20));
    let waiting = yard.plugins.call(call, heard[1].clone());
    let speaking = async {
        // Until a line that names nobody reaches both, the second one has not begun.
        loop {
            let params = json!({ "query": "tell", "of": "" });
            let call = call_of(&first, &params, Duration::from_secs(10));
            within(yard.plugins.call(call, heard[0].clone())).await;
            if lines(&heard[1]) > 0 {
                break;
            }
        }
        let before = [lines(&heard[0]), lines(&heard[1])];
        let of_second = second.key.run.to_string();
        let mut codes = Vec::new();
        for of in [
            "own",
            &of_second,
            "0190a5f0-0000-7000-8000-000000000000",
            "7",
        ] {
            let params = json!({ "query": "tell", "of": of });
            let call = call_of(&first, &params, Duration::from_secs(10));
            let CallResult::Succeeded { output } =
                within(yard.plugins.call(call, heard[0].clone())).await
            else {
                panic!("{of}")
            };
            let told: Value = serde_json::from_slice(&output).expect("JSON");
            codes.push(told["code"].clone());
            let now = [lines(&heard[0]) - before[0], lines(&heard[1]) - before[1]];
            codes.push(json!(now));
        }
        // And it may have another agent read: both of them may.
        let params = json!({ "query": "call", "agent": "one", "params": "{\"action\":\"act\"}" });
        codes.push(result(&yard, "gopher", "read", params).await["code"].clone());
        codes
    };
    let codes = tokio::select! {
        codes = speaking => codes,
        result = waiting => panic!("{result:?}"),
    };
    // Its own; another one that it runs; one that it does not run; a word of its own, which goes to all.
    assert_eq!(
        json!(codes),
        json!([
            "OK",
            [1, 0],
            "OK",
            [1, 1],
            "PermissionDenied",
            [1, 1],
            "OK",
            [2, 2],
            "OK"
        ])
    );
}

fn lines(heard: &Heard) -> usize {
    heard.0.lock().expect("no panic").len()
}
