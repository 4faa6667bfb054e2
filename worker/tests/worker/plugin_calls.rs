use std::sync::Arc;
use std::time::Duration;

use engine::code::Code;
use engine::job::JobKind;
use serde_json::json;
use worker::{CallResult, Caller, Change, LookUpResult, NotSent, Said};

use crate::yard::{self, Heard, Yard, call_of, is_alive, job};

#[tokio::test]
async fn a_call_starts_the_plugin_and_the_next_one_finds_it_running() {
    let yard = Yard::new(&[("one", "good")]).await;
    let pid = yard.pid("one").await;
    assert!(is_alive(pid));
    assert_eq!(yard.pid("one").await, pid);
    assert_eq!(
        yard.result("one", json!({ "a": [1, 2.5, "x"] })).await,
        json!({ "a": [1, 2.5, "x"] })
    );
}

#[tokio::test]
async fn a_plugin_is_told_all_that_the_job_says() {
    let yard = Yard::new(&[("one", "good")]).await;
    let mut job = job("one");
    job.attempt.0 = 3;
    job.try_number = 2;
    job.call.time_range = crate::jobs::change(1).call.time_range;
    let told = yard
        .call(&job, &json!({ "do": "request" }), Duration::from_secs(60))
        .await;
    let CallResult::Succeeded { output } = told else {
        panic!("{told:?}")
    };
    let mut told: serde_json::Value = serde_json::from_slice(&output).expect("JSON");
    let deadline = told["deadline"].take().as_i64().expect("a deadline");
    assert!(deadline > 1_700_000_000_000);
    let expected = json!({
        "run": job.key.run, "step": "step1", "tenant": "default", "workflow": "silence", "key": "run/1",
        "fence": 3, "attempt": 2, "deadline": null, "start": crate::jobs::NOW - 1000,
        "who": "key:ci", "rights": ["READ"], "checkpoint": "before",
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_plugin_gets_a_folder_and_no_secret_of_ours() {
    let yard = Yard::new(&[("one", "good")]).await;
    let result = yard.result("one", json!({ "do": "environment" })).await;
    let names = result["names"].to_string();
    assert!(!names.contains("ROOT_KEY"), "{names}");
    assert!(names.contains("PATH") && names.contains("MIRASTACK_PLUGIN_TOKEN"));
    let data = result["data"].as_str().expect("a folder");
    assert!(data.ends_with("data/default/one") && std::path::Path::new(data).is_dir());
}

#[tokio::test]
async fn what_a_plugin_says_is_passed_on_in_order() {
    let yard = Yard::new(&[("one", "good")]).await;
    let heard = Arc::new(Heard::default());
    let job = job("one");
    let call = call_of(&job, &json!({ "do": "talk" }), Duration::from_secs(10));
    let result = yard.plugins.call(call, heard.clone()).await;
    assert!(matches!(result, CallResult::Succeeded { .. }), "{result:?}");
    let message = "half".to_owned();
    let expected = [
        Said::Progress {
            percent: 50.0,
            message,
        },
        Said::Checkpoint("here".into()),
    ];
    assert_eq!(*heard.0.lock().expect("no panic"), expected);
}

#[tokio::test]
async fn a_process_that_dies_in_a_call_is_known_to_be_dead_and_is_started_again() {
    let yard = Yard::new(&[("one", "good")]).await;
    let pid = yard.pid("one").await;
    let result = yard
        .act("one", json!({ "do": "die", "last words": "farewell" }))
        .await;
    let CallResult::Lost {
        code, plugin_dead, ..
    } = result
    else {
        panic!("{result:?}")
    };
    assert_eq!((code, plugin_dead), (Code::PluginUnavailable, true));
    assert!(!is_alive(pid));
    let resting = yard.until("one", |i| i.last_error.is_some()).await;
    let why = resting.last_error.expect("a reason");
    assert!(
        why.contains("exit status: 9") && why.contains("farewell"),
        "{why}"
    );
    // The same call may wait for it.
    assert_ne!(yard.pid("one").await, pid);
    assert_eq!(yard.until("one", |i| i.restarts > 0).await.restarts, 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_nothing_else() {
    let yard = Yard::new(&[("one", "good")]).await;
    let pid = yard.pid("one").await;
    let hung = yard
        .call(
            &job("one"),
            &json!({ "do": "hang" }),
            Duration::from_millis(100),
        )
        .await;
    assert_eq!(hung, CallResult::TimedOut);
    let endless = yard
        .call(
            &job("one"),
            &json!({ "do": "talk on" }),
            Duration::from_millis(100),
        )
        .await;
    assert_eq!(endless, CallResult::TimedOut);
    assert_eq!(yard.pid("one").await, pid);
}

#[tokio::test]
async fn a_broken_answer_is_an_unknown_outcome_and_a_second_one_changes_nothing() {
    let yard = Yard::new(&[("one", "good")]).await;
    for (what, expected) in [
        ("hang up", Code::PluginProtocol),
        ("nonsense", Code::PluginProtocol),
        ("huge", Code::Limit),
    ] {
        let result = yard.act("one", json!({ "do": what })).await;
        let CallResult::Lost {
            code, plugin_dead, ..
        } = result
        else {
            panic!("{what}: {result:?}")
        };
        assert_eq!((code, plugin_dead), (expected, false), "{what}");
    }
    assert_eq!(
        yard.result("one", json!({ "do": "answer twice" })).await,
        json!({ "n": 1 })
    );
}

#[tokio::test]
async fn a_refused_call_and_a_failure_are_told_apart_from_a_lost_answer() {
    let yard = Yard::new(&[("one", "good")]).await;
    let refused = yard.act("one", json!({ "do": "refuse" })).await;
    assert!(
        matches!(
            refused,
            CallResult::Failed {
                change: Change::NotMade,
                ..
            }
        ),
        "{refused:?}"
    );
    let cases = [
        ("quota", "no more today", "quota", "no more today"),
        ("Bad Code!", "x", "plugin_error", "x"),
        (
            "",
            "",
            "plugin_error",
            "the plugin answered a failure without a word",
        ),
    ];
    for (code, error, told_code, told_message) in cases {
        let result = yard
            .act("one", json!({ "do": "fail", "code": code, "error": error }))
            .await;
        let CallResult::Failed { failure, change } = result else {
            panic!("{result:?}")
        };
        assert_eq!(
            (failure.code.as_str(), failure.message.as_str()),
            (told_code, told_message)
        );
        assert_eq!((failure.retryable, change), (true, Change::NotMade));
    }
}

#[tokio::test]
async fn what_a_run_has_pinned_is_called_and_nothing_else() {
    let yard = Yard::new(&[("one", "good")]).await;
    let mut other = job("one");
    other.action.digest = engine::digest::Digest::ZERO;
    let mut unknown = job("one");
    unknown.action.name.action = "nothing".to_owned();
    for job in [other, unknown, job("nobody")] {
        let result = yard.call(&job, &json!({}), Duration::from_secs(5)).await;
        assert!(
            matches!(result, CallResult::NotSent(NotSent::NotOffered(_))),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn a_look_up_answers_what_the_plugin_knows() {
    let yard = Yard::new(&[("one", "good")]).await;
    let mut job = job("one");
    job.kind = JobKind::LookUp;
    let call = call_of(&job, &json!({}), Duration::from_secs(5));
    let output = json!({ "key": "run/1" }).to_string().into();
    assert_eq!(
        yard.plugins.look_up(call).await,
        LookUpResult::Done { output }
    );
}

#[tokio::test]
async fn a_plugin_that_has_no_streams_is_called_without_and_not_asked_for_them_again() {
    let yard = Yard::new(&[("one", "no-stream")]).await;
    for _ in 0..2 {
        let told = yard.result("one", json!({ "do": "refused" })).await;
        assert_eq!(told, json!({ "streams": 1 }));
    }
    let failed = yard.act("one", json!({ "do": "fail", "code": "no" })).await;
    let CallResult::Failed { failure, .. } = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(failure.code, "no");
}

#[tokio::test]
async fn a_plugin_may_ask_for_its_own_and_for_nothing_else() {
    let yard = Yard::new(&[("one", "good")]).await;
    yard.set(
        "one",
        engine::registry::SettingValue::Plain(json!("http://x")),
    )
    .await;
    let heard = Arc::new(Heard::default());
    let job = job("one");
    let call = call_of(&job, &json!({ "do": "call back" }), Duration::from_secs(10));
    let CallResult::Succeeded { output } = yard.plugins.call(call, heard.clone()).await else {
        panic!("no success")
    };
    let answers: serde_json::Value = serde_json::from_slice(&output).expect("JSON");
    let expected = json!({
        "config": "{\"url\":\"http://x\"}",
        "config of another": "PermissionDenied",
        "config of another tenant": "PermissionDenied",
        "a guessed token": "Unauthenticated",
        "cache set": "Ok",
        "cache": [false, true],
        "publish own": "Ok",
        "publish foreign": "PermissionDenied",
        "log": "Ok",
        "beat of another": true,
        "register as another": "PermissionDenied",
        "call plugin": "InvalidArgument",
        "approval": "InvalidArgument",
        "kpis": "Ok",
    });
    assert_eq!(answers, expected);
    let line = |level, message: &str| Said::Log {
        level,
        message: message.to_owned(),
    };
    assert_eq!(
        *heard.0.lock().expect("no panic"),
        [
            line("info", r#"result: {"n":1}"#),
            line(
                "warn",
                r#"said by a call-back n={"a":null} url=http://secret-place"#
            ),
        ]
    );
    assert_eq!(yard::tenant().as_str(), "default");
}
