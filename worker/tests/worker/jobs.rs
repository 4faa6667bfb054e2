//! Jobs as an owner offers them.

use std::collections::BTreeMap;

use engine::approval::{Approval, ApprovedCall, TYPE};
use engine::digest::Digest;
use engine::event::{Call, PinnedAction, SecretPart, TimeSpan, WorkflowRef};
use engine::id::{Attempt, RunId, RunKey, Shard, StepNo, Tenant};
use engine::job::{Consent, Job, JobKind, Terms};
use engine::manifest::{ActionName, Pinned};
use engine::principal::{Permission, Principal, Role};
use engine::time::Timestamp;
use engine::value::{INLINE_BYTES_MAX, Labels, Value};
use serde_json::json;

/// When each test begins, in milliseconds since the epoch.
pub(crate) const NOW: u64 = 1_763_683_200_000;

pub(crate) fn tenant() -> Tenant {
    Tenant::default()
}

/// The actions that runs have pinned.
pub(crate) fn pinned() -> Vec<Pinned> {
    [Permission::Read, Permission::Modify].map(pin).to_vec()
}

fn pin(permission: Permission) -> Pinned {
    Pinned {
        agent: "demo".to_owned(),
        action: if permission == Permission::Read {
            "read"
        } else {
            "change"
        }
        .to_owned(),
        permission,
        input: json!({ "type": "object" }),
        output: Some(
            json!({ "type": "object", "properties": { "value": { "type": "number" }, "text": { "type": "string" } } }),
        ),
        idempotent: false,
        lookup: true,
    }
}

fn action(permission: Permission) -> PinnedAction {
    let pinned = pin(permission);
    PinnedAction {
        name: ActionName {
            agent: pinned.agent.clone(),
            action: pinned.action.clone(),
        },
        digest: pinned.digest(),
        permission,
        idempotent: pinned.idempotent,
        lookup: pinned.lookup,
        timeout_ms: None,
        settle_ms: None,
    }
}

pub(crate) fn value(json: &serde_json::Value) -> Value {
    Value::make(json, Labels::default(), INLINE_BYTES_MAX)
        .expect("small")
        .value
}

/// A READ of step `n` of a run, dispatched now, with a minute to go.
pub(crate) fn read(n: u32) -> Job {
    Job {
        key: RunKey {
            tenant: tenant(),
            run: RunId::new(Timestamp::from_millis(NOW), Shard(0), 1),
        },
        step: StepNo(n),
        name: format!("step{n}"),
        attempt: Attempt(1),
        kind: JobKind::Call,
        action: action(Permission::Read),
        call: Call {
            action: 0,
            params: value(&json!({ "n": n })),
            secrets: Vec::new(),
            time_range: None,
            timeout_ms: 60_000,
            sources: BTreeMap::new(),
        },
        requester: Principal::Key("ci".to_owned()),
        approval: None,
        idempotency_key: format!("run/{n}"),
        traceparent: None,
        dispatched_at: Timestamp::from_millis(NOW),
        workflow: Some("silence".to_owned()),
        labels: BTreeMap::new(),
        try_number: 1,
        resume: false,
        definition: Digest::of(b"definition"),
        revision: Some(4),
    }
}

/// An approved MODIFY of step `n`, with these secrets in its parameters.
pub(crate) fn change_with(n: u32, secrets: Vec<SecretPart>) -> Job {
    let mut job = read(n);
    job.action = action(Permission::Modify);
    job.call.secrets = secrets;
    job.call.params = value(&json!({ "n": n, "token": "" }));
    job.call.timeout_ms = 600_000;
    job.call.time_range = Some(TimeSpan {
        start: Timestamp::from_millis(NOW - 1000),
        end: Timestamp::from_millis(NOW),
    });
    let approval = approval_of(&job);
    consent(&mut job, &approval);
    job
}

/// An approved MODIFY of step `n`.
pub(crate) fn change(n: u32) -> Job {
    change_with(n, Vec::new())
}

/// What people saw of a job.
pub(crate) fn approval_of(job: &Job) -> Approval {
    let params = job.call.params.inline.as_ref().expect("small").to_vec();
    Approval {
        kind: TYPE.to_owned(),
        tenant: job.key.tenant.clone(),
        run: job.key.run,
        step: job.name.clone(),
        asking: 1,
        action: job.action.name.clone(),
        permission: job.action.permission,
        manifest: job.action.digest,
        calls: vec![ApprovedCall {
            key: None,
            params: String::from_utf8(params).expect("JSON"),
            secrets: job.call.secrets.clone(),
            sources: job.call.sources.clone(),
            time_range: job.call.time_range,
        }],
        timeout_ms: job.call.timeout_ms,
        settings: 3,
        environment: None,
        compensate: None,
        workflow: Some(WorkflowRef {
            name: "silence".to_owned(),
            revision: 4,
        }),
        definition: job.definition,
        requester: job.requester.clone(),
        by: vec![Role::Engineer],
        quorum: 1,
        not_requester: true,
        expires_at: Timestamp::from_millis(NOW + 1_800_000),
    }
}

/// Gives the job the consent to these bytes.
pub(crate) fn consent(job: &mut Job, approval: &Approval) {
    let bytes = approval.bytes();
    let digest = Digest::of(&bytes);
    job.approval = Some(Consent {
        bytes: Value {
            digest,
            size: u32::try_from(bytes.len()).expect("small"),
            labels: Labels::default(),
            inline: Some(bytes.into()),
        },
        digest,
        item: 0,
        step: job.name.clone(),
        terms: Terms {
            asking: 1,
            by: vec![Role::Engineer],
            quorum: 1,
            not_requester: true,
            expires_at: Timestamp::from_millis(NOW + 1_800_000),
        },
    });
}
