//! A run as the API shows it.

use std::collections::BTreeMap;

use engine::code::Code;
use engine::definition::Workflow;
use engine::event::{ApprovalState, RunStatus, Trigger, TriggerKind};
use engine::id::{ApprovalId, RunId, Tenant};
use engine::principal::{Permission, Principal};
use engine::run::{At, Question, Run, State, Step};
use engine::time::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;
use store::port::RunRow;
use utoipa::ToSchema;

use crate::show::step::{Around, ShownStep, action, approval_id, permission};
use crate::show::{ShownFailure, value, values};

/// So many steps are shown with their run; the pages of steps have the rest.
const STEPS_MAX: usize = 200;

/// A run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Run)]
pub(crate) struct ShownRun {
    /// Its id.
    #[schema(value_type = String)]
    id: RunId,
    /// The number of its last record.
    version: u64,
    /// Whose it is.
    #[schema(value_type = String)]
    tenant: Tenant,
    /// Its workflow; null for an ad-hoc call of one action.
    workflow: Option<String>,
    /// The workflow's revision.
    revision: Option<u64>,
    /// queued, running, waiting, succeeded, failed, rejected, cancelled, timed_out or parked.
    #[schema(value_type = String)]
    pub(crate) status: RunStatus,
    /// The code of its failure, or what it waits for.
    reason: Option<String>,
    /// Its inputs; large values by reference. Empty where its journal is damaged, and so its outputs.
    inputs: BTreeMap<String, Json>,
    /// What it answers; large values by reference.
    outputs: BTreeMap<String, Json>,
    /// Why it did not succeed.
    error: Option<ShownFailure>,
    /// Its labels.
    labels: BTreeMap<String, String>,
    /// Who asked for it.
    #[schema(value_type = String)]
    requester: Principal,
    /// What started it.
    trigger: ShownTrigger,
    /// The run that started it; always null in this version.
    parent: Option<String>,
    /// Its environment; always null in this version.
    environment: Option<String>,
    /// READ, MODIFY or ADMIN: the ceiling of its steps; null where its journal is damaged.
    #[schema(value_type = Option<String>)]
    permission: Option<Permission>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was taken up.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// The trace that it belongs to (W3C).
    trace_id: Option<String>,
    /// Its steps by outcome, items included; null where its journal is damaged.
    counts: Option<Counts>,
    /// Why it does not go on by itself now.
    pub(crate) waiting_for: Vec<Waiting>,
    /// The calls that changed something, or may have.
    changes: Vec<Change>,
    /// Its first 200 steps, without items.
    steps: Vec<ShownStep>,
}

/// What started a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Trigger)]
struct ShownTrigger {
    /// api, cli, hook, schedule or run; null where the run's journal is damaged, and it was no hook.
    #[schema(value_type = Option<String>)]
    kind: Option<TriggerKind>,
    /// The hook.
    hook: Option<String>,
    /// The delivery.
    delivery: Option<String>,
    /// The delivery that this one repeats.
    redelivery_of: Option<String>,
    /// The alert's fingerprint.
    fingerprint: Option<String>,
    /// The event; a large one by reference.
    #[schema(value_type = Json)]
    event: Option<Json>,
}

/// Steps by outcome.
#[derive(Debug, Serialize, ToSchema)]
struct Counts {
    /// All that have come into being.
    total: u32,
    /// Done.
    succeeded: u32,
    /// Failed in whichever way.
    failed: u32,
    /// Not run.
    skipped: u32,
}

/// Something that a run waits for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Waiting {
    /// approval, timer, in_doubt or plugin.
    pub(crate) kind: &'static str,
    /// The step that waits.
    step: String,
    /// The approval's id, or the action that no agent offers.
    id: Option<String>,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Until when.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// A call that changed something, or may have.
#[derive(Debug, Serialize, ToSchema)]
struct Change {
    /// The step.
    step: String,
    /// The item's key, in a fan-out.
    item: Option<String>,
    /// `agent/action`.
    action: String,
    /// MODIFY or ADMIN.
    #[schema(value_type = String)]
    permission: Permission,
    /// The step's status.
    outcome: &'static str,
}

/// Whether some agent offers an action as a run pinned it.
pub(crate) type Offered<'a> = dyn Fn(&engine::event::PinnedAction) -> bool + Sync + 'a;

impl ShownRun {
    /// A run with its definition. `blobs` is where its large values can be read.
    pub(crate) fn of(run: &Run, workflow: &Workflow, blobs: &str, offered: &Offered<'_>) -> Self {
        let state = run.state();
        let head = &state.head;
        let created = &head.created;
        let around = Around {
            state,
            workflow,
            blobs,
        };
        let waiting_for = waiting_for(state, offered);
        let end = head.end.as_ref();
        let stopped = head.stop.as_ref().map(|stop| &stop.failure);
        let failure = end.and_then(|end| end.failure.as_ref());
        let failure = failure.or(head.parked.as_ref()).or(stopped);
        let reason = failure.map(|f| f.code.clone());
        let top = state.steps.iter().filter(|step| step.item().is_none());
        Self {
            id: head.key.run,
            version: run.n(),
            tenant: head.key.tenant.clone(),
            workflow: created.workflow.as_ref().map(|w| w.name.clone()),
            revision: created.workflow.as_ref().map(|w| w.revision),
            status: run.status(),
            reason: reason.or_else(|| waiting_for.first().map(|w| w.kind.to_owned())),
            inputs: values(&created.inputs, blobs),
            outputs: end
                .map(|end| values(&end.outputs, blobs))
                .unwrap_or_default(),
            error: failure.map(ShownFailure::of),
            labels: created.labels.clone(),
            requester: created.requester.clone(),
            trigger: ShownTrigger::of(&created.trigger, blobs),
            parent: None,
            environment: None,
            permission: Some(created.permission),
            created_at: head.created_at,
            started_at: head.started_at,
            ended_at: head.ended_at,
            trace_id: created.traceparent.as_deref().and_then(trace_id),
            counts: Some(Counts {
                total: head.counts.total,
                succeeded: head.counts.succeeded,
                failed: head.counts.failed,
                skipped: head.counts.skipped,
            }),
            waiting_for,
            changes: changes(around),
            steps: top
                .take(STEPS_MAX)
                .map(|step| ShownStep::of(step, around))
                .collect(),
        }
    }

    /// What the lists know of a run whose journal is damaged.
    pub(crate) fn damaged(row: RunRow, tenant: &Tenant, what: &str) -> Self {
        Self {
            id: row.id,
            version: row.version,
            tenant: tenant.clone(),
            workflow: row.workflow,
            revision: row.revision,
            status: RunStatus::Parked,
            reason: Some(Code::RecordDamaged.to_string()),
            inputs: BTreeMap::new(),
            outputs: BTreeMap::new(),
            error: Some(ShownFailure::damaged(what)),
            labels: row.labels,
            requester: row.requester,
            trigger: ShownTrigger::known(row.hook, row.fingerprint),
            parent: None,
            environment: None,
            permission: None,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            trace_id: None,
            counts: None,
            waiting_for: Vec::new(),
            changes: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Whether a person must do something before it goes on.
    pub(crate) fn needs_a_person(&self) -> bool {
        let asks = |w: &Waiting| matches!(w.kind, "approval" | "in_doubt");
        self.status == RunStatus::Parked || self.waiting_for.iter().any(asks)
    }
}

impl ShownTrigger {
    fn of(trigger: &Trigger, blobs: &str) -> Self {
        Self {
            kind: Some(trigger.kind),
            hook: trigger.hook.clone(),
            delivery: trigger.delivery.clone(),
            redelivery_of: trigger.redelivery_of.clone(),
            fingerprint: trigger.fingerprint.clone(),
            event: trigger.event.as_ref().map(|event| value(event, blobs)),
        }
    }

    /// What the lists know of it.
    fn known(hook: Option<String>, fingerprint: Option<String>) -> Self {
        Self {
            kind: hook.as_ref().map(|_| TriggerKind::Hook),
            hook,
            delivery: None,
            redelivery_of: None,
            fingerprint,
            event: None,
        }
    }
}

/// The trace of `00-<trace>-<span>-<flags>`.
fn trace_id(traceparent: &str) -> Option<String> {
    traceparent.split('-').nth(1).map(str::to_owned)
}

fn waiting_for(state: &State<Vec<Step>>, offered: &Offered<'_>) -> Vec<Waiting> {
    let open = state.head.open.iter();
    let open = open.filter_map(|no| state.steps.get(no.index()));
    open.filter_map(|step| waiting(step, state, offered))
        .collect()
}

fn waiting(step: &Step, state: &State<Vec<Step>>, offered: &Offered<'_>) -> Option<Waiting> {
    let run = state.head.key.run;
    let of = |kind, id, since, until| {
        Some(Waiting {
            kind,
            step: step.name.clone(),
            id,
            since,
            until,
        })
    };
    match &step.at {
        At::Wait { until } => of("timer", None, step.started_at, Some(*until)),
        At::Retry { at } | At::Settlement { at } => of("timer", None, step.started_at, Some(*at)),
        At::Approval => {
            let consent = step.approval.as_ref()?;
            let until = Some(consent.asked.expires_at);
            of("approval", approval_id(run, step), Some(consent.at), until)
        }
        At::Doubt => of("in_doubt", None, step.unknown_since, None),
        At::Dispatched { .. } | At::Granted { .. } if step.asks_people() => {
            let asks = |q: &&Question| q.state == ApprovalState::Pending;
            let asked = step.questions.iter().find(asks)?;
            let (step, asking) = (step.no, asked.asked.asking);
            let id = ApprovalId { run, step, asking };
            let until = Some(asked.asked.expires_at);
            of("approval", Some(id.to_string()), Some(asked.at), until)
        }
        At::Dispatched { .. } => {
            let action = state.action(step)?;
            if offered(action) {
                return None;
            }
            let since = step.attempts.last().map(|t| t.started_at);
            of("plugin", Some(action.name.to_string()), since, None)
        }
        At::Nothing | At::Prepared | At::Granted { .. } | At::Items => None,
    }
}

/// Steps whose MODIFY or ADMIN call was granted.
fn changes(around: Around<'_>) -> Vec<Change> {
    let granted = around.state.steps.iter().filter(|step| {
        let changes = permission(step, around).is_some_and(|p| p > Permission::Read);
        changes && step.attempts.iter().any(|attempt| attempt.worker.is_some())
    });
    granted
        .filter_map(|step| {
            Some(Change {
                step: holder(step, around.state).to_owned(),
                item: item_key(step, around.state),
                action: action(step, around)?,
                permission: permission(step, around)?,
                outcome: step.status.as_str(),
            })
        })
        .collect()
}

/// The name of the step that was written: of an item, that of its fan-out.
fn holder<'a>(step: &'a Step, state: &'a State<Vec<Step>>) -> &'a str {
    let parent = step.item().and_then(|(of, _)| state.steps.get(of.index()));
    parent.map_or(&step.name, |parent| &parent.name)
}

/// The key of an item.
pub(crate) fn item_key(step: &Step, state: &State<Vec<Step>>) -> Option<String> {
    let (of, index) = step.item()?;
    let fan_out = state.steps.get(of.index())?.fan_out.as_ref()?;
    fan_out.keys.get(index as usize).cloned()
}
