//! Everything that an approval binds: another value for each, and where else in the journal it stands.

use std::sync::Arc;

use engine::approval::Approval;
use engine::digest::Digest;
use engine::event::{ApprovalRequested, Call, Event, PinnedAction, RunCreated};
use engine::id::{RunId, Shard};
use engine::principal::{Permission, Principal};
use engine::time::Timestamp;
use engine::value::{INLINE_BYTES_MAX, Labels, Value};
use serde_json::{Value as Json, json};

/// What an attacker has put into the registry.
pub(super) struct Forged {
    /// An action that differs from the pinned one.
    pub(super) manifest: Digest,
    /// A workflow that differs from the pinned one.
    pub(super) definition: Digest,
}

/// Changes an event when the field stands there.
type Stands = fn(&mut Event, &Forged);

/// A field that an approval binds.
pub(super) struct Bound {
    /// Its name in the bytes.
    pub(super) field: &'static str,
    /// What the worker calls it when it differs.
    pub(super) named: &'static str,
    /// Another value.
    other: fn() -> Json,
    /// Where the call is taken from, outside the bytes; `None`: nowhere in the run's journal.
    pub(super) stands: Option<Stands>,
}

impl Bound {
    /// The approval with another value of the field.
    pub(super) fn changed(&self, approval: &Approval) -> Approval {
        let mut json = serde_json::to_value(approval).expect("its keys are strings");
        let slot = match self.field.strip_prefix("calls.") {
            Some(field) => &mut json["calls"][0][field],
            None => &mut json[self.field],
        };
        *slot = (self.other)();
        let changed = serde_json::from_value(json).expect("of the right type");
        assert_ne!(*approval, changed, "{}", self.field);
        changed
    }
}

const fn bound(field: &'static str, other: fn() -> Json, stands: Option<Stands>) -> Bound {
    called(field, field, other, stands)
}

const fn called(
    field: &'static str,
    named: &'static str,
    other: fn() -> Json,
    stands: Option<Stands>,
) -> Bound {
    Bound {
        field,
        named,
        other,
        stands,
    }
}

pub(super) const BOUND: &[Bound] = &[
    bound("type", || json!("mirastack.approval.v2"), None),
    bound("tenant", || json!("other"), None),
    bound("run", || json!(RunId::new(past(), Shard(0), 7)), None),
    bound("step", || json!("other"), Some(step)),
    bound(
        "asking",
        || json!(2),
        Some(|e, _| on_asked(e, |a| a.asking = 2)),
    ),
    bound(
        "action",
        || json!("alertmanager/expire_silence"),
        Some(|e, _| on_call(e, |c| c.action = 1 - c.action)),
    ),
    bound(
        "permission",
        || json!("READ"),
        Some(|e, _| on_action(e, |a| a.permission = Permission::Read)),
    ),
    bound(
        "manifest",
        || json!(Digest::ZERO),
        Some(|e, f| on_action(e, |a| a.digest = f.manifest)),
    ),
    called(
        "timeout_ms",
        "timeout",
        || json!(31_000),
        Some(|e, _| on_call(e, |c| c.timeout_ms = 31_000)),
    ),
    // Outside the bytes it stands in the registry, for all runs: a test of its own.
    bound("settings", || json!(99), None),
    bound("environment", || json!("production"), None),
    bound("compensate", || json!("alertmanager/expire_silence"), None),
    bound(
        "workflow",
        || json!({ "name": "silence", "revision": 9 }),
        Some(|e, _| on_created(e, revision)),
    ),
    bound(
        "definition",
        || json!(Digest::ZERO),
        Some(|e, f| on_created(e, |c| c.definition = f.definition)),
    ),
    bound(
        "requester",
        || json!("key:mallory"),
        Some(|e, _| on_created(e, |c| c.requester = mallory())),
    ),
    bound(
        "by",
        || json!([]),
        Some(|e, _| on_asked(e, |a| a.by.clear())),
    ),
    bound(
        "quorum",
        || json!(2),
        Some(|e, _| on_asked(e, |a| a.quorum = 2)),
    ),
    bound(
        "not_requester",
        || json!(true),
        Some(|e, _| on_asked(e, |a| a.not_requester = true)),
    ),
    bound(
        "expires_at",
        || json!(Timestamp::MAX),
        Some(|e, _| on_asked(e, |a| a.expires_at = Timestamp::MAX)),
    ),
    // Outside the bytes it is the name of an item, and this step has none.
    called("calls.key", "item", || json!("x"), None),
    called(
        "calls.params",
        "params",
        || json!(params().to_string()),
        Some(|e, _| on_call(e, |c| c.params = value())),
    ),
    called(
        "calls.secrets",
        "secrets",
        || json!([]),
        Some(|e, _| on_call(e, |c| c.secrets.clear())),
    ),
    called(
        "calls.sources",
        "sources",
        || json!({}),
        Some(|e, _| on_call(e, |c| c.sources.clear())),
    ),
    called(
        "calls.time_range",
        "time_range",
        || json!(null),
        Some(|e, _| on_call(e, |c| c.time_range = None)),
    ),
];

fn step(event: &mut Event, _: &Forged) {
    if let Event::StepAdded { name, .. } = event
        && name == "silence"
    {
        "other".clone_into(name);
    }
}

fn on_asked(event: &mut Event, change: impl Fn(&mut ApprovalRequested)) {
    if let Event::ApprovalRequested(asked) = event {
        change(asked);
    }
}

fn on_call(event: &mut Event, change: impl Fn(&mut Call)) {
    if let Event::StepPrepared { call, .. } = event {
        change(call);
    }
}

fn on_created(event: &mut Event, change: impl Fn(&mut RunCreated)) {
    if let Event::RunCreated(created) = event {
        change(Arc::make_mut(created));
    }
}

fn on_action(event: &mut Event, change: impl Fn(&mut PinnedAction)) {
    on_created(event, |created| {
        let silences = |action: &&mut PinnedAction| action.name.action == "create_silence";
        created
            .actions
            .iter_mut()
            .filter(silences)
            .for_each(&change);
    });
}

fn revision(created: &mut RunCreated) {
    if let Some(workflow) = &mut created.workflow {
        workflow.revision += 1;
    }
}

fn mallory() -> Principal {
    Principal::Key("mallory".to_owned())
}

fn past() -> Timestamp {
    Timestamp::from_millis(1)
}

/// Silences everything, for a year.
fn params() -> Json {
    let all = json!({ "name": "alertname", "value": ".*", "is_regex": true });
    json!({ "matchers": [all], "duration": "365d", "comment": "" })
}

fn value() -> Value {
    let made = Value::make(&params(), Labels::default(), INLINE_BYTES_MAX);
    made.expect("it is small").value
}
