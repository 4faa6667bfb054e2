//! Fan-out: windows, joins, failures, approvals over all items.

use serde_json::json;

use super::bench::Bench;
use crate::command::Outcome;
use crate::event::{ApprovalState, RunStatus, StepStatus};

fn fan(action: &str, more: &str) -> String {
    format!(
        r#"
workflow: w
inputs: {{ hosts: {{ type: array }} }}
steps:
  - id: each
    for_each: inputs.hosts
    key: "${{{{ string(item) }}}}"
    max_parallel: 2
    {more}
    uses: demo/{action}
    with: {{ key: "${{{{ string(item) }}}}-${{{{ index }}}}" }}
    retry: {{ attempts: 1 }}
  - id: after
    assert: steps.each.counts.failed < 3
outputs: {{ list: "${{{{ steps.each.output }}}}", keys: "${{{{ steps.each.items.map(i, i.key) }}}}" }}
"#
    )
}

#[test]
fn items_run_as_a_window_and_join_in_the_order_of_the_list() {
    let mut bench = Bench::started(&fan("read", ""), json!({"hosts": ["a", "b", "c"]}));
    assert_eq!(bench.owed(), ["each[a]", "each[b]"]);
    bench.succeed("each[b]", json!({"value": "B"}));
    assert_eq!(bench.owed(), ["each[a]", "each[c]"]);
    bench.succeed("each[c]", json!({"value": "C"}));
    bench.succeed("each[a]", json!({"value": "A"}));
    let end = bench.run.state().head.end.clone().expect("an end");
    assert_eq!(end.status, RunStatus::Succeeded);
    let list = end.outputs["list"].inline_json();
    assert_eq!(
        list,
        Some(json!([{"value": "A"}, {"value": "B"}, {"value": "C"}]))
    );
    assert_eq!(
        end.outputs["keys"].inline_json(),
        Some(json!(["a", "b", "c"]))
    );
}

#[test]
fn an_empty_list_is_done_at_once() {
    let bench = Bench::started(&fan("read", ""), json!({"hosts": []}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn so_many_items_may_fail_and_no_more() {
    let mut bench = Bench::started(
        &fan("read", "max_failed: 1"),
        json!({"hosts": ["a", "b", "c"]}),
    );
    bench.fail("each[a]", true);
    bench.succeed("each[b]", json!({}));
    bench.succeed("each[c]", json!({}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
    let list = bench.run.state().head.end.as_ref().expect("an end").outputs["list"].inline_json();
    assert_eq!(list, Some(json!([null, {}, {}])));

    let mut bench = Bench::started(&fan("read", ""), json!({"hosts": ["a", "b", "c"]}));
    bench.fail("each[a]", true);
    assert_eq!(bench.owed(), ["each[b]"], "no further item starts");
    bench.succeed("each[b]", json!({}));
    assert_eq!(bench.status("each"), StepStatus::Failed);
    assert_eq!(bench.code().as_deref(), Some("items_failed"));
}

#[test]
fn two_items_of_one_key_are_refused() {
    let bench = Bench::started(&fan("read", ""), json!({"hosts": ["a", "a"]}));
    assert_eq!(bench.code().as_deref(), Some("expression"));
}

#[test]
fn one_approval_covers_all_items_and_their_calls_come_from_its_bytes() {
    let mut bench = Bench::started(&fan("change", ""), json!({"hosts": ["a", "b", "c"]}));
    assert!(bench.owed().is_empty());
    bench.decide("each", "erik", true).expect("may");
    assert_eq!(bench.owed(), ["each[a]", "each[b]"]);
    for name in ["each[a]", "each[b]", "each[c]"] {
        let job = bench.run.job(bench.no(name)).expect("a job");
        let bytes = job
            .approval
            .as_ref()
            .and_then(|c| c.bytes.inline.clone())
            .expect("inline");
        crate::approval::check(&bytes, &job, 3).expect("what was approved");
        bench.begin(name).expect("granted");
        bench.succeed(name, json!({}));
    }
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
    let consent = bench.step("each").approval.as_ref().expect("asked");
    assert_eq!((consent.state, consent.granted), (ApprovalState::Used, 3));
}

#[test]
fn a_cancel_stops_the_items_and_waits_for_granted_ones() {
    let mut bench = Bench::started(&fan("change", ""), json!({"hosts": ["a", "b", "c"]}));
    bench.decide("each", "erik", true).expect("may");
    bench.begin("each[a]").expect("granted");
    bench.cancel();
    assert_eq!(bench.status("each[b]"), StepStatus::Cancelled);
    assert_eq!(bench.owed(), ["each[a]"]);
    bench
        .report(
            "each[a]",
            Outcome::Succeeded {
                output: Bench::value(json!({})),
            },
        )
        .expect("waited for");
    assert_eq!(bench.run_status(), RunStatus::Cancelled);
    assert_eq!(
        bench.step("each").approval.as_ref().expect("asked").state,
        ApprovalState::Used
    );
}

#[test]
fn a_cancel_that_cuts_every_item_ends_the_fan_out_too() {
    let mut bench = Bench::started(&fan("read", ""), json!({"hosts": ["a", "b"]}));
    assert_eq!(bench.owed(), ["each[a]", "each[b]"]);
    bench.cancel();
    assert_eq!(bench.status("each"), StepStatus::Cancelled);
    assert_eq!(bench.run_status(), RunStatus::Cancelled);
}

#[test]
fn retry_if_sees_the_item() {
    let text = r#"
workflow: w
steps:
  - id: each
    for_each: "['a', 'b']"
    key: ${{ item }}
    uses: demo/read
    with: { key: "${{ item }}" }
    retry: { attempts: 2, if: error.code == 'broken' && item == 'b' && index == 1 }
"#;
    let mut bench = Bench::started(text, json!({}));
    bench.fail("each[b]", false);
    assert_eq!(bench.status("each[b]"), StepStatus::Running);
    bench.fail("each[a]", true);
    let failure = bench.step("each[a]").failure.as_ref().expect("why");
    assert_eq!(failure.code, "broken");
}
