//! The plans.

use engine::principal::Role;

use super::people::{Cue, Does, When};
use super::plan::{Kind, Plan, plan};

const LOOKS: &str = "
steps:
  - { id: look, uses: lab/look, with: { n: 1 } }
";
const CHANGES: &str = "
steps:
  - { id: before, uses: lab/look, with: { n: 1 } }
  - { id: change, uses: lab/put, with: { n: 2 }, timeout: 10s, approval: { timeout: 20s } }
  - { id: after, uses: lab/look, with: { n: \"${{ steps.change.output.n + 1 }}\" } }
outputs: { n: \"${{ steps.after.output.n }}\" }
";
const ASKS: When = When::Asks("change");
const ANN: Cue = (ASKS, Does::Approve("ann"));

/// All of them.
pub(crate) const PLANS: &[Plan] = &[
    // Sequences and conditions.
    plan("one_step", LOOKS, "succeeded: look succeeded"),
    plan("sequence", "
steps:
  - { id: first, uses: lab/look, with: { n: 1 } }
  - { id: rest, wait: 2s }
  - { id: second, uses: lab/look, with: { n: \"${{ steps.first.output.n + 1 }}\" } }
  - { id: sure, assert: steps.second.output.n == 2 }
outputs: { n: \"${{ steps.second.output.n }}\" }
", "succeeded: first succeeded, rest succeeded, second succeeded, sure succeeded").outputs(r#"{"n":2}"#),
    plan("condition", "
steps:
  - { id: first, uses: lab/look, with: { n: 1 } }
  - { id: never, if: steps.first.output.n == 2, uses: lab/look, with: { n: 2 } }
  - { id: last, uses: lab/look, with: { n: 3 } }
", "succeeded: first succeeded, never skipped, last succeeded"),
    plan("branches", "
steps:
  - { id: a, needs: [], uses: lab/look, with: { n: 1 } }
  - { id: b, needs: [], wait: 1s }
  - { id: c, needs: [a, b], uses: lab/look, with: { n: 3 } }
", "succeeded: a succeeded, b succeeded, c succeeded"),
    plan("large_value", "
steps:
  - { id: big, uses: lab/look, with: { n: 1, pad: 20000 } }
  - { id: end, if: size(steps.big.output.pad) == 20000, uses: lab/look, with: { n: 2 } }
", "succeeded: big succeeded, end succeeded"),
    plan("checkpoints", "
steps:
  - { id: slow, uses: lab/slow, with: { n: 1 }, timeout: 60s }
", "succeeded: slow succeeded"),
    // Fan-outs.
    plan("fan_out", "
steps:
  - { id: each, for_each: \"${{ [1, 2, 3] }}\", max_parallel: 2, uses: lab/look, with: { n: \"${{ item }}\" } }
  - { id: last, uses: lab/look, with: { n: \"${{ size(steps.each.items) }}\" } }
outputs: { n: \"${{ steps.each.counts.succeeded }}\" }
", "succeeded: each succeeded, last succeeded").outputs(r#"{"n":3}"#),
    plan("fan_out_some_fail", "
steps:
  - id: each
    for_each: ${{ [1, 2, 3] }}
    max_failed: 1
    uses: lab/look
    with: { n: \"${{ item }}\", does: \"${{ item == 2 ? 'fails' : '' }}\" }
  - { id: last, uses: lab/look, with: { n: 4 } }
outputs: { n: \"${{ steps.each.counts.succeeded }}\" }
", "succeeded: each succeeded, last succeeded").outputs(r#"{"n":2}"#),
    plan("fan_out_too_many_fail", "
steps:
  - id: each
    for_each: ${{ [1, 2, 3] }}
    max_parallel: 1
    uses: lab/look
    with: { n: \"${{ item }}\", does: \"${{ item == 2 ? 'fails' : '' }}\" }
  - { id: last, uses: lab/look, with: { n: 4 } }
", "failed by items_failed: each failed, last skipped"),
    plan("fan_out_of_nothing", "
steps:
  - { id: each, for_each: \"${{ [] }}\", uses: lab/look, with: { n: 1 } }
  - { id: last, uses: lab/look, with: { n: 2 } }
", "succeeded: each succeeded, last succeeded"),
    plan("fan_out_changes", "
steps:
  - id: change
    for_each: ${{ [1, 2, 3] }}
    max_parallel: 2
    uses: lab/put
    timeout: 10s
    with: { n: \"${{ item }}\" }
    approval: { quorum: 2, timeout: 40s }
", "succeeded: change succeeded").cues(&[ANN, (ASKS, Does::Approve("bob"))]),
    // Approvals.
    plan("approved", CHANGES, "succeeded: before succeeded, change succeeded, after succeeded").cues(&[ANN]).outputs(r#"{"n":3}"#),
    plan("rejected", CHANGES, "rejected by rejected: before succeeded, change rejected, after skipped").cues(&[(ASKS, Does::Reject("ann"))]),
    plan("rejected_and_skipped", "
steps:
  - { id: change, uses: lab/put, with: { n: 1 }, approval: { timeout: 20s, on_reject: skip } }
  - { id: dependent, uses: lab/look, with: { n: 2 } }
  - { id: free, needs: [], uses: lab/look, with: { n: 3 } }
", "succeeded: change skipped, dependent skipped, free succeeded").cues(&[(ASKS, Does::Reject("ann"))]),
    plan("expired", "
steps:
  - { id: change, uses: lab/put, with: { n: 1 }, approval: { timeout: 8s } }
  - { id: after, uses: lab/look, with: { n: 2 } }
", "rejected by approval_expired: change rejected, after skipped"),
    plan("expired_and_failed", "
steps:
  - { id: change, uses: lab/put, with: { n: 1 }, approval: { timeout: 8s, on_timeout: fail } }
on_failure:
  - { id: tell, uses: lab/look, with: { n: 2 } }
", "failed by approval_expired: change failed, tell succeeded"),
    plan("one_of_two_agrees", "
steps:
  - { id: change, uses: lab/put, with: { n: 1 }, approval: { timeout: 8s, quorum: 2 } }
", "rejected by approval_expired: change rejected").cues(&[ANN]),
    plan("agreed_then_refused", "
steps:
  - { id: change, uses: lab/put, with: { n: 1 }, approval: { timeout: 30s, quorum: 2 } }
", "rejected by rejected: change rejected").cues(&[ANN, (ASKS, Does::Reject("bob"))]),
    plan("only_an_admin_may", "
steps:
  - { id: change, uses: lab/raze, with: { n: 1 }, timeout: 10s, approval: { by: [role:admin], timeout: 30s } }
", "succeeded: change succeeded").cues(&[ANN, (ASKS, Does::Approve("eve"))]),
    plan("consent_of_one_who_is_out", "
steps:
  - { id: change, uses: lab/put, with: { n: 1 }, timeout: 10s, approval: { quorum: 2, timeout: 40s } }
", "failed by rights_withdrawn: change failed").cues(&[
        ANN,
        (ASKS, Does::Role("ann", Role::Engineer, false)),
        (ASKS, Does::Approve("bob")),
    ]),
    plan("settings_that_change_after_the_question", "
steps:
  - { id: change, uses: lab/put, with: { n: 1 }, timeout: 10s, approval: { timeout: 60s } }
", "failed by approval_mismatch: change failed").cues(&[(ASKS, Does::Settings(1)), ANN]),
    plan("withdrawn_by_the_runs_end", "
timeout: 6s
steps:
  - { id: change, uses: lab/put, with: { n: 1 }, approval: { timeout: 60s } }
finally:
  - { id: tidy, uses: lab/look, with: { n: 2 } }
", "timed_out by timeout: change cancelled, tidy succeeded"),
    // Retries.
    plan("busy_twice", "
steps:
  - { id: look, uses: lab/look, with: { n: 1, does: \"refuses twice\" } }
", "succeeded: look succeeded"),
    plan("busy_for_ever", "
steps:
  - { id: look, uses: lab/look, with: { n: 1, does: refuses } }
", "failed by lab_failed: look failed"),
    plan("a_change_refused_once", "
steps:
  - id: change
    uses: lab/fire
    with: { n: 1, does: \"refuses once\" }
    timeout: 10s
    retry: { attempts: 3, delay: 1s }
    approval: { timeout: 30s }
", "succeeded: change succeeded").cues(&[ANN]),
    plan("a_change_refused", "
steps:
  - { id: change, uses: lab/fire, with: { n: 1, does: refuses }, timeout: 10s, approval: { timeout: 30s } }
", "failed by lab_failed: change failed").cues(&[ANN]),
    plan("silent", "
steps:
  - { id: look, uses: lab/look, with: { n: 1, does: silent }, timeout: 3s, retry: { attempts: 1 } }
", "failed by timeout: look timed_out"),
    plan("an_agent_dies_once", "
steps:
  - { id: look, uses: lab/look, with: { n: 1, does: \"dies once\" } }
", "succeeded: look succeeded"),
    // Failure paths.
    plan("on_failure_and_finally", "
steps:
  - { id: look, uses: lab/look, with: { n: 1, does: fails } }
  - { id: after, uses: lab/look, with: { n: 2 } }
on_failure:
  - { id: tell, uses: lab/look, with: { n: 3 } }
finally:
  - { id: tidy, uses: lab/look, with: { n: 4 } }
", "failed by lab_failed: look failed, after skipped, tell succeeded, tidy succeeded"),
    plan("finally_after_success", "
steps:
  - { id: look, uses: lab/look, with: { n: 1 } }
on_failure:
  - { id: tell, uses: lab/look, with: { n: 3 } }
finally:
  - { id: tidy, uses: lab/look, with: { n: 4 } }
", "succeeded: look succeeded, tidy succeeded"),
    plan("on_failure_fails_too", "
steps:
  - { id: look, uses: lab/look, with: { n: 1, does: fails } }
on_failure:
  - { id: tell, uses: lab/look, with: { n: 3, does: fails } }
finally:
  - { id: tidy, uses: lab/look, with: { n: 4 } }
", "failed by lab_failed: look failed, tell failed, tidy succeeded"),
    plan("a_change_on_failure", "
steps:
  - { id: look, uses: lab/look, with: { n: 1, does: fails } }
on_failure:
  - { id: change, uses: lab/put, with: { n: 2 }, timeout: 10s, approval: { timeout: 30s } }
", "failed by lab_failed: look failed, change succeeded").cues(&[ANN]),
    plan("goes_on_after_an_error", "
steps:
  - { id: look, uses: lab/look, with: { n: 1, does: fails }, continue_on_error: true }
  - { id: after, if: steps.look.status == 'failed', uses: lab/look, with: { n: 2 } }
", "succeeded: look failed, after succeeded"),
    plan("not_as_asserted", "
steps:
  - { id: look, uses: lab/look, with: { n: 1 } }
  - { id: sure, assert: steps.look.output.n == 2, message: it is not }
  - { id: after, uses: lab/look, with: { n: 2 } }
", "failed by assert_failed: look succeeded, sure failed, after skipped"),
    plan("a_failure_beside_a_change", "
steps:
  - { id: change, needs: [], uses: lab/put, with: { n: 1 }, timeout: 10s, approval: { timeout: 30s } }
  - { id: rest, needs: [], wait: 70s }
  - { id: look, needs: [rest], uses: lab/look, with: { n: 2, does: fails } }
", "failed by lab_failed: change succeeded, rest succeeded, look failed").cues(&[ANN]),
    // Waits.
    plan("a_wait", "
steps:
  - { id: rest, wait: 5s }
", "succeeded: rest succeeded"),
    plan("the_runs_time_is_over", "
timeout: 4s
steps:
  - { id: rest, wait: 30s }
  - { id: look, uses: lab/look, with: { n: 1 } }
on_failure:
  - { id: tell, uses: lab/look, with: { n: 2 } }
finally:
  - { id: tidy, uses: lab/look, with: { n: 3 } }
", "timed_out by timeout: rest cancelled, look skipped, tell succeeded, tidy succeeded"),
    // Alerts.
    plan("an_alert", ALARM, "succeeded: look succeeded, rest succeeded").kind(Kind::Alert).cues(&[(When::Begin, Does::Alert(true))]),
    plan("an_alert_that_resolves", ALARM, "cancelled by alert_resolved: look succeeded, rest cancelled").kind(Kind::Alert).cues(&[
        (When::Begin, Does::Alert(true)),
        (When::Waits("rest"), Does::Alert(false)),
    ]),
    plan("an_alert_that_resolves_while_it_asks", ALARM_CHANGES, "cancelled by alert_resolved: change cancelled, rest skipped").kind(Kind::Alert).cues(&[
        (When::Begin, Does::Alert(true)),
        (ASKS, Does::Alert(false)),
    ]),
    plan("an_alert_that_resolves_after_the_change", ALARM_CHANGES, "succeeded: change succeeded, rest succeeded").kind(Kind::Alert).cues(&[
        (When::Begin, Does::Alert(true)),
        ANN,
        (When::Waits("rest"), Does::Alert(false)),
    ]),
    // Cancels.
    plan("cancelled_at_once", FULL, "cancelled by cancelled: look cancelled, rest skipped, change skipped, late skipped, tidy succeeded").cues(&[(When::There, Does::Cancel)]),
    plan("cancelled_in_a_read", FULL, "cancelled by cancelled: look cancelled, rest skipped, change skipped, late skipped, tidy succeeded").cues(&[(When::Does("look"), Does::Cancel)]),
    plan("cancelled_in_a_wait", FULL, "cancelled by cancelled: look succeeded, rest cancelled, change skipped, late skipped, tidy succeeded").cues(&[(When::Waits("rest"), Does::Cancel)]),
    plan("cancelled_while_it_asks", FULL, "cancelled by cancelled: look succeeded, rest succeeded, change cancelled, late skipped, tidy succeeded").cues(&[(ASKS, Does::Cancel)]),
    plan("cancelled_in_a_change", FULL, "cancelled by cancelled: look succeeded, rest succeeded, change succeeded|cancelled, late skipped|cancelled, tidy succeeded").cues(&[ANN, (When::Changes("change"), Does::Cancel)]),
    plan("cancelled_before_a_retry", "
steps:
  - { id: look, uses: lab/look, with: { n: 1, does: refuses }, retry: { attempts: 9, delay: 20s } }
", "cancelled by cancelled: look cancelled").cues(&[(When::Waits("look"), Does::Cancel)]),
    plan("cancelled_in_a_fan_out", "
steps:
  - { id: each, for_each: \"${{ [1, 2, 3, 4, 5, 6] }}\", max_parallel: 1, uses: lab/slow, with: { n: \"${{ item }}\" } }
", "cancelled by cancelled: each cancelled").cues(&[(When::Fans("each"), Does::Cancel)]),
    plan("cancelled_in_on_failure", "
steps:
  - { id: look, uses: lab/look, with: { n: 1, does: fails } }
on_failure:
  - { id: tell, wait: 60s }
finally:
  - { id: tidy, uses: lab/look, with: { n: 4 } }
", "failed by lab_failed: look failed, tell cancelled, tidy succeeded").cues(&[(When::Waits("tell"), Does::Cancel)]),
    plan("cancelled_in_finally", "
steps:
  - { id: look, uses: lab/look, with: { n: 1 } }
finally:
  - { id: tidy, wait: 60s }
", "cancelled by cancelled: look succeeded, tidy cancelled").cues(&[(When::Waits("tidy"), Does::Cancel)]),
    plan("cancelled_in_doubt", "
steps:
  - { id: change, uses: lab/fire, with: { n: 1, does: \"dies, made\" }, timeout: 10s, approval: { timeout: 30s } }
", "cancelled by cancelled: change in_doubt").kind(Kind::NobodyLooks).cues(&[ANN, (When::Doubts("change"), Does::Cancel)]),
    // Calls of one action.
    plan("an_action", LOOKS, "succeeded: look succeeded").kind(Kind::AdHoc),
    plan("an_action_that_changes", "
steps:
  - { id: change, uses: lab/set, with: { n: 1 }, timeout: 10s, approval: { timeout: 30s } }
", "succeeded: change succeeded").kind(Kind::AdHoc).cues(&[ANN]),
    // Changes that nobody knows about.
    plan("in_doubt_and_made", FIRES_MADE, "succeeded: change succeeded, after succeeded").cues(&[ANN]),
    plan("in_doubt_and_not_made", "
steps:
  - { id: change, uses: lab/fire, with: { n: 1, does: \"dies once\" }, timeout: 10s, approval: { timeout: 30s } }
  - { id: after, uses: lab/look, with: { n: 2 } }
", "succeeded: change succeeded, after succeeded").cues(&[ANN]),
    plan("looked_up_and_made", "
steps:
  - { id: change, uses: lab/put, with: { n: 1, does: \"breaks, made\" }, timeout: 5s, approval: { timeout: 30s } }
  - { id: after, uses: lab/look, with: { n: \"${{ steps.change.output.n + 1 }}\" } }
", "succeeded: change succeeded, after succeeded").cues(&[ANN]),
    plan("looked_up_and_not_made", "
steps:
  - { id: change, uses: lab/put, with: { n: 1, does: \"breaks once\" }, timeout: 5s, approval: { timeout: 30s } }
  - { id: after, uses: lab/look, with: { n: 2 } }
", "succeeded: change succeeded, after succeeded").cues(&[ANN]),
    plan("looked_up_in_vain", "
steps:
  - { id: change, uses: lab/put, with: { n: 1, does: \"dies, made, vague\" }, timeout: 5s, approval: { timeout: 30s } }
", "succeeded: change succeeded").cues(&[ANN]),
    plan("repeated_because_that_is_harmless", "
steps:
  - { id: change, uses: lab/set, with: { n: 1, does: \"silent once, made\" }, timeout: 5s, approval: { timeout: 30s } }
", "succeeded: change succeeded").cues(&[ANN]),
];

const FIRES_MADE: &str = "
steps:
  - { id: change, uses: lab/fire, with: { n: 1, does: \"dies, made\" }, timeout: 10s, approval: { timeout: 30s } }
  - { id: after, uses: lab/look, with: { n: 2 } }
";
const ALARM: &str = "
on:
  - hook: alerts
    with: { of: \"${{ event.alert.labels.instance }}\" }
inputs: { of: { type: string } }
steps:
  - { id: look, uses: lab/look, with: { n: \"${{ size(inputs.of) }}\" } }
  - { id: rest, wait: 20s }
";
const ALARM_CHANGES: &str = "
on:
  - hook: alerts
    with: { of: \"${{ event.alert.labels.instance }}\" }
inputs: { of: { type: string } }
steps:
  - { id: change, uses: lab/put, with: { n: \"${{ size(inputs.of) }}\" }, timeout: 10s, approval: { timeout: 60s } }
  - { id: rest, wait: 20s }
";
const FULL: &str = "
steps:
  - { id: look, uses: lab/look, with: { n: 1 } }
  - { id: rest, wait: 5s }
  - { id: change, uses: lab/put, with: { n: 2 }, timeout: 10s, approval: { timeout: 60s } }
  - { id: late, wait: 10s }
finally:
  - { id: tidy, uses: lab/look, with: { n: 3 } }
";
