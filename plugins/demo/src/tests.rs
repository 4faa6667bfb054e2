use std::time::Duration;

use mirastack_sdk::{
    Found,
    testing::{Call, Harness},
};
use proto::v1::Change;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::*;

/// The agent over a file of its own.
async fn demo() -> (Harness, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let harness = Harness::start(agent()).await;
    let file = folder.path().join("values.json");
    harness
        .configure(&[("file", file.to_str().expect("a plain path"))])
        .await
        .expect("a good setting");
    (harness, folder)
}

fn change(value: &str) -> Call {
    Call::new("change", json!({ "key": "greeting", "value": value }))
}

async fn value(harness: &Harness) -> (Value, Value) {
    let output = harness
        .run(&Call::new("read", json!({ "key": "greeting" })))
        .await
        .output();
    (output["value"].clone(), output["changes"].clone())
}

#[tokio::test]
async fn every_action_holds() {
    let (harness, _folder) = demo().await;
    let examples = [
        Call::new("read", json!({ "key": "greeting" })),
        change("hello"),
        Call::new("slow", json!({ "steps": 4, "step_ms": 1 })),
        Call::new("fail", json!({ "code": "boom" })).fails_with("boom"),
        Call::new("echo", json!({ "any": ["thing", 1, null] })),
    ];
    harness.fail_every_action_in_turn(&examples).await;
    harness.run_every_action_twice(&examples).await;
}

#[test]
fn the_page_is_up_to_date() {
    Harness::documented_in(
        &agent(),
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/agents"),
    );
}

#[tokio::test]
async fn a_change_is_read_back_and_made_once_per_key() {
    let (harness, _folder) = demo().await;
    assert_eq!(value(&harness).await, (Value::Null, json!(0)));
    let first = harness.run(&change("hello").key("k")).await.output();
    assert_eq!(
        first,
        json!({ "key": "greeting", "value": "hello", "previous": null, "changes": 1 })
    );
    assert_eq!(
        harness
            .run(&change("hello").key("k").attempt(2))
            .await
            .output(),
        first
    );
    assert_eq!(value(&harness).await, (json!("hello"), json!(1)));
    let second = harness.run(&change("servus").key("l")).await.output();
    assert_eq!(
        (&second["previous"], &second["changes"]),
        (&json!("hello"), &json!(2))
    );
    assert_eq!(
        harness.look_up(&change("hello"), "k").await,
        Found::Done(first)
    );
}

#[tokio::test]
async fn changes_at_the_same_time_are_all_made() {
    let (harness, folder) = demo().await;
    let (other, _) = demo().await;
    let file = folder.path().join("values.json");
    other
        .configure(&[("file", file.to_str().expect("a plain path"))])
        .await
        .expect("a good setting");
    let changes = (0..20).map(|n| {
        let (harness, call) = (
            if n % 2 == 0 { &harness } else { &other },
            change(&n.to_string()),
        );
        async move { harness.run(&call).await.output() }
    });
    futures::future::join_all(changes).await;
    assert_eq!(value(&harness).await.1, json!(20));
}

#[tokio::test]
async fn it_fails_before_and_after_the_change_on_request() {
    let (harness, _folder) = demo().await;
    let failing = |when: &str| {
        Call::new(
            "change",
            json!({ "key": "greeting", "value": "x", "fail": when }),
        )
        .key(when)
    };
    assert_eq!(
        harness.run(&failing("before")).await.failure(),
        ("failed_before", Change::NotMade)
    );
    assert_eq!(
        harness.look_up(&change("x"), "before").await,
        Found::NotDone
    );
    assert_eq!(value(&harness).await.1, json!(0));
    assert_eq!(
        harness.run(&failing("after")).await.failure(),
        ("failed_after", Change::Unknown)
    );
    assert!(matches!(
        harness.look_up(&change("x"), "after").await,
        Found::Done(_)
    ));
    assert_eq!(
        harness.run(&failing("after").attempt(2)).await.output()["changes"],
        json!(1)
    );
}

#[tokio::test]
async fn slow_work_goes_on_from_its_checkpoint() {
    let (harness, _folder) = demo().await;
    let call = Call::new("slow", json!({ "steps": 5, "step_ms": 0 }));
    let whole = harness.run(&call).await;
    assert_eq!(
        whole.output(),
        json!({ "steps": 5, "done_here": 5, "resumed_at": 0 })
    );
    assert_eq!(whole.checkpoints, ["1", "2", "3", "4", "5"]);
    let rest = harness
        .run(
            &call
                .clone()
                .checkpoint(whole.checkpoints[2].clone())
                .attempt(2),
        )
        .await;
    assert_eq!(
        rest.output(),
        json!({ "steps": 5, "done_here": 2, "resumed_at": 3 })
    );
    let nothing = harness.run(&call.checkpoint(&b"9"[..])).await;
    assert_eq!(
        nothing.output(),
        json!({ "steps": 5, "done_here": 0, "resumed_at": 5 })
    );
}

#[tokio::test]
async fn what_is_echoed_may_be_waited_for_and_comes_back_whole() {
    let (harness, _folder) = demo().await;
    let given = json!({ "any": ["thing", 1, null], "delay_ms": 30 });
    let begin = Instant::now();
    let echoed = harness
        .run(&Call::new("echo", given.clone()))
        .await
        .output();
    assert_eq!(echoed, given);
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(30), "{took:?}");
}

#[tokio::test]
async fn it_fails_so_many_attempts() {
    let (harness, _folder) = demo().await;
    let call = Call::new(
        "fail",
        json!({ "code": "flaky", "message": "not yet", "retryable": true, "times": 2 }),
    );
    for attempt in [1, 2] {
        let outcome = harness.run(&call.clone().attempt(attempt)).await;
        assert_eq!(outcome.failure(), ("flaky", Change::Unspecified));
        assert_eq!(
            (outcome.response.error.as_str(), outcome.response.retryable),
            ("not yet", true)
        );
    }
    assert_eq!(
        harness.run(&call.attempt(3)).await.output(),
        json!({ "attempt": 3 })
    );
}

#[tokio::test]
async fn a_damaged_file_is_named_and_left_alone() {
    let (harness, folder) = demo().await;
    let file = folder.path().join("values.json");
    std::fs::write(&file, "{ not json").expect("a writable folder");
    let outcome = harness.run(&change("x")).await;
    assert_eq!(outcome.failure(), ("file_unreadable", Change::NotMade));
    assert!(
        outcome
            .response
            .error
            .contains(file.to_str().expect("a plain path"))
    );
    assert!(
        harness
            .health()
            .await
            .expect_err("damaged")
            .contains("values.json")
    );
    assert_eq!(
        std::fs::read_to_string(&file).expect("still there"),
        "{ not json"
    );
}
