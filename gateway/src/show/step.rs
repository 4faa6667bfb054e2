//! A step as the API shows it.

use engine::definition::{Step as Written, StepKind, Workflow};
use engine::event::{Origin, Section, SkipReason, StepStatus};
use engine::id::{ApprovalId, RunId};
use engine::principal::Permission;
use engine::run::{State, Step};
use engine::time::Timestamp;
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::show::{ShownFailure, value};

/// A step of a run.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Step)]
pub(crate) struct ShownStep {
    /// Its id; of an item `id[key]`.
    pub(crate) id: String,
    /// `steps`, `on_failure` or `finally`.
    #[schema(value_type = String)]
    section: Section,
    /// What it does: `uses`, `wait` or `assert`.
    kind: Option<&'static str>,
    /// `agent/action`.
    action: Option<String>,
    /// READ, MODIFY or ADMIN.
    #[schema(value_type = Option<String>)]
    permission: Option<Permission>,
    /// pending, running, waiting, succeeded, failed, skipped, rejected, cancelled, timed_out or in_doubt.
    #[schema(value_type = String)]
    status: StepStatus,
    /// Why it was skipped.
    #[schema(value_type = Option<String>)]
    skipped: Option<SkipReason>,
    /// What it waits for.
    needs: Vec<String>,
    /// Its tries.
    attempts: Vec<Attempt>,
    /// What it answered; a large value by reference.
    #[schema(value_type = Json)]
    output: Option<Json>,
    /// Why it did not succeed.
    error: Option<ShownFailure>,
    /// Of a fan-out: its items by outcome.
    counts: Option<ItemCounts>,
    /// The approval that it asked for.
    approval: Option<String>,
    /// When it was first worked on.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

/// One try of a step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Attempt {
    /// Its number, from 1.
    number: u32,
    /// Who was granted it.
    worker: Option<String>,
    /// When it was handed out.
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Whether it was lost with its worker.
    lost: bool,
    /// Why it failed.
    error: Option<ShownFailure>,
}

/// The items of a fan-out by outcome.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub(crate) struct ItemCounts {
    /// All.
    total: usize,
    /// Done.
    succeeded: usize,
    /// Failed in whichever way.
    failed: usize,
    /// Not run.
    skipped: usize,
}

/// What a step is shown with.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) state: &'a State<Vec<Step>>,
    pub(crate) workflow: &'a Workflow,
    /// Where large values can be read.
    pub(crate) blobs: &'a str,
}

impl ShownStep {
    pub(crate) fn of(step: &Step, around: Around<'_>) -> Self {
        let Around {
            state,
            workflow,
            blobs,
        } = around;
        let (section, written) = written(step, state, workflow);
        let action = action(step, around);
        Self {
            id: step.name.clone(),
            section,
            kind: written.map(kind),
            permission: permission(step, around),
            action,
            status: step.status,
            skipped: step.skipped,
            needs: written.map(|w| w.needs.clone()).unwrap_or_default(),
            attempts: step.attempts.iter().map(attempt).collect(),
            output: step.output.as_ref().map(|output| value(output, blobs)),
            error: step.failure.as_ref().map(ShownFailure::of),
            counts: counts(step, state),
            approval: approval_id(state.head.key.run, step),
            started_at: step.started_at,
            ended_at: step.ended_at,
        }
    }
}

/// The section and the text of a step; of an item, those of its fan-out.
fn written<'a>(
    step: &Step,
    state: &State<Vec<Step>>,
    workflow: &'a Workflow,
) -> (Section, Option<&'a Written>) {
    match step.origin {
        Origin::Written { section, index, .. } => {
            let steps = match section {
                Section::Steps => &workflow.steps,
                Section::OnFailure => &workflow.on_failure,
                Section::Finally => &workflow.finally,
            };
            (section, steps.get(index as usize))
        }
        Origin::Item { of, .. } => match state.steps.get(of.index()) {
            // A fan-out is always written: items have no items.
            Some(parent) if parent.item().is_none() => written(parent, state, workflow),
            Some(_) | None => (state.head.section, None),
        },
    }
}

fn kind(written: &Written) -> &'static str {
    match written.kind {
        StepKind::Uses { .. } => "uses",
        StepKind::Wait { .. } => "wait",
        StepKind::Assert { .. } => "assert",
    }
}

/// `agent/action` of a step, also of one that is not prepared yet.
pub(crate) fn action(step: &Step, around: Around<'_>) -> Option<String> {
    match &written(step, around.state, around.workflow).1?.kind {
        StepKind::Uses { action, .. } => Some(action.to_string()),
        StepKind::Wait { .. } | StepKind::Assert { .. } => None,
    }
}

/// What a step does to the world.
pub(crate) fn permission(step: &Step, around: Around<'_>) -> Option<Permission> {
    let name = action(step, around)?;
    let pinned = around.state.head.created.actions.iter();
    pinned
        .filter(|pinned| pinned.name.to_string() == name)
        .map(|pinned| pinned.permission)
        .next()
}

/// The id of the approval that a step asked for last.
pub(crate) fn approval_id(run: RunId, step: &Step) -> Option<String> {
    let consent = step.approval.as_ref()?;
    let id = ApprovalId {
        run,
        step: step.no,
        asking: consent.asked.asking,
    };
    Some(id.to_string())
}

fn attempt(attempt: &engine::run::Try) -> Attempt {
    Attempt {
        number: attempt.attempt.0,
        worker: attempt.worker.clone(),
        started_at: attempt.started_at,
        ended_at: attempt.ended_at,
        lost: attempt.lost,
        error: attempt.failure.as_ref().map(ShownFailure::of),
    }
}

fn counts(step: &Step, state: &State<Vec<Step>>) -> Option<ItemCounts> {
    let fan_out = step.fan_out.as_ref()?;
    let mut counts = ItemCounts {
        total: fan_out.keys.len(),
        ..ItemCounts::default()
    };
    let items = fan_out.steps.iter();
    for item in items.filter_map(|no| state.steps.get(no.index())) {
        match item.status {
            StepStatus::Succeeded => counts.succeeded += 1,
            StepStatus::Skipped => counts.skipped += 1,
            StepStatus::Failed
            | StepStatus::Rejected
            | StepStatus::Cancelled
            | StepStatus::TimedOut
            | StepStatus::InDoubt => counts.failed += 1,
            StepStatus::Pending | StepStatus::Running | StepStatus::Waiting => {}
        }
    }
    Some(counts)
}
