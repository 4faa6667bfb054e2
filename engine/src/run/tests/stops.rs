//! Cancel, time-outs, parking, and the end that absorbs.

use serde_json::json;

use super::bench::{Bench, failure, principal, refused};
use crate::code::Code;
use crate::command::{Command, Outcome};
use crate::event::{ApprovalState, Event, RunStatus, StepStatus};
use crate::facts::Rejection;
use crate::run::At;

const MIXED: &str = r#"
workflow: w
timeout: 1h
start_within: 10m
steps:
  - { id: read, needs: [], uses: demo/read, with: { key: k } }
  - { id: change, needs: [], uses: demo/change, with: { key: k } }
  - { id: rest, needs: [], wait: 5h }
  - { id: after, needs: [read], uses: demo/read, with: { key: k } }
on_failure: [{ id: sorry, wait: 1s }]
finally: [{ id: last, wait: 1s }]
"#;

fn going() -> Bench {
    let mut bench = Bench::started(MIXED, json!({}));
    bench.decide("change", "erik", true).expect("may");
    bench.begin("change").expect("granted");
    bench
}

#[test]
fn cancel_cuts_reads_waits_for_the_granted_call_and_then_does_finally() {
    let mut bench = going();
    bench.cancel();
    assert_eq!(bench.status("read"), StepStatus::Cancelled);
    assert_eq!(bench.status("after"), StepStatus::Skipped);
    assert_eq!(bench.owed(), ["change"]);
    bench.succeed("change", json!({}));
    assert_eq!(bench.status("last"), StepStatus::Waiting);
    assert!(
        bench.run.state().named("sorry").is_none(),
        "cancel does no on_failure"
    );
    bench.later(1_000);
    assert_eq!(bench.run_status(), RunStatus::Cancelled);
    assert_eq!(
        refused(bench.ask(Command::Cancel {
            who: principal("olga"),
            reason: None,
            if_unchanged: false
        })),
        Code::RunEnded
    );
}

#[test]
fn what_was_not_called_before_a_cancel_is_not_handed_out_again() {
    let mut bench = going();
    bench.cancel();
    let reason = "the plugin was busy".to_owned();
    let events = bench.report("change", Outcome::NotCalled { reason });
    let events = events.expect("current");
    let again = |event: &Event| matches!(event, Event::AttemptDispatched { .. });
    assert!(!events.iter().any(again), "{events:?}");
    assert_eq!(bench.status("change"), StepStatus::Cancelled);
}

#[test]
fn after_a_cancel_there_is_no_new_grant() {
    let mut bench = Bench::started(MIXED, json!({}));
    bench.decide("change", "erik", true).expect("may");
    let attempt = (bench.no("change"), bench.attempt("change"));
    bench.cancel();
    let begin = Command::Begin {
        step: attempt.0,
        attempt: attempt.1,
        nonce: crate::id::Nonce([9; 16]),
        worker: "w".to_owned(),
    };
    assert_eq!(bench.ask(begin), Err(Rejection::Stale));
}

#[test]
fn a_time_out_takes_the_failure_path() {
    let mut bench = going();
    bench.later(3_600_000);
    assert_eq!(bench.owed(), ["change"]);
    bench.fail("change", false);
    bench.later(1_000);
    assert_eq!(bench.status("sorry"), StepStatus::Succeeded);
    bench.later(1_000);
    assert_eq!(bench.run_status(), RunStatus::TimedOut);
}

#[test]
fn a_time_out_makes_an_open_doubt_final() {
    let mut bench = going();
    bench.lose("change", true, true).expect("current");
    bench.wake();
    assert_eq!(bench.status("change"), StepStatus::InDoubt);
    bench.later(3_600_000);
    bench.later(1_000);
    bench.later(1_000);
    assert_eq!(bench.run_status(), RunStatus::TimedOut);
    assert_eq!(bench.status("change"), StepStatus::InDoubt);
}

#[test]
fn a_run_that_does_not_start_in_time_is_cancelled_as_stale() {
    let text =
        "workflow: w\nstart_within: 10m\nsteps: [{ id: a, uses: demo/read, with: { key: k } }]\n";
    let mut bench = Bench::started(text, json!({}));
    bench.now = crate::time::Timestamp::from_millis(bench.now.millis() + 600_000);
    assert!(
        bench.must(Command::Wake { in_hand: true }).is_empty(),
        "it is in somebody's hands"
    );
    assert!(
        bench.run.due_while(true) > Some(bench.now),
        "it is left in peace"
    );
    bench.wake();
    assert_eq!(bench.run_status(), RunStatus::Cancelled);
    assert_eq!(bench.code().as_deref(), Some("stale"));

    let mut late = Bench::new(text, json!({}));
    late.later(600_000);
    assert_eq!(late.code().as_deref(), Some("stale"));
}

#[test]
fn a_parked_run_takes_reports_but_goes_nowhere_until_resumed() {
    let text =
        "workflow: w\nsteps: [{ id: a, uses: demo/read, with: { key: k } }, { id: b, wait: 1s }]\n";
    let mut bench = Bench::started(text, json!({}));
    bench.must(Command::Park {
        failure: failure(false, false),
    });
    assert_eq!(bench.run_status(), RunStatus::Parked);
    assert!(bench.owed().is_empty());
    bench.succeed("a", json!({}));
    assert_eq!(bench.status("b"), StepStatus::Pending);
    bench.must(Command::Resume {
        who: principal("erik"),
    });
    assert_eq!(bench.status("b"), StepStatus::Waiting);
    assert_eq!(
        refused(bench.ask(Command::Resume {
            who: principal("erik")
        })),
        Code::Conflict
    );
}

#[test]
fn a_run_cancelled_before_it_was_taken_up_just_ends() {
    let text = "workflow: w\nsteps: [{ id: a, uses: demo/read, with: { key: k } }]\n";
    let mut bench = Bench::new(text, json!({}));
    bench.cancel();
    assert_eq!(bench.run_status(), RunStatus::Cancelled);
    assert!(bench.wake().is_empty());
}

const HANDLED: &str = r#"
workflow: w
timeout: 1h
steps:
  - { id: bad, needs: [], uses: demo/read, with: { key: k } }
  - { id: change, needs: [], uses: demo/change, with: { key: k } }
on_failure: [{ id: sorry, uses: demo/change, with: { key: k } }]
finally: [{ id: last, wait: 2h }]
"#;

/// A run of which one step has failed while the call of another was granted.
fn failed_beside_a_grant() -> Bench {
    let mut bench = Bench::started(HANDLED, json!({}));
    bench.decide("change", "erik", true).expect("may");
    bench.begin("change").expect("granted");
    bench.fail("bad", false);
    bench
}

fn in_doubt(bench: &mut Bench, name: &str) {
    bench.lose(name, true, true).expect("current");
    bench.wake();
    assert_eq!(bench.step(name).at, At::Doubt);
}

#[test]
fn a_cancel_makes_a_doubt_final_also_after_a_failure() {
    let mut bench = Bench::started(HANDLED, json!({}));
    bench.decide("change", "erik", true).expect("may");
    bench.begin("change").expect("granted");
    in_doubt(&mut bench, "change");
    bench.fail("bad", false);
    assert_eq!(bench.step("change").at, At::Doubt, "a person may say");
    bench.cancel();
    assert_eq!(bench.step("change").at, At::Nothing);
    assert_eq!(bench.status("change"), StepStatus::InDoubt);
    assert_eq!(bench.status("last"), StepStatus::Waiting);
}

#[test]
fn a_time_out_makes_a_doubt_final_also_after_a_failure() {
    let mut bench = Bench::started(HANDLED, json!({}));
    bench.decide("change", "erik", true).expect("may");
    bench.begin("change").expect("granted");
    in_doubt(&mut bench, "change");
    bench.fail("bad", false);
    bench.later(3_600_000);
    assert_eq!(bench.step("change").at, At::Nothing);
    assert_eq!(bench.status("sorry"), StepStatus::Waiting);
}

#[test]
fn a_cancel_after_a_failure_leaves_out_on_failure() {
    let mut bench = failed_beside_a_grant();
    bench.cancel();
    bench.succeed("change", json!({}));
    assert!(bench.run.state().named("sorry").is_none());
    bench.later(7_200_000);
    assert_eq!(bench.run_status(), RunStatus::Failed);
}

#[test]
fn a_time_out_ends_the_doubts_of_handlers_and_does_not_cut_them() {
    let mut bench = failed_beside_a_grant();
    bench.succeed("change", json!({}));
    bench.decide("sorry", "erik", true).expect("may");
    bench.begin("sorry").expect("granted");
    in_doubt(&mut bench, "sorry");
    bench.later(3_600_000);
    assert_eq!(bench.step("sorry").at, At::Nothing);
    assert_eq!(bench.status("last"), StepStatus::Waiting);
    bench.later(7_200_000);
    assert_eq!(bench.status("last"), StepStatus::Succeeded);
    assert_eq!(bench.run_status(), RunStatus::Failed);
}

#[test]
fn a_lost_attempt_is_no_start() {
    let text =
        "workflow: w\nstart_within: 10m\nsteps: [{ id: a, uses: demo/read, with: { key: k } }]\n";
    let mut bench = Bench::started(text, json!({}));
    bench.lose("a", true, false).expect("current");
    bench.later(600_000);
    assert_eq!(bench.code().as_deref(), Some("stale"));
}

#[test]
fn a_run_that_is_given_up_leaves_nothing_open() {
    let mut bench = Bench::started(MIXED, json!({}));
    let asked = |bench: &mut Bench| {
        bench.run.bytes = crate::record::JOURNAL_BYTES_MAX + 1;
        let command = Command::Wake { in_hand: false };
        let id = crate::id::Nonce([99; 16]);
        let asked = crate::command::Asked { id, command };
        let decision = bench.run.decide(&asked, &bench.facts, bench.now);
        for event in decision.expect("decided").events {
            bench.run.state.apply(&event, bench.now);
        }
    };
    asked(&mut bench);
    assert_eq!(bench.code().as_deref(), Some("limit"));
    assert_eq!(bench.status("change"), StepStatus::Cancelled);
    let consent = bench.step("change").approval.as_ref().expect("asked");
    assert_eq!(consent.state, ApprovalState::Withdrawn);

    let mut bench = going();
    asked(&mut bench);
    assert_eq!(bench.status("change"), StepStatus::InDoubt);
    assert_eq!(bench.status("read"), StepStatus::Cancelled);
}
