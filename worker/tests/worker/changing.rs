use std::time::Duration;

use engine::approval::Approval;
use engine::code::Code;
use engine::command::Outcome;
use engine::digest::Digest;
use engine::event::{Failure, Part, SecretPart, TimeSpan, WorkflowRef};
use engine::id::{RunId, Shard, Tenant};
use engine::job::Job;
use engine::principal::{Permission, Principal, Role};
use engine::time::Timestamp;
use engine::value::Labels;
use serde_json::json;
use worker::{CallResult, Change, NotSent};

use crate::bench::Bench;
use crate::jobs::{self, NOW};

#[tokio::test(start_paused = true)]
async fn a_change_is_made_from_the_approved_bytes_and_only_after_its_grant() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::change(1)).await;
    let begin = bench.asked().await;
    assert_eq!(begin.attempt, jobs::change(1).attempt_key());
    assert!(bench.calls.try_recv().is_err(), "no call before the grant");
    begin.grant(30_000);
    let call = bench.called().await;
    assert_eq!(call.params, json!({ "n": 1, "token": "" }));
    assert_eq!(call.time_range, jobs::change(1).call.time_range);
    assert_eq!((call.ready, call.settings), (Duration::ZERO, Some(3)));
    call.succeed(&json!({ "text": "done" }));
    let (id, outcome) = bench.durable().await;
    assert!(matches!(outcome, Outcome::Succeeded { .. }));
    // The same attempt, done again by whoever: one report.
    bench.offer(jobs::change(1)).await;
    bench.asked().await.grant(30_000);
    bench.called().await.succeed(&json!({ "text": "again" }));
    bench.in_hand(Shard(0)).await;
    assert_eq!(bench.durable().await, (id, outcome));
}

#[tokio::test(start_paused = true)]
async fn an_unanswered_question_is_asked_again_with_the_same_nonce() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::change(1)).await;
    let first = bench.asked().await.nonce;
    let second = bench.asked().await;
    assert_eq!(second.nonce, first);
    second.grant(30_000);
    bench.called().await.succeed(&json!({}));
    bench.durable().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_denied_is_dropped() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::change(1)).await;
    bench.asked().await.deny();
    bench.quiet(Duration::from_secs(60)).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_start_by() {
    let mut bench = Bench::new().await;
    tokio::time::advance(Duration::from_secs(1)).await;
    bench.offer(jobs::change(1)).await;
    bench.asked().await.grant(500);
    let (_, outcome) = bench.durable().await;
    assert!(matches!(outcome, Outcome::NotCalled { .. }), "{outcome:?}");
    assert!(bench.calls.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_became_of_a_granted_call_is_reported_as_it_is_known() {
    let mut bench = Bench::new().await;
    let failure = failure("failed", true);
    let failed = |change| CallResult::Failed {
        failure: failure.clone(),
        change,
    };
    let lost = |plugin_dead| CallResult::Lost {
        code: Code::PluginUnavailable,
        reason: "gone".to_owned(),
        plugin_dead,
    };
    let unavailable = NotSent::Unavailable("it died before".to_owned());
    let results = [
        (CallResult::NotSent(unavailable), "not called"),
        (CallResult::TimedOut, "unknown alive"),
        (lost(true), "unknown dead"),
        (lost(false), "unknown alive"),
        (failed(Change::NotMade), "failed not made retryable"),
        (failed(Change::Made), "failed"),
        (failed(Change::Unknown), "unknown dead"),
    ];
    for (n, (result, expected)) in (1..).zip(results) {
        bench.offer(jobs::change(n)).await;
        bench.asked().await.grant(30_000);
        bench.called().await.answer(result);
        assert_eq!(told(&bench.durable().await.1), expected);
        let received = bench
            .backend
            .inbox
            .receive(Shard(0), 0, 10)
            .await
            .expect("one");
        let settled: Vec<u64> = received.iter().map(|(sequence, _)| *sequence).collect();
        bench
            .backend
            .inbox
            .settle(Shard(0), &settled)
            .await
            .expect("an open store");
    }
}

fn told(outcome: &Outcome) -> String {
    match outcome {
        Outcome::NotCalled { .. } => "not called".to_owned(),
        Outcome::Unknown {
            plugin_dead: true, ..
        } => "unknown dead".to_owned(),
        Outcome::Unknown {
            plugin_dead: false, ..
        } => "unknown alive".to_owned(),
        Outcome::Failed { failure } => {
            let not_made = if failure.not_made { " not made" } else { "" };
            let retryable = if failure.retryable { " retryable" } else { "" };
            format!("failed{not_made}{retryable}")
        }
        Outcome::Succeeded { .. }
        | Outcome::TimedOut { .. }
        | Outcome::LookedUpDone { .. }
        | Outcome::LookedUpNotDone
        | Outcome::LookedUpUnknown { .. } => format!("{outcome:?}"),
    }
}

fn failure(code: &str, retryable: bool) -> Failure {
    Failure {
        code: code.to_owned(),
        message: String::new(),
        retryable,
        not_made: false,
        step: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_waited_for_until_its_deadline_and_is_then_unknown() {
    let mut bench = Bench::new().await;
    bench.offer(jobs::change(1)).await;
    bench.asked().await.grant(30_000);
    let mut call = bench.called().await;
    // The owner has no more use for it, and it is still not cut.
    bench
        .unwanted
        .lock()
        .expect("no panic")
        .insert(jobs::change(1).attempt_key());
    let began = tokio::time::Instant::now();
    tokio::time::timeout(Duration::from_secs(700), call.cut())
        .await
        .expect("a deadline");
    assert_eq!(began.elapsed().as_secs(), 600);
    assert_eq!(told(&bench.durable().await.1), "unknown alive");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_does_not_come_up_is_a_failure_before_the_question() {
    let mut bench = Bench::new().await;
    *bench.puppet.ready.lock().expect("no panic") = Err(NotSent::Unavailable("broken".to_owned()));
    bench.offer(jobs::change(1)).await;
    assert_eq!(told(&bench.durable().await.1), "failed not made retryable");
    assert!(bench.begins.try_recv().is_err());
}

/// Changes one thing of a job, or of the bytes that people saw.
type Edit<T> = (&'static str, fn(&mut T));

const JOB_EDITS: [Edit<Job>; 16] = [
    ("tenant", |j| {
        j.key.tenant = Tenant::new("other").expect("a name")
    }),
    ("run", |j| {
        j.key.run = RunId::new(Timestamp::from_millis(NOW), Shard(0), 2)
    }),
    ("name", |j| j.name = "step1[x]".to_owned()),
    ("action", |j| j.action.name.action = "read".to_owned()),
    ("permission", |j| j.action.permission = Permission::Admin),
    ("level", |j| j.action.permission = Permission::Read),
    ("level and consent", |j| {
        j.action.permission = Permission::Read;
        j.approval = None;
    }),
    ("params", |j| {
        j.call.params = jobs::value(&json!({ "n": 2, "token": "" }))
    }),
    ("secrets", |j| j.call.secrets = vec![secret()]),
    ("time_range", |j| j.call.time_range = None),
    ("timeout", |j| j.call.timeout_ms += 1),
    ("sources", |j| {
        j.call.sources.insert("n".to_owned(), Labels::default());
    }),
    ("requester", |j| {
        j.requester = Principal::Key("other".to_owned())
    }),
    ("workflow", |j| j.workflow = None),
    ("definition", |j| j.definition = Digest::ZERO),
    ("consent", |j| j.approval = None),
];

const APPROVAL_EDITS: [Edit<Approval>; 13] = [
    ("type", |a| a.kind = "mirastack.approval.v2".to_owned()),
    ("asking", |a| a.asking = 2),
    ("manifest", |a| a.manifest = Digest::ZERO),
    ("settings", |a| a.settings = 4),
    ("environment", |a| a.environment = Some("prod".to_owned())),
    ("compensate", |a| a.compensate = Some("x".to_owned())),
    ("revision", |a| {
        a.workflow = Some(WorkflowRef {
            name: "silence".to_owned(),
            revision: 5,
        });
    }),
    ("by", |a| a.by = vec![Role::Operator]),
    ("quorum", |a| a.quorum = 0),
    ("not_requester", |a| a.not_requester = false),
    ("expires_at", |a| a.expires_at = Timestamp::MAX),
    ("calls", |a| a.calls.clear()),
    ("item", |a| a.calls[0].key = Some("x".to_owned())),
];

fn secret() -> SecretPart {
    SecretPart {
        pointer: "/token".to_owned(),
        parts: vec![Part::Secret {
            name: "token".to_owned(),
            version: 1,
        }],
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_differs_from_what_was_approved_in_any_field_sends_nothing() {
    for (field, edit) in JOB_EDITS {
        let mut job = jobs::change(1);
        edit(&mut job);
        refused(field, job).await;
    }
    for (field, edit) in APPROVAL_EDITS {
        let mut job = jobs::change(1);
        let mut approval = jobs::approval_of(&job);
        edit(&mut approval);
        jobs::consent(&mut job, &approval);
        refused(field, job).await;
    }
    let mut job = jobs::change(1);
    let other = TimeSpan {
        start: Timestamp::from_millis(0),
        end: Timestamp::from_millis(1),
    };
    let mut approval = jobs::approval_of(&job);
    approval.calls[0].time_range = Some(other);
    job.approval.as_mut().expect("a change").bytes.inline = Some(approval.bytes().into());
    refused("digest", job).await;
}

async fn refused(field: &str, job: Job) {
    let mut bench = Bench::new().await;
    let durable = job.action.permission > Permission::Read;
    bench.offer(job).await;
    let outcome = if durable {
        bench.durable().await.1
    } else {
        bench.outcome().await
    };
    let Outcome::Failed { failure } = outcome else {
        panic!("{field}: no failure")
    };
    assert_eq!(
        (failure.code.as_str(), failure.not_made),
        ("approval_mismatch", true),
        "{field}: {}",
        failure.message
    );
    assert!(
        bench.begins.try_recv().is_err() && bench.calls.try_recv().is_err(),
        "{field}"
    );
}

#[tokio::test(start_paused = true)]
async fn settings_changed_between_the_check_and_the_call_send_nothing_yet() {
    let mut bench = Bench::new().await;
    let other = NotSent::OtherSettings("it works with revision 4".to_owned());
    *bench.puppet.ready.lock().expect("no panic") = Err(other);
    bench.offer(jobs::change(1)).await;
    assert_eq!(told(&bench.durable().await.1), "not called");
    assert!(bench.begins.try_recv().is_err() && bench.calls.try_recv().is_err());
}
