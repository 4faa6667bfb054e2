//! Order, values, waits, retries.

use serde_json::json;

use super::bench::{Bench, missing};
use crate::event::{Event, RunStatus, SkipReason, StepStatus};
use crate::facts::Missing;

const TWO: &str = r#"
workflow: two
inputs: { key: { type: string, default: a } }
vars: { upper: "${{ inputs.key + '!' }}" }
steps:
  - id: one
    uses: demo/read
    with: { key: "${{ vars.upper }}" }
  - id: two
    uses: demo/read
    with: { key: "${{ steps.one.output.value }}-2", n: 3 }
outputs: { last: "${{ steps.two.output.value }}" }
"#;

#[test]
fn a_read_run_of_one_step_makes_three_records() {
    let text = "workflow: w\nsteps: [{ id: a, uses: demo/read, with: { key: k } }]\n";
    let mut bench = Bench::started(text, json!({}));
    bench.succeed("a", json!({"value": "v"}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
    assert_eq!(bench.records.len(), 3);
}

#[test]
fn steps_run_in_order_and_see_what_came_before() {
    let mut bench = Bench::started(TWO, json!({"key": "k"}));
    assert_eq!(bench.owed(), ["one"]);
    let job = bench.run.job(bench.no("one")).expect("a job");
    assert_eq!(job.call.params.inline_json(), Some(json!({"key": "k!"})));
    bench.succeed("one", json!({"value": "v"}));
    let job = bench.run.job(bench.no("two")).expect("a job");
    assert_eq!(
        job.call.params.inline_json(),
        Some(json!({"key": "v-2", "n": 3.0}))
    );
    let labels: Vec<&str> = job.call.sources["key"].iter().collect();
    assert_eq!(labels, ["source=step:x", "tenant=default", "trust=plugin"]);
    bench.succeed("two", json!({"value": "w"}));
    let end = bench.run.state().head.end.clone().expect("an end");
    assert_eq!(end.status, RunStatus::Succeeded);
    assert_eq!(end.outputs["last"].inline_json(), Some(json!("w")));
}

#[test]
fn a_repeated_command_decides_to_nothing() {
    let mut bench = Bench::started(TWO, json!({}));
    let asked = crate::command::Asked {
        id: bench.records.last().expect("a record").cause.id,
        command: crate::command::Command::Wake { in_hand: false },
    };
    let decision = bench
        .run
        .decide(&asked, &bench.facts, bench.now)
        .expect("a decision");
    assert!(decision.events.is_empty());
    assert!(bench.wake().is_empty());
}

#[test]
fn a_report_of_an_old_attempt_is_stale() {
    let mut bench = Bench::started(TWO, json!({}));
    bench.lose("one", true, false).expect("it was current");
    let step = bench.no("one");
    let outcome = crate::command::Outcome::Succeeded {
        output: Bench::value(json!({"value": "old"})),
    };
    let old = crate::command::Command::Report {
        step,
        attempt: crate::id::Attempt(1),
        outcome,
        nonce: None,
    };
    assert_eq!(bench.ask(old), Err(crate::facts::Rejection::Stale));
    assert_eq!(bench.attempt("one").0, 2);
}

#[test]
fn an_old_attempt_is_lost_once() {
    let mut bench = Bench::started(TWO, json!({}));
    bench.lose("one", true, false).expect("it was current");
    let old = crate::command::Command::Lose {
        step: bench.no("one"),
        attempt: crate::id::Attempt(1),
        begun: true,
        plugin_dead: false,
    };
    assert_eq!(bench.ask(old), Err(crate::facts::Rejection::Stale));
    assert_eq!(bench.attempt("one").0, 2);
}

#[test]
fn conditions_skip_and_needs_decide_who_runs() {
    let text = r#"
workflow: w
inputs: { go: { type: boolean } }
steps:
  - { id: a, if: inputs.go, uses: demo/read, with: { key: k } }
  - { id: b, uses: demo/read, with: { key: k } }
  - { id: c, needs: [], uses: demo/read, with: { key: k }, continue_on_error: true, retry: { attempts: 1 } }
  - { id: d, needs: [c], uses: demo/read, with: { key: k } }
"#;
    let mut bench = Bench::started(text, json!({"go": false}));
    assert_eq!(bench.step("a").skipped, Some(SkipReason::Condition));
    assert_eq!(bench.owed(), ["b", "c"]);
    bench.fail("c", true);
    assert_eq!(bench.status("c"), StepStatus::Failed);
    assert_eq!(bench.owed(), ["b", "d"]);
    bench.succeed("b", json!({}));
    bench.succeed("d", json!({}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn a_wait_waits_and_fires_once() {
    let text =
        "workflow: w\nsteps: [{ id: a, wait: 5m }, { id: b, wait: \"${{ duration('1s') }}\" }]\n";
    let mut bench = Bench::started(text, json!({}));
    assert_eq!(bench.run_status(), RunStatus::Waiting);
    assert!(bench.later(299_999).is_empty());
    bench.later(1);
    assert_eq!(bench.status("a"), StepStatus::Succeeded);
    bench.later(1_000);
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn a_read_step_is_called_three_times_with_growing_delays() {
    let mut bench = Bench::started(TWO, json!({}));
    bench.fail("one", true);
    let first = bench.run.due().expect("a retry").millis() - bench.now.millis();
    assert!((1_000..=1_200).contains(&first), "{first}");
    bench.later(first);
    bench.fail("one", true);
    let second = bench.run.due().expect("a retry").millis() - bench.now.millis();
    assert!((2_000..=2_400).contains(&second), "{second}");
    bench.later(second);
    bench.fail("one", true);
    assert_eq!(bench.status("one"), StepStatus::Failed);
    assert_eq!(bench.run_status(), RunStatus::Failed);
    assert_eq!(bench.status("two"), StepStatus::Skipped);
}

#[test]
fn what_cannot_help_is_not_tried_again() {
    let mut bench = Bench::started(TWO, json!({}));
    bench.fail("one", false);
    assert_eq!(bench.code().as_deref(), Some("broken"));
}

#[test]
fn five_lost_attempts_fail_the_step() {
    let mut bench = Bench::started(TWO, json!({}));
    for _ in 0..4 {
        bench.lose("one", true, false).expect("current");
        assert_eq!(bench.status("one"), StepStatus::Running);
    }
    for _ in 0..20 {
        bench.lose("one", false, false).expect("current");
    }
    bench.lose("one", true, false).expect("current");
    assert_eq!(bench.code().as_deref(), Some("attempts_lost"));
}

#[test]
fn an_assert_says_its_message() {
    let text = r#"
workflow: w
inputs: { n: { type: integer } }
steps: [{ id: a, assert: inputs.n > 3, message: "n is ${{ inputs.n }}" }]
"#;
    assert_eq!(
        Bench::started(text, json!({"n": 4})).run_status(),
        RunStatus::Succeeded
    );
    let bench = Bench::started(text, json!({"n": 3}));
    assert_eq!(bench.code().as_deref(), Some("assert_failed"));
    assert_eq!(
        bench.step("a").failure.as_ref().expect("why").message,
        "n is 3"
    );
}

#[test]
fn handlers_run_after_a_failure_and_in_every_case() {
    let text = r#"
workflow: w
steps: [{ id: a, uses: demo/read, with: { key: k }, retry: { attempts: 1 } }]
on_failure: [{ id: b, uses: demo/read, with: { key: "${{ failure.code }} in ${{ failure.step }}" } }]
finally: [{ id: c, uses: demo/read, with: { key: k } }]
"#;
    let mut bench = Bench::started(text, json!({}));
    bench.fail("a", true);
    let job = bench.run.job(bench.no("b")).expect("a job");
    assert_eq!(
        job.call.params.inline_json(),
        Some(json!({"key": "broken in a"}))
    );
    bench.fail("b", false);
    bench.succeed("c", json!({}));
    assert_eq!(bench.run_status(), RunStatus::Failed);
    assert_eq!(bench.code().as_deref(), Some("broken"));

    let mut bench = Bench::started(text, json!({}));
    bench.succeed("a", json!({}));
    assert_eq!(bench.owed(), ["c"]);
    bench.succeed("c", json!({}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn a_large_value_is_asked_for_and_then_used() {
    let mut bench = Bench::started(TWO, json!({}));
    let json = json!({"value": "x".repeat(10_000)});
    let mut value = Bench::value(json.clone());
    value.inline = None;
    let digest = value.digest;
    let outcome = crate::command::Outcome::Succeeded { output: value };
    assert_eq!(
        missing(bench.report("one", outcome.clone())),
        [Missing::Value(digest)]
    );
    bench.facts.values.insert(digest, std::sync::Arc::new(json));
    bench.report("one", outcome).expect("all is there");
    assert_eq!(bench.owed(), ["two"]);
}

#[test]
fn an_expression_that_fails_fails_its_step_and_says_where() {
    let text = "workflow: w\nsteps: [{ id: a, uses: demo/read, with: { key: \"${{ string(1 / (size(run.id) - 36)) }}\" } }]\n";
    let bench = Bench::started(text, json!({}));
    assert_eq!(bench.code().as_deref(), Some("expression"));
}

#[test]
fn a_thousand_parallel_steps_fit_into_records() {
    let mut text = "workflow: w\nsteps:\n".to_owned();
    for n in 0..1_000 {
        let key = "k".repeat(900);
        text.push_str(&format!(
            "  - {{ id: s{n}, needs: [], uses: demo/read, with: {{ key: {key} }} }}\n"
        ));
    }
    let mut bench = Bench::started(&text, json!({}));
    assert!(
        bench.owed().len() < 1_000,
        "one record cannot hold them all"
    );
    while bench.run.due().is_some_and(|due| due <= bench.now) {
        bench.wake();
    }
    assert_eq!(bench.owed().len(), 1_000);
}

#[test]
fn the_first_event_is_always_run_created() {
    let bench = Bench::new(TWO, json!({}));
    let events = bench.records[0].events().expect("events");
    assert!(matches!(events[..], [Event::RunCreated(_)]));
}

#[test]
fn a_step_may_need_one_that_is_written_below_it() {
    let text = r#"
workflow: w
steps:
  - { id: a, needs: [c], uses: demo/read, with: { key: k } }
  - { id: b, needs: [], uses: demo/read, with: { key: "${{ steps.c.output.value }}" } }
  - { id: c, needs: [], uses: demo/read, with: { key: k } }
"#;
    let mut bench = Bench::started(text, json!({}));
    assert_eq!(bench.owed(), ["c"]);
    bench.succeed("c", json!({"value": "v"}));
    assert_eq!(bench.owed(), ["a", "b"]);
    bench.succeed("a", json!({}));
    bench.succeed("b", json!({}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn a_handler_that_was_not_needed_reads_as_skipped() {
    let text = r#"
workflow: w
steps: [{ id: a, wait: 1s }]
on_failure: [{ id: undo, uses: demo/read, with: { key: k } }]
finally: [{ id: c, if: steps.undo.status == 'skipped', wait: 1s }]
outputs: { undone: "${{ steps.undo.?output.?value.orValue('no') }}" }
"#;
    let mut bench = Bench::started(text, json!({}));
    bench.later(1_000);
    bench.later(1_000);
    assert_eq!(bench.status("c"), StepStatus::Succeeded);
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
    let end = bench.run.state().head.end.clone().expect("an end");
    assert_eq!(end.outputs["undone"].inline_json(), Some(json!("no")));
}
