//! What one decision may make: bytes of events, bytes of values.

use serde_json::{Value as Json, json};

use super::bench::{Bench, missing};
use crate::command::Outcome;
use crate::digest::Digest;
use crate::event::{Failure, RunStatus};
use crate::run::At;
use crate::value::{LONG_JOURNAL_BYTES, Labels, VALUE_BYTES_MAX, Value};

const MIB: usize = 1024 * 1024;

/// A fan-out over `inputs.hosts` with a parameter of `inputs.long`.
fn fan(action: &str) -> String {
    format!(
        r#"
workflow: w
inputs: {{ hosts: {{ type: array }}, long: {{ type: string, default: "" }} }}
steps:
  - id: each
    for_each: inputs.hosts
    key: "${{{{ string(item) }}}}"
    max_parallel: 1000
    uses: demo/{action}
    with: {{ key: "${{{{ string(item) }}}}${{{{ inputs.long }}}}" }}
"#
    )
}

fn hosts(count: usize, length: usize) -> Vec<Json> {
    (0..count).map(|i| json!(format!("{i:0length$}"))).collect()
}

#[test]
fn too_many_items_to_consent_to_are_refused_before_their_calls_are_made() {
    let long = "x".repeat(5_000);
    let inputs = json!({"hosts": hosts(1_001, 4), "long": long.repeat(2)});
    let bench = Bench::started(&fan("change"), inputs);
    assert_eq!(bench.code().as_deref(), Some("limit"));
    assert!(bench.blob_bytes < MIB, "{}", bench.blob_bytes);

    let inputs = json!({"hosts": hosts(90, 4), "long": long.repeat(20)});
    let bench = Bench::started(&fan("change"), inputs);
    assert_eq!(bench.code().as_deref(), Some("limit"));
    assert!(bench.blob_bytes < 5 * MIB, "{}", bench.blob_bytes);
}

#[test]
fn a_window_of_large_calls_is_filled_by_several_decisions() {
    let inputs = json!({"hosts": hosts(100, 4), "long": "x".repeat(300_000)});
    let mut bench = Bench::started(&fan("read"), inputs);
    bench.go_on();
    assert_eq!(bench.owed().len(), 100);
    assert!(bench.blob_bytes < 20 * MIB, "{}", bench.blob_bytes);
}

#[test]
fn equal_values_are_kept_once() {
    let text = fan("change").replace("{ key: \"${{ string(item) }}", "{ key: \"");
    let inputs = json!({"hosts": hosts(10, 4), "long": "x".repeat(300_000)});
    let bench = Bench::started(&text, inputs);
    assert_eq!(bench.run_status(), RunStatus::Waiting);
    assert!(bench.blob_bytes < 4 * MIB, "{}", bench.blob_bytes);
}

#[test]
fn outputs_that_are_too_large_together_are_not_even_fetched() {
    let mut bench = Bench::started(&fan("read"), json!({"hosts": hosts(2, 1)}));
    for name in ["each[0]", "each[1]"] {
        let output = Value {
            digest: Digest::of(name.as_bytes()),
            size: u32::try_from(VALUE_BYTES_MAX / 4 * 3).expect("3 MiB"),
            labels: Labels::default(),
            inline: None,
        };
        bench
            .report(name, Outcome::Succeeded { output })
            .expect("nothing is missing");
    }
    assert_eq!(bench.code().as_deref(), Some("limit"));
}

#[test]
fn keys_share_one_record() {
    let mut bench = Bench::started(&fan("read"), json!({"hosts": hosts(1_800, 200)}));
    bench.go_on();
    assert_eq!(bench.owed().len(), 1_000, "the window is filled");
    let bench = Bench::started(&fan("read"), json!({"hosts": hosts(3_000, 200)}));
    assert_eq!(bench.code().as_deref(), Some("limit"));
}

#[test]
fn a_cancel_of_many_steps_goes_on_over_several_records() {
    let mut bench = Bench::started(&fan("read"), json!({"hosts": hosts(1_500, 200)}));
    bench.go_on();
    assert_eq!(bench.owed().len(), 1_000);
    bench.cancel();
    assert_eq!(
        bench.run_status(),
        RunStatus::Running,
        "one record is too small"
    );
    bench.go_on();
    assert_eq!(bench.run_status(), RunStatus::Cancelled);
}

#[test]
fn values_of_one_event_share_its_record() {
    let vars = (0..200).map(|i| format!("  v{i}: \"${{{{ inputs.long + '{i}' }}}}\"\n"));
    let vars: String = vars.collect();
    let text = format!(
        "workflow: w\ninputs: {{ long: {{ type: string }} }}\nvars:\n{vars}steps: [{{ id: a, wait: 1h }}]\n"
    );
    let mut bench = Bench::started(&text, json!({"long": "x".repeat(8_000)}));
    bench.go_on();
    assert_eq!(bench.run_status(), RunStatus::Waiting);
    let vars = bench.run.state().head.vars.values();
    let inline = vars.filter(|v| v.inline.is_some()).count();
    assert!((10..100).contains(&inline), "{inline}");
}

#[test]
fn a_run_whose_outputs_fit_into_no_record_fails_with_limit() {
    let outputs = (0..1_500).map(|i| format!("  o{i}: \"${{{{ inputs.long + '{i}' }}}}\"\n"));
    let outputs: String = outputs.collect();
    let text = format!(
        "workflow: w\ninputs: {{ long: {{ type: string }} }}\nsteps: [{{ id: a, assert: 'true' }}]\noutputs:\n{outputs}"
    );
    let bench = Bench::started(&text, json!({"long": "x".repeat(400)}));
    assert_eq!(bench.run_status(), RunStatus::Failed);
    assert_eq!(bench.code().as_deref(), Some("limit"));
}

#[test]
fn a_long_journal_keeps_only_small_outputs_inline() {
    let text = "workflow: w\nsteps:\n  - { id: a, uses: demo/read, with: { key: k }, retry: { attempts: 100 } }\n  - { id: b, wait: 1h }\n";
    let mut bench = Bench::started(text, json!({}));
    let failure = Failure {
        message: "x".repeat(400_000),
        ..super::bench::failure(true, false)
    };
    for _ in 0..=LONG_JOURNAL_BYTES / 400_000 {
        let outcome = Outcome::Failed {
            failure: failure.clone(),
        };
        bench.report("a", outcome).expect("the current attempt");
        bench.later(60_000);
    }
    assert!(matches!(bench.step("a").at, At::Dispatched { .. }));
    bench.succeed("a", json!({"value": "x".repeat(4_000)}));
    let output = bench.step("a").output.clone().expect("an output");
    assert!(output.inline.is_none(), "it went into the journal");
    assert!(bench.facts.values.contains_key(&output.digest));
}

#[test]
fn the_keys_of_a_fan_out_share_what_expressions_may_cost() {
    let key = "string(item) }}${{ inputs.hosts.exists(h, h == '') ? '' : '' }}";
    let text = fan("read").replace(
        "key: \"${{ string(item) }}\"",
        &format!("key: \"${{{{ {key}\""),
    );
    let mut bench = Bench::started(&text, json!({"hosts": hosts(100, 4)}));
    bench.go_on();
    assert_eq!(bench.owed().len(), 100);
    let mut bench = Bench::started(&text, json!({"hosts": hosts(2_000, 4)}));
    bench.go_on();
    assert_eq!(bench.code().as_deref(), Some("expression"));
}

#[test]
fn steps_with_costly_conditions_begin_in_several_decisions() {
    let steps: String = (0..8)
        .map(|i| {
            format!(
                "  - {{ id: s{i}, needs: [], wait: 1h, if: \"inputs.hosts.all(a, inputs.hosts.all(b, a != b || a == b))\" }}\n"
            )
        })
        .collect();
    let text = format!("workflow: w\ninputs: {{ hosts: {{ type: array }} }}\nsteps:\n{steps}");
    let mut bench = Bench::started(&text, json!({"hosts": hosts(300, 4)}));
    assert_eq!(
        bench.run_status(),
        RunStatus::Running,
        "all in one decision"
    );
    bench.go_on();
    assert_eq!(bench.run_status(), RunStatus::Waiting);
}

#[test]
fn all_outputs_that_an_expression_misses_are_told_at_once() {
    let text = fan("read")
        + "  - { id: pause, wait: 1m }\n  - { id: after, assert: \"steps.each.items.all(i, i.output.value != '')\" }\n";
    let mut bench = Bench::started(&text, json!({"hosts": hosts(3, 1)}));
    for name in ["each[0]", "each[1]", "each[2]"] {
        let json = json!({"value": format!("{name}{}", "x".repeat(9_000))});
        let value = Bench::value(json.clone());
        assert!(value.inline.is_none());
        bench.facts.values.insert(value.digest, json.into());
        bench.succeed(name, (*bench.facts.values[&value.digest]).clone());
    }
    let kept = std::mem::take(&mut bench.facts.values);
    bench.now = bench.now.plus("1m".parse().expect("a duration"));
    let wake = crate::command::Command::Wake { in_hand: false };
    assert_eq!(missing(bench.ask(wake)).len(), 3);
    bench.facts.values = kept;
    bench.wake();
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}
