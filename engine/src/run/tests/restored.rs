//! Runs out of a backup: nothing that may have been done after it is done again by itself.

use serde_json::json;

use super::bench::{Bench, principal, refused};
use crate::code::Code;
use crate::command::{Command, Outcome};
use crate::event::{RunStatus, StepStatus};
use crate::run::At;
use crate::time::Timestamp;

/// How far a change had come when the backup was made.
const STAGES: [&str; 5] = ["asked", "approved", "granted", "failed", "lost"];

/// What a call has where nothing says otherwise.
const CALL_TIMEOUT_MS: u64 = 600_000;
/// A call of the life of the backup is over a second later, as far as that life knew.
const ALMOST_SETTLED_MS: u64 = 629_000;

fn change(action: &str, stage: &str) -> Bench {
    let text = format!(
        "workflow: w\nsteps: [{{ id: a, uses: demo/{action}, with: {{ key: k }}, retry: {{ attempts: 3, delay: 1s }} }}]\n"
    );
    let mut bench = Bench::started(&text, json!({}));
    if stage == "asked" {
        return bench;
    }
    bench.decide("a", "erik", true).expect("may");
    if stage == "approved" {
        return bench;
    }
    bench.begin("a").expect("granted");
    if stage == "failed" {
        let failure = super::bench::failure(true, true);
        bench
            .report("a", Outcome::Failed { failure })
            .expect("current");
        assert!(matches!(bench.step("a").at, At::Retry { .. }));
    } else if stage == "lost" {
        bench.lose("a", true, false).expect("current");
    }
    bench
}

/// Restored, let go on, and as far as it goes by itself.
fn gone_on(action: &str, stage: &str) -> Bench {
    let mut bench = change(action, stage);
    bench.restore();
    assert_eq!(bench.run_status(), RunStatus::Parked);
    assert!(
        bench.owed().is_empty(),
        "nothing is done before a person lets it"
    );
    bench.later(3_600_000);
    assert_eq!(bench.run_status(), RunStatus::Parked);
    bench.resume();
    if stage == "asked" {
        bench.decide("a", "erik", true).expect("may");
    }
    bench.wake();
    bench
}

/// Let go on as soon as it was restored, when its last call might have been made a moment ago; and when that was.
fn gone_on_at_once(action: &str, stage: &str) -> (Bench, Timestamp) {
    let mut bench = change(action, stage);
    bench.now = Timestamp::from_millis(bench.now.millis() + ALMOST_SETTLED_MS);
    bench.restore();
    let restored_at = bench.now;
    bench.resume();
    if stage == "asked" {
        bench.decide("a", "erik", true).expect("may");
    }
    bench.later(2_000);
    (bench, restored_at)
}

fn is_look_up(bench: &Bench) -> bool {
    matches!(bench.step("a").at, At::Dispatched { look_up: true, .. })
}

#[test]
fn a_change_that_may_have_been_made_after_the_backup_waits_for_a_person() {
    for stage in STAGES {
        let bench = gone_on("change", stage);
        assert_eq!(bench.status("a"), StepStatus::InDoubt, "{stage}");
        assert!(bench.owed().is_empty(), "{stage}");
    }
}

#[test]
fn a_change_that_can_be_looked_up_is_looked_up_before_it_is_made() {
    for stage in STAGES {
        let mut found = gone_on("found", stage);
        assert!(is_look_up(&found), "{stage}");
        let output = Bench::value(json!({}));
        let done = Outcome::LookedUpDone { output };
        found.report("a", done).expect("current");
        assert_eq!(found.run_status(), RunStatus::Succeeded, "{stage}");

        let mut missing = gone_on("found", stage);
        for _ in 0..2 {
            missing.now = Timestamp::from_millis(missing.now.millis() + 1);
            missing
                .report("a", Outcome::LookedUpNotDone)
                .expect("current");
            missing.later(10_000);
            if !is_look_up(&missing) {
                break;
            }
        }
        assert!(missing.begin("a").is_ok(), "{stage}: it is made once");
    }
}

#[test]
fn not_done_is_not_believed_while_a_call_of_the_life_before_may_be_under_way() {
    for stage in STAGES {
        let (mut bench, restored_at) = gone_on_at_once("found", stage);
        assert!(is_look_up(&bench), "{stage}: it may be done already");
        bench
            .report("a", Outcome::LookedUpNotDone)
            .expect("current");
        assert!(bench.owed().is_empty(), "{stage}: it may be done soon");

        let settled = restored_at.millis() + CALL_TIMEOUT_MS + 5_000;
        bench.later(settled - 1 - bench.now.millis());
        assert!(bench.owed().is_empty(), "{stage}");
        bench.later(1);
        assert!(is_look_up(&bench), "{stage}");
        bench
            .report("a", Outcome::LookedUpNotDone)
            .expect("current");
        assert!(bench.begin("a").is_ok(), "{stage}: it is made once");
    }
}

#[test]
fn not_done_is_not_heard_while_a_call_of_the_life_before_may_be_under_way() {
    for stage in STAGES {
        let (mut bench, _) = gone_on_at_once("change", stage);
        assert_eq!(bench.status("a"), StepStatus::InDoubt, "{stage}");
        let resolve = |done| Command::Resolve {
            step: "a".to_owned(),
            done,
            output: None,
            comment: "looked".to_owned(),
            who: principal("erik"),
            attempt: None,
        };
        assert_eq!(refused(bench.ask(resolve(false))), Code::Conflict);
        bench.later(CALL_TIMEOUT_MS);
        bench.must(resolve(false));
        bench.begin("a").expect("the person has looked late enough");
    }
}

#[test]
fn a_change_that_is_harmless_to_repeat_is_made() {
    for stage in STAGES {
        let mut bench = gone_on("put", stage);
        assert!(bench.begin("a").is_ok(), "{stage}");
    }
}

#[test]
fn a_change_that_is_repeated_and_then_stopped_may_have_been_made_after_the_backup() {
    for stage in STAGES {
        let mut bench = gone_on("put", stage);
        bench.cancel();
        assert_eq!(bench.status("a"), StepStatus::InDoubt, "{stage}");
    }
}

#[test]
fn the_grant_of_before_the_backup_is_worth_nothing() {
    let mut bench = change("found", "approved");
    let attempt = bench.attempt("a");
    bench.restore();
    bench.resume();
    assert!(bench.attempt("a") > attempt);
    assert!(is_look_up(&bench));
}

#[test]
fn a_step_that_had_not_begun_is_doubted_too() {
    let text = "workflow: w\nsteps: [{ id: r, uses: demo/read, with: { key: k } }, { id: a, uses: demo/change, with: { key: k } }]\n";
    let mut bench = Bench::started(text, json!({}));
    let attempt = bench.attempt("r");
    bench.restore();
    bench.resume();
    assert_eq!(bench.owed(), ["r"], "a READ is simply done again");
    assert!(bench.attempt("r") > attempt);
    bench.succeed("r", json!({}));
    bench.decide("a", "erik", true).expect("may");
    assert_eq!(bench.status("a"), StepStatus::InDoubt);
    bench.later(CALL_TIMEOUT_MS);
    bench.must(Command::Resolve {
        step: "a".to_owned(),
        done: false,
        output: None,
        comment: "looked".to_owned(),
        who: principal("erik"),
        attempt: None,
    });
    bench.begin("a").expect("the person has said so");
}

#[test]
fn what_a_person_said_before_the_backup_settles_nothing_after_the_restore() {
    let not_done = || Command::Resolve {
        step: "a".to_owned(),
        done: false,
        output: None,
        comment: "looked".to_owned(),
        who: principal("erik"),
        attempt: None,
    };
    let mut bench = change("change", "lost");
    bench.later(3_600_000);
    bench.wake();
    assert_eq!(bench.status("a"), StepStatus::InDoubt);
    bench.restore();
    // The backup held the command, too: it is decided before anybody can let the run go on.
    assert_eq!(refused(bench.ask(not_done())), Code::Conflict);
    bench.resume();
    assert_eq!(bench.status("a"), StepStatus::InDoubt);
    bench.later(CALL_TIMEOUT_MS);
    bench.must(not_done());
    bench.begin("a").expect("the person has looked again");
}

#[test]
fn what_was_made_sure_once_is_sure_until_the_next_restore() {
    let mut bench = gone_on("found", "approved");
    bench
        .report("a", Outcome::LookedUpNotDone)
        .expect("current");
    bench.lose("a", true, true).expect("current");
    assert!(!is_look_up(&bench), "it had no grant since");
    bench.restore();
    bench.resume();
    assert!(is_look_up(&bench));
}

#[test]
fn a_cancelled_run_ends_with_its_doubts() {
    for stage in ["asked", "approved", "failed"] {
        let mut bench = change("found", stage);
        bench.restore();
        bench.cancel();
        assert_eq!(bench.status("a"), StepStatus::InDoubt, "{stage}");
        assert_eq!(bench.run_status(), RunStatus::Cancelled, "{stage}");
    }
    let mut granted = change("found", "granted");
    granted.restore();
    granted.cancel();
    granted.wake();
    assert!(is_look_up(&granted), "what was granted is still found out");
}

#[test]
fn what_a_cancelled_run_had_not_begun_may_have_been_made_after_the_backup() {
    let text = "workflow: w\nsteps: [{ id: r, uses: demo/read, with: { key: k } }, { id: a, uses: demo/change, with: { key: k } }]\n";
    for is_started in [true, false] {
        let mut bench = Bench::new(text, json!({}));
        if is_started {
            bench.wake();
        }
        bench.restore();
        bench.cancel();
        assert_eq!(bench.status("a"), StepStatus::InDoubt, "{is_started}");
        let told = bench.step("a").failure.as_ref().expect("why");
        assert_eq!(told.code, "in_doubt", "{told:?}");
        assert!(told.message.contains("after the backup"), "{told:?}");
        assert_ne!(bench.status("r"), StepStatus::InDoubt, "{is_started}");
        assert_eq!(bench.run_status(), RunStatus::Cancelled, "{is_started}");
    }
}

#[test]
fn what_a_cancelled_fan_out_had_not_begun_may_have_been_made_after_the_backup() {
    let items = |action: &str, begun: bool| {
        let text = format!(
            "workflow: w\nsteps: [{{ id: a, uses: demo/{action}, for_each: \"['x', 'y', 'z']\", max_parallel: 1, with: {{ key: \"${{{{ item }}}}\" }} }}]\n"
        );
        let mut bench = Bench::started(&text, json!({}));
        if begun {
            bench.decide("a", "erik", true).expect("may");
        }
        bench.restore();
        bench.cancel();
        assert_eq!(bench.run_status(), RunStatus::Cancelled);
        bench
    };
    for begun in [true, false] {
        let changed = items("change", begun);
        assert_eq!(changed.status("a"), StepStatus::InDoubt, "{begun}");
    }
    assert_eq!(items("read", false).status("a"), StepStatus::Cancelled);
}

#[test]
fn an_alert_that_resolves_cancels_no_restored_run() {
    let text = "workflow: w\nsteps: [{ id: a, uses: demo/change, with: { key: k } }]\n";
    let mut bench = Bench::started(text, json!({}));
    bench.restore();
    bench.must(Command::Cancel {
        who: principal("alerts"),
        reason: None,
        if_unchanged: true,
    });
    assert_eq!(bench.run_status(), RunStatus::Parked);
}

#[test]
fn a_consent_refused_after_the_restore_may_have_been_given_and_used_before() {
    for (on_reject, expires) in [("stop", false), ("stop", true), ("skip", false)] {
        let text = format!(
            "workflow: w\nsteps: [{{ id: a, uses: demo/change, with: {{ key: k }}, approval: {{ on_reject: {on_reject}, timeout: 1h }} }}]\n"
        );
        let mut bench = Bench::started(&text, json!({}));
        bench.restore();
        bench.resume();
        if expires {
            bench.later(3_600_001);
        } else {
            bench.decide("a", "erik", false).expect("may");
        }
        assert_eq!(
            bench.status("a"),
            StepStatus::InDoubt,
            "{on_reject} {expires}"
        );
        assert_eq!(
            bench.run_status(),
            RunStatus::Rejected,
            "{on_reject} {expires}"
        );
        assert_eq!(bench.code().as_deref(), Some("in_doubt"));
    }
}

#[test]
fn a_run_that_has_ended_stays_as_it_is() {
    let mut bench = change("put", "granted");
    bench.succeed("a", json!({}));
    assert!(bench.run.restored(bench.now).is_empty());
}
