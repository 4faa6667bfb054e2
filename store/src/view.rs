//! What one record changes in the lists: a pure function of the record and its events, so that a view can be lost and
//! made again from the journals.

use std::collections::BTreeMap;

use engine::approval::Approval;
use engine::digest::Digest;
use engine::event::{
    ApprovalRequested, ApprovalState, Event, Failure, QuestionAsked, RunCreated, RunStatus,
    WorkflowRef,
};
use engine::id::{ApprovalId, StepNo};
use engine::principal::Principal;
use engine::question::Question;
use engine::record::Record;
use engine::time::Timestamp;
use engine::value::Value;

use crate::port::{ApprovalRow, RunRow};

/// What one record changes in the lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewChange {
    /// What changes in the row of its run.
    pub row: RowChange,
    /// What changes among its approvals, in order.
    pub approvals: Vec<ApprovalChange>,
}

/// What one record changes in the row of its run, or several in a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowChange {
    /// The number of the record.
    pub version: u64,
    /// The row of a run that was just created. Its other fields are what the rest says.
    pub created: Option<Box<Created>>,
    /// The run's status after the record.
    pub status: RunStatus,
    /// Why it is in this status.
    pub reason: Reason,
    /// When it was taken up, if that was now.
    pub started_at: Option<Timestamp>,
    /// When it ended, if that was now.
    pub ended_at: Option<Timestamp>,
}

/// A run that was just created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// Its row.
    pub row: RunRow,
    /// The delivery that made it.
    pub delivery: Option<String>,
    /// What is wrong with the event, when the run failed at once because of it.
    pub trouble: Option<String>,
}

/// What becomes of a run's `reason`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is none.
    None,
    /// It stays.
    Same,
    /// This one.
    Is(String),
    /// `approval` while one of the run's approvals is pending, else `timer`.
    Look,
}

/// What changes about an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovalChange {
    /// People are asked.
    Requested(Box<ApprovalRow>),
    /// Something that people were asked about this step is in another state.
    Closed {
        /// Which step.
        step: StepNo,
        /// Which of those; `None`: the newest.
        asking: Option<u32>,
        /// What became of it.
        state: ApprovalState,
    },
}

impl RowChange {
    /// Whether it changes anything in the row of a run whose status was `before`.
    #[must_use]
    pub fn is_seen(&self, before: RunStatus) -> bool {
        let same_reason = match &self.reason {
            Reason::Same => true,
            // Only waiting, parked and ended runs have one.
            Reason::None => self.status == before,
            Reason::Is(_) | Reason::Look => false,
        };
        let same_times = self.started_at.is_none() && self.ended_at.is_none();
        self.created.is_some() || self.status != before || !same_times || !same_reason
    }

    /// Adds what a later record of the same run changes.
    pub fn then(&mut self, later: Self) {
        self.version = later.version;
        self.status = later.status;
        if later.reason != Reason::Same {
            self.reason = later.reason;
        }
        self.started_at = later.started_at.or(self.started_at);
        self.ended_at = later.ended_at.or(self.ended_at);
        if let Some(created) = &mut self.created {
            let row = &mut created.row;
            (row.version, row.status) = (self.version, self.status);
            (row.started_at, row.ended_at) = (self.started_at, self.ended_at);
            row.reason = match &self.reason {
                Reason::Is(reason) => Some(reason.clone()),
                Reason::None | Reason::Same | Reason::Look => None,
            };
        }
    }
}

/// The consents whose bytes [`project`] needs and that are in `Blobs`.
pub fn needed(events: &[Event]) -> impl Iterator<Item = Digest> {
    let bytes = events.iter().filter_map(asked_bytes);
    let large = bytes.filter(|bytes| bytes.inline.is_none());
    large.map(|bytes| bytes.digest)
}

fn asked_bytes(event: &Event) -> Option<&Value> {
    if let Event::ApprovalRequested(asked) = event {
        return Some(&asked.bytes);
    }
    if let Event::QuestionAsked(asked) = event {
        return Some(&asked.bytes);
    }
    None
}

/// What `record` with its `events` changes; `blobs` has the bytes that [`needed`] asks for.
#[must_use]
pub fn project(record: &Record, events: &[Event], blobs: &BTreeMap<Digest, Vec<u8>>) -> ViewChange {
    let mut change = RowChange {
        version: record.n,
        created: None,
        status: record.summary.status,
        reason: Reason::None,
        started_at: None,
        ended_at: None,
    };
    let mut approvals = Vec::new();
    let mut waits = Waits::default();
    for event in events {
        waits.see(event);
        if let Event::RunCreated(created) = event {
            change.created = Some(Box::new(new_row(record, created)));
        } else if let Event::RunStarted { .. } = event {
            change.started_at = Some(record.at);
        } else if let Event::RunEnded { .. } = event {
            change.ended_at = Some(record.at);
        }
        approvals.extend(approval(record, event, blobs));
    }
    change.reason = waits.reason(change.status);
    finish(&mut change, waits.end);
    ViewChange {
        row: change,
        approvals,
    }
}

/// What an event changes among the approvals.
fn approval(
    record: &Record,
    event: &Event,
    blobs: &BTreeMap<Digest, Vec<u8>>,
) -> Option<ApprovalChange> {
    let requested = |row| Some(ApprovalChange::Requested(Box::new(row)));
    let closed = |step: StepNo, asking, state| {
        Some(ApprovalChange::Closed {
            step,
            asking,
            state,
        })
    };
    if let Event::ApprovalRequested(asked) = event {
        requested(approval_row(record, asked, blobs))
    } else if let Event::QuestionAsked(asked) = event {
        requested(question_row(record, asked, blobs))
    } else if let Event::ApprovalClosed {
        step,
        state,
        asking,
        ..
    } = event
    {
        closed(*step, *asking, *state)
    } else if let Event::QuestionClosed {
        step,
        state,
        asking,
        ..
    } = event
    {
        closed(*step, Some(*asking), *state)
    } else {
        None
    }
}

/// Puts into the row of a new run what the other events of its first record say.
fn finish(change: &mut RowChange, end: Option<&Failure>) {
    let Some(created) = &mut change.created else {
        return;
    };
    if let Reason::Is(reason) = &change.reason {
        created.row.reason = Some(reason.clone());
    }
    created.row.started_at = change.started_at;
    created.row.ended_at = change.ended_at;
    if created.delivery.is_some() {
        created.trouble = end.map(|failure| failure.message.clone());
    }
}

/// What the events say about why a run stands still.
#[derive(Default)]
struct Waits<'a> {
    in_doubt: bool,
    approval: bool,
    timer: bool,
    closed: bool,
    end: Option<&'a Failure>,
}

impl<'a> Waits<'a> {
    fn see(&mut self, event: &'a Event) {
        match event {
            Event::ApprovalRequested(_) | Event::QuestionAsked(_) => self.approval = true,
            Event::ApprovalClosed { .. }
            | Event::QuestionClosed { .. }
            | Event::StepResolved { .. } => self.closed = true,
            Event::StepInDoubt { .. } => self.in_doubt = true,
            Event::WaitStarted { .. }
            | Event::RetryScheduled { .. }
            | Event::SettlementScheduled { .. } => self.timer = true,
            Event::RunEnded { failure, .. } => self.end = failure.as_ref(),
            Event::RunParked { failure } | Event::RunRestored { failure } => {
                self.end = Some(failure);
            }
            Event::RunCreated(_)
            | Event::RunStarted { .. }
            | Event::StepAdded { .. }
            | Event::StepSkipped { .. }
            | Event::FanOutOpened { .. }
            | Event::StepPrepared { .. }
            | Event::ApprovalDecided { .. }
            | Event::AttemptDispatched { .. }
            | Event::AttemptGranted { .. }
            | Event::AttemptNotCalled { .. }
            | Event::AttemptLost { .. }
            | Event::AttemptFailed { .. }
            | Event::LookUpDispatched { .. }
            | Event::StepSucceeded { .. }
            | Event::StepEnded { .. }
            | Event::CancelRequested { .. }
            | Event::RunTimedOut
            | Event::RunStopping { .. }
            | Event::SectionEntered { .. }
            | Event::RunResumed { .. } => {}
        }
    }

    fn reason(&self, status: RunStatus) -> Reason {
        if status.is_end() || status == RunStatus::Parked {
            return match self.end {
                Some(failure) => Reason::Is(failure.code.clone()),
                None if status == RunStatus::Parked => Reason::Same,
                None => Reason::None,
            };
        }
        if status != RunStatus::Waiting {
            return Reason::None;
        }
        let hint = [
            (self.in_doubt, "in_doubt"),
            (self.approval, "approval"),
            (self.timer, "timer"),
        ];
        match hint.iter().find(|(seen, _)| *seen) {
            Some((_, reason)) => Reason::Is((*reason).to_owned()),
            None if self.closed => Reason::Look,
            None => Reason::Same,
        }
    }
}

fn new_row(record: &Record, created: &RunCreated) -> Created {
    let row = RunRow {
        id: record.key.run,
        version: record.n,
        workflow: created.workflow.as_ref().map(|w| w.name.clone()),
        revision: created.workflow.as_ref().map(|w| w.revision),
        status: record.summary.status,
        reason: None,
        labels: created.labels.clone(),
        requester: created.requester.clone(),
        hook: created.trigger.hook.clone(),
        fingerprint: created.trigger.fingerprint.clone(),
        created_at: record.at,
        started_at: None,
        ended_at: None,
    };
    Created {
        row,
        delivery: created.trigger.delivery.clone(),
        trouble: None,
    }
}

/// The row of an approval: terms from the event, the rest from the bytes that are consented to.
fn approval_row(
    record: &Record,
    asked: &ApprovalRequested,
    blobs: &BTreeMap<Digest, Vec<u8>>,
) -> ApprovalRow {
    let id = ApprovalId {
        run: record.key.run,
        step: asked.step,
        asking: asked.asking,
    };
    let approval = bytes_of(&asked.bytes, blobs).and_then(Approval::read);
    let (step, action, workflow, requester) = match approval {
        Some(a) => (a.step, a.action.to_string(), a.workflow, a.requester),
        None => unknown(asked.step),
    };
    ApprovalRow {
        id,
        step,
        workflow: workflow.map(|w| w.name),
        state: ApprovalState::Pending,
        action,
        permission: asked.permission,
        requester,
        by: asked.by.clone(),
        quorum: asked.quorum,
        not_requester: asked.not_requester,
        created_at: record.at,
        expires_at: asked.expires_at,
    }
}

/// The row of what an agent asks; one person's word is enough.
fn question_row(
    record: &Record,
    asked: &QuestionAsked,
    blobs: &BTreeMap<Digest, Vec<u8>>,
) -> ApprovalRow {
    let question = bytes_of(&asked.bytes, blobs).and_then(Question::read);
    let (step, action, workflow, requester) = match question {
        Some(q) => (q.step, q.action.to_string(), q.workflow, q.requester),
        None => unknown(asked.step),
    };
    ApprovalRow {
        id: ApprovalId {
            run: record.key.run,
            step: asked.step,
            asking: asked.asking,
        },
        step,
        workflow: workflow.map(|w| w.name),
        state: ApprovalState::Pending,
        action,
        permission: asked.permission,
        requester,
        by: Vec::new(),
        quorum: 1,
        not_requester: asked.not_requester,
        created_at: record.at,
        expires_at: asked.expires_at,
    }
}

/// The bytes are stored before the event that names them, so this is damage: show that people are asked.
fn unknown(step: StepNo) -> (String, String, Option<WorkflowRef>, Principal) {
    let nobody = Principal::Workflow("unknown".to_owned());
    (step.0.to_string(), "unknown".to_owned(), None, nobody)
}

fn bytes_of<'a>(value: &'a Value, blobs: &'a BTreeMap<Digest, Vec<u8>>) -> Option<&'a [u8]> {
    let inline = value.inline.as_ref().map(|bytes| bytes.as_slice());
    inline.or_else(|| blobs.get(&value.digest).map(Vec::as_slice))
}
