//! MODIFY and ADMIN: grants, and what becomes of calls whose outcome is unknown.

use serde_json::json;

use super::bench::{Bench, failure, principal, refused};
use crate::code::Code;
use crate::command::{Command, Outcome};
use crate::event::{RunStatus, StepStatus};
use crate::facts::Rejection;
use crate::id::Nonce;
use crate::time::Timestamp;

fn approved(action: &str) -> Bench {
    let text =
        format!("workflow: w\nsteps: [{{ id: a, uses: demo/{action}, with: {{ key: k }} }}]\n");
    let mut bench = Bench::started(&text, json!({}));
    bench.decide("a", "erik", true).expect("may");
    bench
}

fn granted(action: &str) -> Bench {
    let mut bench = approved(action);
    bench.begin("a").expect("granted");
    bench
}

#[test]
fn a_change_without_a_grant_is_never_believed() {
    let mut bench = approved("change");
    let outcome = Outcome::Succeeded {
        output: Bench::value(json!({})),
    };
    assert_eq!(refused(bench.report("a", outcome)), Code::Conflict);
    assert_eq!(bench.status("a"), StepStatus::Running);
}

#[test]
fn the_same_nonce_is_granted_again_and_another_is_not() {
    let mut bench = granted("change");
    assert!(bench.begin("a").expect("again").is_empty());
    let (step, attempt) = (bench.no("a"), bench.attempt("a"));
    assert!(bench.run.granted(step, attempt, Nonce([9; 16])).is_some());
    let other = Command::Begin {
        step,
        attempt,
        nonce: Nonce([8; 16]),
        worker: "w2".to_owned(),
    };
    assert_eq!(bench.ask(other), Err(Rejection::Stale));
}

#[test]
fn a_lost_change_that_was_never_granted_goes_out_again_freely() {
    let mut bench = approved("change");
    for _ in 0..10 {
        bench.lose("a", true, false).expect("current");
    }
    assert_eq!(bench.owed(), ["a"]);
}

#[test]
fn a_granted_change_of_unknown_outcome_is_never_repeated_by_itself() {
    let mut bench = granted("change");
    bench.lose("a", true, true).expect("current");
    bench.wake();
    assert_eq!(bench.status("a"), StepStatus::InDoubt);
    assert_eq!(bench.run_status(), RunStatus::Waiting);
    assert!(bench.owed().is_empty());
    bench.later(86_400_000);
    assert_eq!(bench.status("a"), StepStatus::InDoubt);
}

#[test]
fn it_is_settled_only_when_the_call_cannot_be_under_way_any_more() {
    let mut bench = granted("change");
    bench.lose("a", true, false).expect("current");
    assert!(
        bench.later(629_999).is_empty(),
        "it may begin within 30 s, and then take 10 min"
    );
    bench.later(1);
    assert_eq!(bench.status("a"), StepStatus::InDoubt);
}

#[test]
fn a_late_report_of_the_granted_attempt_settles_it() {
    let mut bench = granted("change");
    bench.lose("a", true, true).expect("current");
    bench.wake();
    bench.succeed("a", json!({}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn a_late_word_that_the_call_is_over_is_heard_at_once() {
    let over = || Outcome::Unknown {
        reason: "the connection was closed".to_owned(),
        plugin_dead: true,
    };
    let mut bench = granted("found");
    bench.lose("a", true, false).expect("current");
    assert!(bench.later(20_000).is_empty(), "it may be under way");
    bench
        .report("a", over())
        .expect("the last that was granted");
    bench.wake();
    assert_eq!(bench.owed(), ["a"], "it is looked up");
    bench
        .report("a", Outcome::LookedUpNotDone)
        .expect("current");
    bench.later(4_999);
    assert!(bench.owed().is_empty(), "it was over only now");
    bench.later(1);
    assert_eq!(bench.owed(), ["a"]);
}

/// Another owner takes over, by whose clock it is two hours later.
fn clock_is_set(bench: &mut Bench) {
    bench.now = Timestamp::from_millis(bench.now.millis() + 7_200_000);
    bench.facts.clock_since = Some(bench.now);
}

#[test]
fn a_look_up_is_not_believed_because_a_clock_was_set() {
    let mut bench = granted("found");
    bench.lose("a", true, true).expect("current");
    clock_is_set(&mut bench);
    bench.wake();
    let not_done = || Outcome::LookedUpNotDone;
    bench.report("a", not_done()).expect("it is looked up");
    bench.later(4_999);
    assert!(bench.owed().is_empty(), "a request may still be travelling");
    bench.later(1);
    bench.report("a", not_done()).expect("it is looked up");
    assert_eq!(bench.owed(), ["a"], "now it is believed");
    assert_eq!(bench.step("a").unknown_since, None);
}

#[test]
fn a_call_is_not_taken_for_over_because_a_clock_was_set() {
    let lost_before = |lost: bool| {
        let mut bench = granted("found");
        if lost {
            bench.lose("a", true, false).expect("current");
        }
        clock_is_set(&mut bench);
        if !lost {
            bench.lose("a", true, false).expect("current");
        }
        bench.wake();
        bench
    };
    for lost in [true, false] {
        let mut bench = lost_before(lost);
        bench.later(629_999);
        assert!(bench.owed().is_empty(), "it may have begun just before");
        bench.later(1);
        assert_eq!(bench.owed(), ["a"], "it is looked up");
    }
}

#[test]
fn a_person_settles_a_doubt() {
    for (done, status) in [(true, RunStatus::Succeeded), (false, RunStatus::Running)] {
        let mut bench = granted("change");
        bench.lose("a", true, true).expect("current");
        bench.wake();
        let resolve = |who: &str| Command::Resolve {
            step: "a".to_owned(),
            done,
            output: None,
            comment: "looked".to_owned(),
            who: principal(who),
            attempt: None,
        };
        assert_eq!(refused(bench.ask(resolve("olga"))), Code::Forbidden);
        bench.must(resolve("erik"));
        assert_eq!(bench.run_status(), status);
    }
}

#[test]
fn what_a_person_knows_of_one_attempt_settles_no_later_one() {
    let mut bench = granted("change");
    let resolve = |attempt: u32| Command::Resolve {
        step: "a".to_owned(),
        done: false,
        output: None,
        comment: "looked".to_owned(),
        who: principal("erik"),
        attempt: Some(attempt),
    };
    let doubted = |bench: &mut Bench| {
        bench.lose("a", true, true).expect("current");
        bench.wake();
        assert_eq!(bench.status("a"), StepStatus::InDoubt);
        bench.attempt("a").0
    };
    let first = doubted(&mut bench);
    bench.must(resolve(first));
    bench.begin("a").expect("granted");
    let second = doubted(&mut bench);
    assert!(second > first);
    assert_eq!(refused(bench.ask(resolve(first))), Code::Conflict);
    bench.must(resolve(second));
}

#[test]
fn a_look_up_settles_what_it_finds() {
    let mut bench = granted("found");
    bench.lose("a", true, true).expect("current");
    bench.wake();
    assert_eq!(
        bench.run.job(bench.no("a")).map(|j| j.kind),
        Some(crate::job::JobKind::LookUp)
    );
    let output = Bench::value(json!({"value": "made"}));
    bench
        .report("a", Outcome::LookedUpDone { output })
        .expect("current");
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn not_done_is_believed_only_after_the_settle_time() {
    let mut bench = granted("found");
    bench.lose("a", true, true).expect("current");
    bench.wake();
    bench
        .report("a", Outcome::LookedUpNotDone)
        .expect("current");
    assert!(bench.owed().is_empty(), "a request may still be travelling");
    bench.later(5_000);
    bench
        .report("a", Outcome::LookedUpNotDone)
        .expect("current");
    let job = bench.run.job(bench.no("a")).expect("a job");
    assert_eq!(job.kind, crate::job::JobKind::Call);
    assert_eq!(job.idempotency_key, format!("{}.0", bench.run.key().run));
    bench.begin("a").expect("the approval covers all attempts");
    bench.succeed("a", json!({}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn looking_too_early_however_often_is_no_doubt() {
    let mut bench = granted("found");
    bench.lose("a", true, true).expect("current");
    for life in 1..=10 {
        // Another owner takes over, again and again, before the settle time is over.
        bench.facts.clock_since = Some(bench.now);
        bench.later(5_000);
        assert_eq!(bench.owed(), ["a"], "it is looked up in life {life}");
        bench.facts.clock_since = Some(bench.now);
        bench
            .report("a", Outcome::LookedUpNotDone)
            .expect("current");
        assert_eq!(bench.status("a"), StepStatus::Running, "in life {life}");
    }
    bench.later(5_000);
    bench
        .report("a", Outcome::LookedUpNotDone)
        .expect("current");
    let job = bench.run.job(bench.no("a")).expect("a job");
    assert_eq!(job.kind, crate::job::JobKind::Call);
}

#[test]
fn not_done_counts_from_when_it_was_looked_not_from_when_the_word_arrives() {
    let mut bench = granted("found");
    bench.lose("a", true, true).expect("current");
    bench.wake();
    // The worker looked at once, and its word was long on its way.
    bench.now = Timestamp::from_millis(bench.now.millis() + 60_000);
    bench
        .report("a", Outcome::LookedUpNotDone)
        .expect("current");
    let job = bench.run.job(bench.no("a"));
    assert!(
        job.is_none(),
        "the change may have been made after it looked: {job:?}"
    );
    bench.wake();
    let job = bench.run.job(bench.no("a")).expect("a job");
    assert_eq!(job.kind, crate::job::JobKind::LookUp, "it looks once more");
}

#[test]
fn look_ups_that_cannot_tell_end_with_a_person() {
    let mut bench = granted("found");
    bench.lose("a", true, true).expect("current");
    let begun = bench.now.millis();
    while bench.status("a") != StepStatus::InDoubt {
        let due = bench.run.due().expect("it looks again").millis();
        bench.later(due.saturating_sub(bench.now.millis()));
        let reason = "down".to_owned();
        bench
            .report("a", Outcome::LookedUpUnknown { reason })
            .expect("current");
    }
    let took = bench.now.millis() - begun;
    assert!((60_000..70_000).contains(&took), "{took} ms");
}

/// A call whose outcome is not known and is being looked up.
fn looked_up() -> Bench {
    let mut bench = granted("found");
    bench.lose("a", true, true).expect("current");
    bench.wake();
    bench
}

fn cannot_tell(bench: &mut Bench) {
    let reason = "down".to_owned();
    bench
        .report("a", Outcome::LookedUpUnknown { reason })
        .expect("it is looked up");
    bench.later(60_000);
}

#[test]
fn look_ups_between_which_one_was_answered_were_not_lost_in_a_row() {
    let mut bench = looked_up();
    for _ in 0..4 {
        bench.lose("a", true, false).expect("current");
    }
    cannot_tell(&mut bench);
    for lost in 1..=5 {
        assert_eq!(bench.status("a"), StepStatus::Running, "before {lost}");
        bench.lose("a", true, false).expect("current");
    }
    assert_eq!(bench.status("a"), StepStatus::InDoubt);
}

#[test]
fn after_a_persons_word_it_is_looked_up_as_if_nothing_had_been_lost_before() {
    let lost = |bench: &mut Bench| {
        for _ in 0..5 {
            bench.lose("a", true, false).expect("current");
        }
    };
    let unknown = |bench: &mut Bench| {
        for _ in 0..7 {
            cannot_tell(bench);
        }
    };
    for in_vain in [lost, unknown] {
        let mut bench = looked_up();
        in_vain(&mut bench);
        assert_eq!(bench.status("a"), StepStatus::InDoubt);
        bench.must(Command::Resolve {
            step: "a".to_owned(),
            done: false,
            output: None,
            comment: "looked".to_owned(),
            who: principal("erik"),
            attempt: None,
        });
        bench.begin("a").expect("a grant of its own");
        bench.lose("a", true, true).expect("current");
        bench.wake();
        assert_eq!(bench.owed(), ["a"], "it is looked up");
        bench.lose("a", true, false).expect("current");
        assert_eq!(bench.owed(), ["a"], "and once more");
    }
}

#[test]
fn an_idempotent_change_is_repeated_with_its_key() {
    let mut bench = granted("put");
    let key = bench.run.job(bench.no("a")).expect("a job").idempotency_key;
    bench
        .report(
            "a",
            Outcome::Unknown {
                reason: "reset".to_owned(),
                plugin_dead: true,
            },
        )
        .expect("current");
    bench.wake();
    let job = bench.run.job(bench.no("a")).expect("a job");
    assert_eq!((job.idempotency_key, job.attempt.0), (key, 2));
    bench.begin("a").expect("a grant of its own");
    bench.succeed("a", json!({}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn a_failed_change_is_retried_only_when_it_was_not_made() {
    let text = "workflow: w\nsteps: [{ id: a, uses: demo/change, with: { key: k }, retry: { attempts: 2 } }]\n";
    for (not_made, status) in [(true, RunStatus::Running), (false, RunStatus::Failed)] {
        let mut bench = Bench::started(text, json!({}));
        bench.decide("a", "erik", true).expect("may");
        bench.begin("a").expect("granted");
        bench
            .report(
                "a",
                Outcome::Failed {
                    failure: failure(true, not_made),
                },
            )
            .expect("current");
        assert_eq!(bench.run_status(), status);
    }
}

#[test]
fn a_grant_that_was_not_used_is_given_back() {
    let mut bench = granted("change");
    bench
        .report(
            "a",
            Outcome::NotCalled {
                reason: "draining".to_owned(),
            },
        )
        .expect("current");
    assert_eq!(bench.owed(), ["a"]);
    assert_eq!(bench.attempt("a").0, 2);
    bench
        .report(
            "a",
            Outcome::NotCalled {
                reason: "no plugin".to_owned(),
            },
        )
        .expect("current");
    assert!(bench.owed().is_empty(), "the second time it waits");
    bench.later(1_000);
    assert_eq!(bench.owed(), ["a"]);
}

fn unanswered(bench: &mut Bench) {
    bench.begin("a").expect("a grant of its own");
    let reason = "nonsense".to_owned();
    let plugin_dead = true;
    let unknown = Outcome::Unknown {
        reason,
        plugin_dead,
    };
    bench.report("a", unknown).expect("current");
    bench.later(5_000);
}

#[test]
fn a_change_that_is_never_answered_and_never_made_ends() {
    let mut bench = approved("found");
    for call in 1..=5 {
        assert_eq!(bench.status("a"), StepStatus::Running, "before call {call}");
        unanswered(&mut bench);
        bench
            .report("a", Outcome::LookedUpNotDone)
            .expect("current");
    }
    assert_eq!(bench.status("a"), StepStatus::Failed);
    assert_eq!(bench.code().as_deref(), Some("attempts_lost"));
    assert_eq!(bench.run_status(), RunStatus::Failed);
}

#[test]
fn an_idempotent_change_that_is_never_answered_ends_with_a_person() {
    let mut bench = approved("put");
    for call in 1..=5 {
        assert_eq!(bench.status("a"), StepStatus::Running, "before call {call}");
        unanswered(&mut bench);
    }
    assert_eq!(bench.status("a"), StepStatus::InDoubt);
}

#[test]
fn where_looking_does_not_help_a_harmless_call_is_repeated() {
    let mut bench = granted("either");
    bench.lose("a", true, true).expect("current");
    for _ in 0..7 {
        bench.later(60_000);
        let reason = "down".to_owned();
        bench
            .report("a", Outcome::LookedUpUnknown { reason })
            .expect("current");
    }
    let job = bench.run.job(bench.no("a")).expect("a job");
    assert_eq!(job.kind, crate::job::JobKind::Call);
    bench.begin("a").expect("a grant of its own");
}

/// A call whose outcome is not known, handed out again because that is harmless.
fn repeated() -> Bench {
    let mut bench = granted("put");
    bench.lose("a", true, true).expect("current");
    bench.wake();
    assert_eq!(bench.owed(), ["a"]);
    bench
}

fn failed_in(bench: &mut Bench) {
    let failure = failure(false, true);
    bench
        .report("a", Outcome::Failed { failure })
        .expect("current");
}

#[test]
fn what_a_lost_call_did_is_not_forgotten_when_it_is_repeated() {
    let mut cancelled = repeated();
    cancelled.cancel();
    assert_eq!(cancelled.status("a"), StepStatus::InDoubt);
    assert_eq!(cancelled.run_status(), RunStatus::Cancelled);

    let mut failed = repeated();
    failed.begin("a").expect("granted");
    failed_in(&mut failed);
    assert_eq!(failed.status("a"), StepStatus::InDoubt);
    assert_eq!(failed.run_status(), RunStatus::Waiting, "for a person");

    let mut given_back = repeated();
    given_back.begin("a").expect("granted");
    let reason = "draining".to_owned();
    given_back
        .report("a", Outcome::NotCalled { reason })
        .expect("current");
    given_back.cancel();
    assert_eq!(given_back.status("a"), StepStatus::InDoubt);

    let mut withdrawn = repeated();
    let gone = crate::facts::Standing { role: None };
    withdrawn.facts.standing.insert(principal("erik"), gone);
    withdrawn.begin("a").expect("decided");
    assert_eq!(withdrawn.status("a"), StepStatus::InDoubt);
}

#[test]
fn a_late_word_of_the_only_call_tells_everything() {
    let mut bench = granted("put");
    bench.lose("a", true, false).expect("current");
    failed_in(&mut bench);
    assert_eq!(bench.status("a"), StepStatus::Failed);
}

#[test]
fn a_change_is_called_once_unless_more_is_written() {
    let text = "workflow: w\nsteps: [{ id: a, uses: demo/change, with: { key: k }, retry: { delay: 5s } }]\n";
    let mut bench = Bench::started(text, json!({}));
    bench.decide("a", "erik", true).expect("may");
    bench.begin("a").expect("granted");
    let failure = failure(true, true);
    bench
        .report("a", Outcome::Failed { failure })
        .expect("current");
    assert_eq!(bench.run_status(), RunStatus::Failed);
}

#[test]
fn only_the_worker_that_was_granted_a_call_knows_what_became_of_it() {
    let mut bench = granted("change");
    let (step, attempt) = (bench.no("a"), bench.attempt("a"));
    let report = |nonce, outcome| Command::Report {
        step,
        attempt,
        outcome,
        nonce,
    };
    for nonce in [None, Some(Nonce([8; 16]))] {
        let reason = "the worker is stopping".to_owned();
        let not_called = bench.ask(report(nonce, Outcome::NotCalled { reason }));
        assert_eq!(not_called, Err(Rejection::Stale));
        let failure = failure(true, true);
        let failed = bench.ask(report(nonce, Outcome::Failed { failure }));
        assert_eq!(failed, Err(Rejection::Stale));
    }
    assert_eq!(bench.attempt("a"), attempt, "its call is on the way");
}
