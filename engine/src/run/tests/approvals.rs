//! Consent: who may give it, what it covers, when it ends.

use serde_json::json;

use super::bench::{Bench, principal, refused};
use crate::approval::Approval;
use crate::code::Code;
use crate::event::{ApprovalState, RunStatus, StepStatus};
use crate::facts::Standing;
use crate::principal::Role;

const CHANGE: &str = r#"
workflow: w
inputs: { key: { type: string, default: a } }
steps:
  - id: change
    uses: demo/change
    with: { key: "${{ inputs.key }}" }
    approval: { by: [role:engineer], quorum: QUORUM, timeout: 30m }
"#;

fn asking(quorum: u32) -> Bench {
    Bench::started(&CHANGE.replace("QUORUM", &quorum.to_string()), json!({}))
}

fn state(bench: &Bench) -> ApprovalState {
    bench
        .step("change")
        .approval
        .as_ref()
        .expect("somebody was asked")
        .state
}

#[test]
fn a_change_stops_for_consent_and_the_bytes_say_everything() {
    let bench = asking(1);
    assert_eq!(bench.run_status(), RunStatus::Waiting);
    assert!(bench.owed().is_empty());
    let asked = &bench.step("change").approval.as_ref().expect("asked").asked;
    let bytes = asked.bytes.inline.as_ref().expect("inline");
    let approval = Approval::read(bytes).expect("an approval");
    assert_eq!(approval.bytes(), bytes.to_vec());
    assert_eq!(approval.kind, "mirastack.approval.v1");
    assert_eq!(approval.calls[0].params, r#"{"key":"a"}"#);
    assert_eq!(approval.settings, 3);
    assert_eq!(approval.requester, principal("olga"));
    assert_eq!(approval.expires_at, asked.expires_at);
}

#[test]
fn consent_lets_it_go_and_is_used_once() {
    let mut bench = asking(1);
    bench
        .decide("change", "erik", true)
        .expect("an engineer may");
    assert_eq!(bench.owed(), ["change"]);
    bench.begin("change").expect("granted");
    bench.succeed("change", json!({}));
    assert_eq!(state(&bench), ApprovalState::Used);
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn only_those_who_may_are_heard() {
    let mut bench = asking(1);
    assert_eq!(
        refused(bench.decide("change", "olga", true)),
        Code::ApprovalNotAllowed
    );
    bench.facts.standing.insert(
        principal("olga"),
        Standing {
            role: Some(Role::Admin),
        },
    );
    assert_eq!(
        refused(bench.decide("change", "olga", true)),
        Code::ApprovalNotAllowed
    );
    bench
        .facts
        .standing
        .insert(principal("erik"), Standing { role: None });
    assert_eq!(
        refused(bench.decide("change", "erik", true)),
        Code::ApprovalNotAllowed
    );
    assert_eq!(state(&bench), ApprovalState::Pending);
}

#[test]
fn another_digest_is_refused() {
    let mut bench = asking(1);
    let step = bench.no("change");
    let approval = crate::id::ApprovalId {
        run: bench.run.key().run,
        step,
        asking: 1,
    };
    let command = crate::command::Command::Decide {
        approval,
        digest: crate::digest::Digest::of(b"something else"),
        who: principal("erik"),
        approve: true,
        comment: None,
        key_id: None,
        signature: None,
    };
    assert_eq!(refused(bench.ask(command)), Code::ApprovalChanged);
}

#[test]
fn a_quorum_counts_different_people() {
    let mut bench = asking(2);
    bench.decide("change", "erik", true).expect("may");
    assert!(
        bench
            .decide("change", "erik", true)
            .expect("already so")
            .is_empty()
    );
    assert_eq!(state(&bench), ApprovalState::Pending);
    bench.decide("change", "eva", true).expect("may");
    assert_eq!(state(&bench), ApprovalState::Approved);
}

#[test]
fn one_refusal_rejects_the_run() {
    let mut bench = asking(2);
    bench.decide("change", "erik", true).expect("may");
    bench.decide("change", "eva", false).expect("may");
    assert_eq!(bench.status("change"), StepStatus::Rejected);
    assert_eq!(bench.run_status(), RunStatus::Rejected);
    assert_eq!(
        refused(bench.decide("change", "ada", true)),
        Code::ApprovalClosed
    );
}

#[test]
fn a_refusal_can_skip_instead() {
    let text = CHANGE.replace("quorum: QUORUM", "on_reject: skip");
    let mut bench = Bench::started(&text, json!({}));
    bench.decide("change", "eva", false).expect("may");
    assert_eq!(bench.status("change"), StepStatus::Skipped);
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
}

#[test]
fn silence_is_no_consent() {
    let mut bench = asking(1);
    bench.later(30 * 60_000);
    assert_eq!(state(&bench), ApprovalState::Expired);
    assert_eq!(bench.run_status(), RunStatus::Rejected);
    assert_eq!(bench.code().as_deref(), Some("approval_expired"));
}

#[test]
fn rights_are_live_at_the_grant() {
    let mut bench = asking(1);
    bench.decide("change", "erik", true).expect("may");
    bench.facts.standing.insert(
        principal("erik"),
        Standing {
            role: Some(Role::Operator),
        },
    );
    bench.begin("change").expect("decided");
    assert_eq!(bench.code().as_deref(), Some("rights_withdrawn"));
    assert!(!bench.run.state().head.changed, "nothing was granted");

    let mut bench = asking(1);
    bench.decide("change", "erik", true).expect("may");
    bench
        .facts
        .standing
        .insert(principal("olga"), Standing { role: None });
    bench.begin("change").expect("decided");
    assert_eq!(bench.code().as_deref(), Some("rights_withdrawn"));
}

#[test]
fn an_admin_step_needs_an_admin() {
    let text = "workflow: w\nsteps: [{ id: change, uses: demo/drop, with: { key: k } }]\n";
    let mut bench = Bench::started(text, json!({}));
    assert_eq!(
        refused(bench.decide("change", "erik", true)),
        Code::ApprovalNotAllowed
    );
    bench.decide("change", "ada", true).expect("an admin may");
    assert_eq!(state(&bench), ApprovalState::Approved);
}

#[test]
fn a_resolved_alert_withdraws_what_is_asked() {
    let mut bench = asking(1);
    let who = crate::principal::Principal::Hook("alerts".to_owned());
    bench.must(crate::command::Command::Cancel {
        who,
        reason: None,
        if_unchanged: true,
    });
    assert_eq!(state(&bench), ApprovalState::Withdrawn);
    assert_eq!(bench.run_status(), RunStatus::Cancelled);
    assert_eq!(bench.code().as_deref(), Some("alert_resolved"));
}

#[test]
fn secrets_stand_in_the_bytes_by_name_and_version_only() {
    let text = r#"
workflow: w
steps: [{ id: change, uses: demo/change, with: { key: "Bearer ${{ secrets.token }}" } }]
"#;
    let mut bench = Bench::started(text, json!({}));
    let bytes = bench
        .step("change")
        .approval
        .as_ref()
        .expect("asked")
        .asked
        .bytes
        .inline
        .clone();
    let approval = Approval::read(&bytes.expect("inline")).expect("an approval");
    assert_eq!(approval.calls[0].params, r#"{"key":""}"#);
    let part = &approval.calls[0].secrets[0];
    assert_eq!(part.pointer, "/key");
    assert_eq!(
        serde_json::to_value(&part.parts).expect("JSON"),
        json!([{"text": "Bearer "}, {"secret": {"name": "token", "version": 2}}])
    );
    bench.decide("change", "erik", true).expect("may");
    let job = bench.run.job(bench.no("change")).expect("a job");
    let bytes = job
        .approval
        .as_ref()
        .and_then(|c| c.bytes.inline.clone())
        .expect("inline");
    assert!(crate::approval::check(&bytes, &job, 3).is_ok());
    assert_eq!(
        crate::approval::check(&bytes, &job, 4)
            .expect_err("another revision")
            .field,
        "settings"
    );
}

#[test]
fn nobody_consents_after_the_approval_has_expired() {
    let mut bench = asking(1);
    bench.now = crate::time::Timestamp::from_millis(bench.now.millis() + 30 * 60_000);
    for approve in [true, false] {
        let decided = bench.decide("change", "erik", approve);
        assert_eq!(refused(decided), Code::ApprovalClosed, "no wake came yet");
    }
}

#[test]
fn ones_own_same_decision_is_so_also_after_the_end() {
    let mut bench = asking(1);
    bench.decide("change", "erik", true).expect("may");
    bench.begin("change").expect("granted");
    bench.succeed("change", json!({}));
    assert_eq!(bench.run_status(), RunStatus::Succeeded);
    let again = bench.decide("change", "erik", true).expect("it is so");
    assert!(again.is_empty());
    for (who, approve) in [("erik", false), ("eva", true)] {
        let other = bench.decide("change", who, approve);
        assert_eq!(refused(other), Code::ApprovalClosed);
    }
}
