//! What was decided about a run. Past tense, never changed once released: a fix is a new event.
//!
//! Numbers in `#[n(…)]` are the wire form (CBOR, RFC 8949) and are never used twice.

mod call;
mod consent;
mod created;
mod question;
mod status;
mod step;

use std::collections::BTreeMap;
use std::sync::Arc;

use minicbor::{CborLen, Decode, Encode};
use serde::Serialize;

use crate::id::Attempt;
use crate::id::Nonce;
use crate::id::StepNo;
use crate::principal::Principal;
use crate::time::Timestamp;
use crate::value::Value;

pub use call::{Call, Failure, Part, SecretPart, TimeSpan};
pub use consent::{ApprovalRequested, ApprovalState, Decision};
pub use created::{PinnedAction, RunCreated, Trigger, TriggerKind, WorkflowRef};
pub use question::QuestionAsked;
pub use status::{RunStatus, StepStatus};
pub use step::{Origin, Section, SkipReason};

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize, CborLen, Encode, Decode)]
#[serde(tag = "type")]
pub enum Event {
    /// The run exists. Always the first event.
    #[n(0)]
    RunCreated(#[cbor(n(0), with = "crate::shared")] Arc<RunCreated>),
    /// Its owner took it up; `vars` are computed.
    #[n(1)]
    RunStarted {
        /// The workflow's `vars`.
        #[n(0)]
        vars: BTreeMap<String, Value>,
    },
    /// A step came into being. The only way in which one does.
    #[n(2)]
    StepAdded {
        /// Its number: one more than the last.
        #[n(0)]
        step: StepNo,
        /// What people call it: the id, or `id[key]` for an item.
        #[n(1)]
        name: String,
        /// Where it comes from.
        #[n(2)]
        origin: Origin,
    },
    /// It will not run.
    #[n(3)]
    StepSkipped {
        /// Which.
        #[n(0)]
        step: StepNo,
        /// Why.
        #[n(1)]
        reason: SkipReason,
    },
    /// A `wait` began.
    #[n(4)]
    WaitStarted {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// When it ends.
        #[n(1)]
        until: Timestamp,
    },
    /// A `for_each` was opened: its list is fixed.
    #[n(5)]
    FanOutOpened {
        /// The step that fans out.
        #[n(0)]
        step: StepNo,
        /// The list.
        #[n(1)]
        items: Value,
        /// Each item's key, in the order of the list.
        #[n(2)]
        keys: Vec<String>,
        /// How many may fail.
        #[n(3)]
        max_failed: u32,
    },
    /// A call's parameters are fixed, for all of its attempts.
    #[n(6)]
    StepPrepared {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// The call.
        #[n(1)]
        call: Box<Call>,
    },
    /// People are asked. The bytes are made once, here.
    #[n(7)]
    ApprovalRequested(#[n(0)] Box<ApprovalRequested>),
    /// Somebody decided.
    #[n(8)]
    ApprovalDecided {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// The decision.
        #[n(1)]
        decision: Decision,
    },
    /// An approval left the state `pending` or `approved`.
    #[n(9)]
    ApprovalClosed {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// What became of it.
        #[n(1)]
        state: ApprovalState,
        /// Why, where it is not the decision itself.
        #[n(2)]
        reason: Option<String>,
        /// Which of the things that people were asked about the step; `None` in the first journals.
        #[n(3)]
        asking: Option<u32>,
    },
    /// An attempt is for a worker to take.
    #[n(10)]
    AttemptDispatched {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// The new attempt.
        #[n(1)]
        attempt: Attempt,
    },
    /// The intent: this attempt may make its call, and no other.
    #[n(11)]
    AttemptGranted {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Which attempt.
        #[n(1)]
        attempt: Attempt,
        /// The worker's nonce that the grant is bound to.
        #[n(2)]
        nonce: Nonce,
        /// After this the worker must not begin the call.
        #[n(3)]
        start_by: Timestamp,
        /// Which worker.
        #[n(4)]
        worker: String,
    },
    /// A granted attempt was given back before its call was made.
    #[n(12)]
    AttemptNotCalled {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Which attempt.
        #[n(1)]
        attempt: Attempt,
    },
    /// An attempt's worker is gone.
    #[n(13)]
    AttemptLost {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Which attempt.
        #[n(1)]
        attempt: Attempt,
        /// Whether it counts towards the five that fail the step.
        #[n(2)]
        counts: bool,
    },
    /// An attempt failed; what follows says whether the step did.
    #[n(14)]
    AttemptFailed {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Which attempt.
        #[n(1)]
        attempt: Attempt,
        /// Why.
        #[n(2)]
        failure: Failure,
    },
    /// The step is tried again, not before `at`.
    #[n(15)]
    RetryScheduled {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// When.
        #[n(1)]
        at: Timestamp,
    },
    /// A granted call's outcome is unknown and is settled from `at` on, by look-up, repetition or a person.
    #[n(16)]
    SettlementScheduled {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Not before.
        #[n(1)]
        at: Timestamp,
        /// A look-up found that it was not made, too early to be believed.
        #[n(2)]
        #[cbor(default)]
        early: bool,
    },
    /// A look-up by idempotency key is for a worker to take.
    #[n(17)]
    LookUpDispatched {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// The new attempt; it does not call the action.
        #[n(1)]
        attempt: Attempt,
    },
    /// A step waits for a person to say whether its change was made.
    #[n(18)]
    StepInDoubt {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Why it is not known.
        #[n(1)]
        reason: String,
    },
    /// A person settled a step that was in doubt.
    #[n(19)]
    StepResolved {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Whether the change was made.
        #[n(1)]
        done: bool,
        /// Who said so.
        #[n(2)]
        who: Principal,
        /// Why.
        #[n(3)]
        comment: String,
    },
    /// A step succeeded.
    #[n(20)]
    StepSucceeded {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Its output.
        #[n(1)]
        output: Option<Value>,
    },
    /// A step ended otherwise.
    #[n(21)]
    StepEnded {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// `failed`, `rejected`, `cancelled`, `timed_out` or `in_doubt`.
        #[n(1)]
        status: StepStatus,
        /// Why.
        #[n(2)]
        failure: Failure,
    },
    /// Somebody cancelled the run.
    #[n(22)]
    CancelRequested {
        /// Who.
        #[n(0)]
        who: Principal,
        /// Why.
        #[n(1)]
        reason: Option<String>,
        /// The code of the run's end: `cancelled`, `stale` or `alert_resolved`.
        #[n(2)]
        code: String,
    },
    /// The run's time is over.
    #[n(23)]
    RunTimedOut,
    /// No further step of the section starts: the run takes its failure path.
    #[n(28)]
    RunStopping {
        /// How the run will end.
        #[n(0)]
        status: RunStatus,
        /// Why.
        #[n(1)]
        failure: Failure,
    },
    /// Another section of the workflow is worked on.
    #[n(24)]
    SectionEntered {
        /// Which.
        #[n(0)]
        section: Section,
    },
    /// The run is over.
    #[n(25)]
    RunEnded {
        /// How.
        #[n(0)]
        status: RunStatus,
        /// What it answers.
        #[n(1)]
        outputs: BTreeMap<String, Value>,
        /// Why, when it did not succeed.
        #[n(2)]
        failure: Option<Failure>,
    },
    /// The run cannot go on by itself.
    #[n(26)]
    RunParked {
        /// Why.
        #[n(0)]
        failure: Failure,
    },
    /// Somebody let a parked run go on.
    #[n(27)]
    RunResumed {
        /// Who.
        #[n(0)]
        who: Principal,
    },
    /// The journal was restored from a backup: what the run did after it is not known. The run is parked.
    #[n(29)]
    RunRestored {
        /// Why it is parked.
        #[n(0)]
        failure: Failure,
    },
    /// An agent that executes a step asks people. Whatever they say, it grants nothing.
    #[n(30)]
    QuestionAsked(#[n(0)] Box<QuestionAsked>),
    /// A question has its answer, or is not asked any more.
    #[n(31)]
    QuestionClosed {
        /// Which step.
        #[n(0)]
        step: StepNo,
        /// Which of the things that people were asked about it.
        #[n(1)]
        asking: u32,
        /// `approved`, `rejected`, `expired` or `withdrawn`.
        #[n(2)]
        state: ApprovalState,
        /// The decision, where somebody decided.
        #[n(3)]
        decision: Option<Decision>,
        /// Why, where nobody did.
        #[n(4)]
        reason: Option<String>,
    },
}
