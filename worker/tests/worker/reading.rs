use std::time::Duration;

use engine::code::Code;
use engine::command::Outcome;
use engine::event::Failure;
use engine::job::JobKind;
use engine::time::Timestamp;
use serde_json::json;
use store::port::{News, Topic};
use worker::{CallResult, Change, NotSent, Said};

use crate::bench::{Bench, within};
use crate::jobs::{self, NOW};

#[tokio::test(start_paused = true)]
async fn a_read_is_called_at_once_and_its_report_is_repeated_until_it_is_confirmed() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::read(1)).await;
    let call = bench.called().await;
    assert_eq!(call.params, json!({ "n": 1 }));
    call.succeed(&json!({ "value": 2 }));
    let first = bench.reported().await;
    let Outcome::Succeeded { output } = &first.outcome else {
        panic!("{:?}", first.outcome)
    };
    assert_eq!(output.inline_json(), Some(json!({ "value": 2.0 })));
    let (first, attempt) = (first.outcome.clone(), first.attempt.clone());
    for _ in 0..3 {
        // Dropped without an answer: said again.
        let again = bench.reported().await;
        assert_eq!((&again.outcome, &again.attempt), (&first, &attempt));
    }
    assert_eq!(bench.outcome().await, first);
    bench.quiet(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_what_the_plugin_said() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::read(1)).await;
    let failure = Failure {
        code: "no_such_metric".to_owned(),
        message: "there is no metric `up2`".to_owned(),
        retryable: true,
        not_made: false,
        step: None,
    };
    bench.called().await.answer(CallResult::Failed {
        failure: failure.clone(),
        change: Change::NotMade,
    });
    let not_made = true;
    let failure = Failure {
        not_made,
        ..failure
    };
    assert_eq!(bench.outcome().await, Outcome::Failed { failure });
}

#[tokio::test(start_paused = true)]
async fn a_read_is_cut_when_its_time_counted_from_its_dispatch_is_over() {
    let mut bench = Bench::new().await;
    let mut job = jobs::read(1);
    job.dispatched_at = Timestamp::from_millis(NOW - 55_000);
    bench.offer(job).await;
    let mut call = bench.called().await;
    let began = tokio::time::Instant::now();
    within(call.cut()).await;
    assert!(began.elapsed() <= Duration::from_secs(5));
    assert!(matches!(bench.outcome().await, Outcome::TimedOut { .. }));

    let mut job = jobs::read(2);
    job.dispatched_at = Timestamp::from_millis(NOW - 60_000);
    bench.offer(job).await;
    assert!(matches!(bench.outcome().await, Outcome::TimedOut { .. }));
    bench.quiet(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_cannot_be_reached_or_dies_is_a_failure_that_may_go_away() {
    let mut bench = Bench::new().await;
    let why = || "it does not come up".to_owned();
    let lost = CallResult::Lost {
        code: Code::PluginUnavailable,
        reason: why(),
        plugin_dead: true,
    };
    for result in [CallResult::NotSent(NotSent::Unavailable(why())), lost] {
        bench.offer(jobs::read(1)).await;
        bench.called().await.answer(result);
        let Outcome::Failed { failure } = bench.outcome().await else {
            panic!("no failure")
        };
        assert_eq!(
            (failure.code.as_str(), failure.retryable),
            ("plugin_unavailable", true)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_offers_something_else_was_not_called() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::read(1)).await;
    let reason = "version 2 offers another one".to_owned();
    bench
        .called()
        .await
        .answer(CallResult::NotSent(NotSent::NotOffered(reason.clone())));
    assert_eq!(bench.outcome().await, Outcome::NotCalled { reason });
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_says_meanwhile_reaches_those_who_watch() {
    let mut bench = Bench::new().await;
    let job = jobs::read(1);
    let mut live = bench.backend.live.subscribe(Topic::Run(job.key.clone()));
    bench.offer(job).await;
    let call = bench.called().await;
    let events = call.events.clone().expect("a call");
    let message = "half".to_owned();
    events
        .said(Said::Progress {
            percent: 50.4,
            message,
        })
        .await;
    let message = "a line".to_owned();
    events
        .said(Said::Log {
            level: "warn",
            message,
        })
        .await;
    let News::Progress { step, percent, .. } = live.recv().await.expect("news") else {
        panic!("no progress")
    };
    assert_eq!((step.as_str(), percent), ("step1", 50));
    let News::Log { level, message, .. } = live.recv().await.expect("news") else {
        panic!("no line")
    };
    assert_eq!((level.as_str(), message.as_str()), ("warn", "a line"));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_is_used_by_the_next_attempt_after_a_lost_one_and_by_no_other() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::read(1)).await;
    let mut call = bench.called().await;
    let events = call.events.clone().expect("a call");
    events.said(Said::Checkpoint("page 7".into())).await;
    // The attempt is lost: its worker never reports.
    bench
        .unwanted
        .lock()
        .expect("no panic")
        .insert(jobs::read(1).attempt_key());
    within(call.cut()).await;

    let attempt = |n, resume| {
        let mut job = jobs::read(1);
        job.attempt.0 = n;
        job.resume = resume;
        job
    };
    // Not the same parameters: nothing is found.
    let mut other = attempt(2, true);
    other.call.params = jobs::value(&json!({ "n": "other" }));
    bench.offer(other).await;
    let call = bench.called().await;
    assert_eq!(call.checkpoint, "");
    call.succeed(&json!({}));
    bench.outcome().await;
    // Lost again before it saves anything: the one after it still finds it.
    bench.offer(attempt(2, true)).await;
    let mut call = bench.called().await;
    assert_eq!(call.checkpoint, "page 7");
    bench
        .unwanted
        .lock()
        .expect("no panic")
        .insert(attempt(2, true).attempt_key());
    within(call.cut()).await;
    bench.offer(attempt(4, true)).await;
    let call = bench.called().await;
    assert_eq!(call.checkpoint, "", "the attempt before it saved nothing");
    call.succeed(&json!({}));
    bench.outcome().await;
    bench.offer(attempt(3, false)).await;
    let call = bench.called().await;
    assert_eq!(call.checkpoint, "", "the attempt before it failed");
    call.succeed(&json!({}));
    bench.outcome().await;
}

#[tokio::test(start_paused = true)]
async fn a_look_up_needs_no_grant_and_says_what_was_found() {
    let mut bench = Bench::new().await;
    let look_up = |n| {
        let mut job = jobs::change(n);
        job.kind = JobKind::LookUp;
        job
    };
    bench.offer(look_up(1)).await;
    bench.called().await.succeed(&json!({ "value": 1 }));
    let Outcome::LookedUpDone { output } = bench.outcome().await else {
        panic!("not done")
    };
    assert_eq!(output.inline_json(), Some(json!({ "value": 1.0 })));
    bench.offer(look_up(2)).await;
    bench
        .called()
        .await
        .answer(CallResult::NotSent(NotSent::Unavailable(String::new())));
    assert_eq!(bench.outcome().await, Outcome::LookedUpNotDone);
    bench.offer(look_up(3)).await;
    bench.called().await.answer(CallResult::TimedOut);
    assert!(matches!(
        bench.outcome().await,
        Outcome::LookedUpUnknown { .. }
    ));
}
