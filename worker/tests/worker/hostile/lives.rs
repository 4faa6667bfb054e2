use std::time::Duration;

use engine::duration::Duration as Length;
use engine::registry::{InstanceState, SettingValue};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::Instant;
use worker::{CallResult, NotSent, PluginsConfig};

use super::field::is_harmless;
use crate::bench::within;
use crate::yard::{Heard, Yard, call_of, is_alive, job, quick};

/// How a plugin may fail to come up, and what is said of it.
const FAULTS: [(&str, &str); 17] = [
    ("dies", "exit status: 3"),
    ("silent", "did not serve and register within 1s"),
    ("garbage", "its first line is not MIRASTACK_PLUGIN_PORT="),
    (
        "endless-line",
        "its first line is not MIRASTACK_PLUGIN_PORT=",
    ),
    ("no-port", "its first line is not MIRASTACK_PLUGIN_PORT="),
    ("elsewhere", "cannot connect to 127.0.0.1:"),
    ("mumbles", "it does not say who it is"),
    ("deaf", "did not serve and register within 1s"),
    ("mute", "did not serve and register within 1s"),
    ("info-hangs", "did not serve and register within 1s"),
    ("info-refused", "it does not say who it is: \\u{1b}[2J"),
    ("info-empty", "type must be agent, provider or connector"),
    ("info-huge", "it does not say who it is"),
    (
        "info-of-another",
        "it offers other actions than its manifest says",
    ),
    ("imposter", "it offers other actions than its manifest says"),
    (
        "registers-as-another",
        "did not serve and register within 1s",
    ),
    (
        "registers-with-a-guess",
        "did not serve and register within 1s",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_does_not_come_up_is_tried_again_and_people_are_told_why() {
    let more = [
        (
            "registers-elsewhere",
            "did not serve and register within 1s",
        ),
        ("registers-nameless", "did not serve and register within 1s"),
    ];
    let faults: Vec<_> = FAULTS.into_iter().chain(more).collect();
    let installed = faults.iter().map(|(fault, _)| (*fault, *fault));
    let installed: Vec<_> = installed.chain([("good", "good")]).collect();
    let start = Length::from_secs(1);
    let yard = Yard::with(PluginsConfig { start, ..quick() }, &installed).await;
    let good = yard.pid("good").await;
    for few in faults.chunks(5) {
        let few = few
            .iter()
            .map(|(name, says)| comes_not_up(&yard, name, says));
        futures::future::join_all(few).await;
        assert_eq!(yard.pid("good").await, good, "the good one was touched");
    }
}

async fn comes_not_up(yard: &Yard, name: &str, says: &str) {
    let job = job(name);
    let mut call = call_of(&job, &json!({}), Duration::from_secs(5));
    // Until it has failed for the first time.
    call.ready = Duration::from_secs(60);
    let heard = std::sync::Arc::new(Heard::default());
    let called = worker::Caller::call(&*yard.plugins, call, heard);
    let failed = yard.until(name, |i| i.state == InstanceState::Backoff);
    let instance = tokio::select! {
        result = called => panic!("{name}: {result:?}"),
        instance = failed => instance,
    };
    let told = instance.last_error.expect("a reason");
    assert!(told.contains(says), "{name}: {told:.300}");
    assert!(is_harmless(&told), "{name}: {told:?}");
    assert!(instance.next_start.is_some(), "{name}");
}

#[tokio::test]
async fn a_crash_loop_waits_longer_each_time_and_holds_up_its_own_calls_only() {
    let yard = Yard::new(&[("dies", "dies"), ("good", "good")]).await;
    let job = job("dies");
    let mut call = call_of(&job, &json!({}), Duration::from_secs(60));
    call.ready = Duration::from_secs(60);
    let heard = std::sync::Arc::new(Heard::default());
    let loops = yard.until("dies", |i| i.restarts == 2 && i.next_start.is_some());
    let instance = tokio::select! {
        result = worker::Caller::call(&*yard.plugins, call, heard) => panic!("{result:?}"),
        instance = loops => instance,
        never = async { loop { yard.pid("good").await; } } => never,
    };
    let next = instance.next_start.expect("it is tried again");
    assert!(next.millis_since(instance.since) >= 3_900, "1, 2, 4 s");
}

#[tokio::test]
async fn a_plugin_that_leaves_a_child_behind_takes_it_along() {
    let yard = Yard::new(&[("one", "good")]).await;
    let child = yard
        .result("one", json!({ "do": "bad", "how": "fork" }))
        .await;
    let child = child["child"].as_i64().expect("a pid");
    assert!(is_alive(child));
    yard.act("one", json!({ "do": "die" })).await;
    yard.until("one", |i| i.last_error.is_some()).await;
    within(async {
        while is_alive(child) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_plugin_that_hangs_does_not_hold_up_the_end_of_the_worker() {
    for manners in ["sick", "stubborn", "good"] {
        let mut yard = Yard::new(&[("one", manners)]).await;
        let pid = yard.pid("one").await;
        if manners == "good" {
            let stopped = yard
                .call(
                    &job("one"),
                    &json!({ "do": "bad", "how": "stop" }),
                    Duration::from_millis(300),
                )
                .await;
            assert_eq!(stopped, CallResult::TimedOut);
        }
        let began = Instant::now();
        yard.stop.cancel();
        within(yard.running.join_next())
            .await
            .expect("it runs")
            .expect("no panic")
            .expect("it served");
        assert!(!is_alive(pid));
        // It has half a second to end; what it was asked meanwhile may take six.
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "{manners}: {took:?}");
    }
}

#[tokio::test]
async fn a_long_refusal_of_settings_is_cut_and_does_nothing_to_a_terminal() {
    let yard = Yard::new(&[("one", "good"), ("good", "good")]).await;
    yard.set("one", SettingValue::Plain(json!("refused at length")))
        .await;
    let result = yard.act("one", json!({})).await;
    let CallResult::NotSent(NotSent::Unavailable(told)) = result else {
        panic!("{result:?}")
    };
    assert!(
        told.contains("refuses its settings (revision 1): \\u{1b}[31mno"),
        "{told:.200}"
    );
    assert!(told.len() < 9_000, "{} bytes", told.len());
    yard.pid("good").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_is_alive_and_deaf_is_started_again_once_no_call_of_it_runs() {
    let deaf = Length::from_secs(1);
    let config = PluginsConfig { deaf, ..quick() };
    let yard = Yard::with(config, &[("good", "good")]).await;
    let first = yard.pid("good").await;
    let process = i32::try_from(first).ok().and_then(Pid::from_raw);
    // It is there, and does nothing any more.
    kill_process(process.expect("a pid"), Signal::STOP).expect("it runs");
    let second = Duration::from_secs(1);
    let lost = yard
        .call(&job("good"), &json!({ "do": "pid" }), second)
        .await;
    assert!(matches!(lost, CallResult::TimedOut), "{lost:?}");
    let again = yard.until("good", |instance| instance.restarts == 1).await;
    assert!(!is_alive(first), "{again:?}");
    assert_ne!(yard.pid("good").await, first);
}
