//! What a run is at a moment: the fold of its events.
//!
//! [`State`] is generic over where its steps stand, so that a decision can be made on a [`Draft`](super::draft) that
//! copies only the steps it touches: a run of 10,000 steps costs what is decided, not what exists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::digest::Digest;
use crate::duration::Duration;
use crate::event::{
    ApprovalRequested, ApprovalState, Call, Decision, Failure, Origin, PinnedAction, QuestionAsked,
    RunCreated, RunStatus, Section, SkipReason, StepStatus,
};
use crate::id::{Attempt, Nonce, RunKey, StepNo};
use crate::principal::Principal;
use crate::time::Timestamp;
use crate::value::Value;

/// Where the steps of a state stand.
pub trait Steps {
    /// The step of that number.
    fn get(&self, step: StepNo) -> Option<&Step>;
    /// The same, to be changed.
    fn get_mut(&mut self, step: StepNo) -> Option<&mut Step>;
    /// Adds the next one.
    fn push(&mut self, step: Step);
    /// How many there are.
    fn count(&self) -> usize;
}

impl Steps for Vec<Step> {
    fn get(&self, step: StepNo) -> Option<&Step> {
        self.as_slice().get(step.index())
    }

    fn get_mut(&mut self, step: StepNo) -> Option<&mut Step> {
        self.as_mut_slice().get_mut(step.index())
    }

    fn push(&mut self, step: Step) {
        Vec::push(self, step);
    }

    fn count(&self) -> usize {
        self.len()
    }
}

/// A run's state: its head and its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct State<S> {
    /// All but the steps.
    pub head: Head,
    /// The steps.
    pub steps: S,
}

/// What is known of a run besides its steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Whose run, which run.
    pub key: RunKey,
    /// What it is.
    pub created: Arc<RunCreated>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its owner took it up.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The section that is worked on.
    pub section: Section,
    /// Why the run does not end as it was meant to; the first reason stays.
    pub stop: Option<Stop>,
    /// Whether somebody cancelled it, whatever stopped it first.
    pub cancelled: bool,
    /// Whether its time is over, whatever stopped it first.
    pub timed_out: bool,
    /// Whether no further step of the present section starts.
    pub halted: bool,
    /// The workflow's `vars`.
    pub vars: Arc<BTreeMap<String, Value>>,
    /// Steps by name, without items.
    pub names: Arc<BTreeMap<String, StepNo>>,
    /// Steps whose needs have ended and that nobody has looked at yet.
    pub ready: BTreeSet<StepNo>,
    /// Steps that were begun and have not ended.
    pub open: BTreeSet<StepNo>,
    /// What agents have asked people and nobody has answered, by step and number.
    pub questions: BTreeSet<(StepNo, u32)>,
    /// How many steps of the present section have not ended.
    pub left: u32,
    /// Whether something was begun: an attempt's outcome, a wait, an approval.
    pub touched: bool,
    /// Whether a MODIFY or ADMIN call was granted.
    pub changed: bool,
    /// Why it cannot go on by itself.
    pub parked: Option<Failure>,
    /// How often its journal was restored from a backup.
    pub restores: u32,
    /// When that was the last time.
    pub restored_at: Option<Timestamp>,
    /// How it ended.
    pub end: Option<End>,
    /// Steps by outcome, items included.
    pub counts: Counts,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Its final status.
    pub status: RunStatus,
    /// What it answers.
    pub outputs: BTreeMap<String, Value>,
    /// Why, when it did not succeed.
    pub failure: Option<Failure>,
}

/// Why no further step starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    /// How the run will end.
    pub status: RunStatus,
    /// Why.
    pub failure: Failure,
}

/// How many steps ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that were added.
    pub total: u32,
    /// Done.
    pub succeeded: u32,
    /// Failed, timed out, rejected, cancelled or in doubt.
    pub failed: u32,
    /// Not run.
    pub skipped: u32,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its number.
    pub no: StepNo,
    /// What people call it.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Its status.
    pub status: StepStatus,
    /// What it is at.
    pub at: At,
    /// How many of its needs have not ended.
    pub unmet: u32,
    /// Steps that wait for it.
    pub dependents: Vec<StepNo>,
    /// The call, once it is prepared.
    pub call: Option<Arc<Call>>,
    /// The consent that it needs, once asked for.
    pub approval: Option<Box<Consent>>,
    /// What its agent has asked people.
    pub questions: Vec<Question>,
    /// Its items, once it is opened.
    pub fan_out: Option<Box<FanOut>>,
    /// Its tries.
    pub attempts: Vec<Try>,
    /// Calls that failed: those that count for `retry`.
    pub failed_tries: u32,
    /// Attempts that were lost after they were begun, in a row.
    pub lost: u32,
    /// Look-ups that could not tell, in a row.
    pub vague_lookups: u32,
    /// When the last call of unknown outcome was over at the latest, while that is not settled.
    pub unknown_since: Option<Timestamp>,
    /// How far off that was when it was recorded.
    pub unknown_wait: Duration,
    /// The first of the calls that `unknown_since` is about.
    pub unknown_from: Option<Attempt>,
    /// After so many restores somebody looked what became of it. Fewer than there were: it may have been done since.
    pub sure_after: u32,
    /// What it answered.
    pub output: Option<Value>,
    /// Why it did not succeed.
    pub failure: Option<Failure>,
    /// Why it did not run.
    pub skipped: Option<SkipReason>,
    /// When it was first worked on.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// What a step is at.
#[derive(Clone, Debug, PartialEq)]
pub enum At {
    /// Nothing: it has not begun, or has ended.
    Nothing,
    /// A time.
    Wait {
        /// Which.
        until: Timestamp,
    },
    /// Its parameters are fixed, and the next thing is to hand it out.
    Prepared,
    /// People.
    Approval,
    /// The time of its next try.
    Retry {
        /// Which.
        at: Timestamp,
    },
    /// An attempt is queued or in a worker's hands.
    Dispatched {
        /// Which.
        attempt: Attempt,
        /// Whether it looks up an earlier call.
        look_up: bool,
    },
    /// A MODIFY or ADMIN call may be made now.
    Granted {
        /// Which attempt.
        attempt: Attempt,
        /// The nonce that the grant is bound to.
        nonce: Nonce,
        /// Not after this.
        start_by: Timestamp,
        /// When it was granted.
        at: Timestamp,
    },
    /// A call's outcome is unknown, and the time to settle it.
    Settlement {
        /// Which.
        at: Timestamp,
    },
    /// A person, to say whether the change was made.
    Doubt,
    /// Its items.
    Items,
}

impl At {
    /// The attempt that is under way, and whether it looks up an earlier call.
    #[must_use]
    pub fn attempt(&self) -> Option<(Attempt, bool)> {
        match self {
            Self::Dispatched { attempt, look_up } => Some((*attempt, *look_up)),
            Self::Granted { attempt, .. } => Some((*attempt, false)),
            Self::Nothing
            | Self::Wait { .. }
            | Self::Prepared
            | Self::Approval
            | Self::Retry { .. }
            | Self::Settlement { .. }
            | Self::Doubt
            | Self::Items => None,
        }
    }
}

/// The consent that a step needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Consent {
    /// What was asked.
    pub asked: ApprovalRequested,
    /// When.
    pub at: Timestamp,
    /// What has become of it.
    pub state: ApprovalState,
    /// Who decided what, and when.
    pub decisions: Vec<(Decision, Timestamp)>,
    /// How many calls were granted on it.
    pub granted: u32,
}

impl Consent {
    /// The digest that people agreed to: of the decisions, not of what is stored.
    #[must_use]
    pub fn approved_digest(&self) -> Option<Digest> {
        self.decisions
            .iter()
            .find(|(d, _)| d.approve)
            .map(|(d, _)| d.digest)
    }

    /// Who has agreed.
    pub fn approvers(&self) -> impl Iterator<Item = &Principal> {
        self.decisions
            .iter()
            .filter(|(d, _)| d.approve)
            .map(|(d, _)| &d.who)
    }
}

/// What an agent asked people.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What was asked.
    pub asked: QuestionAsked,
    /// When.
    pub at: Timestamp,
    /// What has become of it.
    pub state: ApprovalState,
    /// Who decided, and when.
    pub decision: Option<(Decision, Timestamp)>,
    /// Why it is closed, where nobody decided.
    pub reason: Option<String>,
}

/// A fan-out at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct FanOut {
    /// The list.
    pub items: Value,
    /// Each item's key.
    pub keys: Arc<[String]>,
    /// How many may fail.
    pub max_failed: u32,
    /// The step of each item that was added, in the order of the list.
    pub steps: Vec<StepNo>,
    /// How many items have not ended.
    pub running: u32,
    /// How many items failed.
    pub failed: u32,
}

/// One try of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Try {
    /// Its number.
    pub attempt: Attempt,
    /// When it was dispatched.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who was granted it.
    pub worker: Option<String>,
    /// The nonce of its grant.
    pub nonce: Option<Nonce>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// Whether it was lost with its worker.
    pub lost: bool,
}

impl<S: Steps> State<S> {
    /// The action of a prepared step.
    #[must_use]
    pub fn action(&self, step: &Step) -> Option<&PinnedAction> {
        let call = step.call.as_ref()?;
        self.head.created.actions.get(call.action as usize)
    }

    /// The step of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Step> {
        self.head.names.get(name).and_then(|no| self.steps.get(*no))
    }

    /// The consent that covers a step: its own, or that of its fan-out.
    #[must_use]
    pub fn consent(&self, step: &Step) -> Option<(StepNo, &Consent)> {
        let holder = step.item().map_or(step.no, |(of, _)| of);
        let consent = self.steps.get(holder)?.approval.as_deref()?;
        Some((holder, consent))
    }

    /// The run's status now.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        let head = &self.head;
        if let Some(end) = &head.end {
            return end.status;
        }
        if head.parked.is_some() {
            return RunStatus::Parked;
        }
        if head.started_at.is_none() {
            return RunStatus::Queued;
        }
        let waits = |no: &StepNo| self.steps.get(*no).is_none_or(|s| self.waits(s));
        if head.ready.is_empty() && !head.open.is_empty() && head.open.iter().all(waits) {
            return RunStatus::Waiting;
        }
        RunStatus::Running
    }

    fn waits(&self, step: &Step) -> bool {
        match step.at {
            At::Wait { .. } | At::Approval | At::Doubt => true,
            // Its agent goes on once it is answered.
            At::Dispatched { .. } | At::Granted { .. } => step.asks_people(),
            // A fan-out is what its items are; they are open themselves.
            At::Items => step.fan_out.as_ref().is_some_and(|f| f.running > 0),
            At::Nothing | At::Prepared | At::Retry { .. } | At::Settlement { .. } => false,
        }
    }
}
