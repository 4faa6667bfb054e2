//! What was decided about a run. Past tense, never changed once released: a fix is a new event.
//!
//! Numbers in `#[n(…)]` are the wire form (CBOR, RFC 8949) and are never used twice.

use std::collections::BTreeMap;

use minicbor::{CborLen, Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::definition::{OnReject, OnTimeout};
use crate::digest::Digest;
use crate::id::{Attempt, Nonce, StepNo};
use crate::manifest::ActionName;
use crate::principal::{Permission, Principal, Role};
use crate::time::Timestamp;
use crate::value::{Labels, Value};

/// What was decided.
#[derive(Clone, Debug, PartialEq, Serialize, CborLen, Encode, Decode)]
#[serde(tag = "type")]
pub enum Event {
    /// The run exists. Always the first event.
    #[n(0)]
    RunCreated(#[n(0)] Box<RunCreated>),
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
}

/// What a run is, from its first record.
#[derive(Clone, Debug, PartialEq, Serialize, CborLen, Encode, Decode)]
pub struct RunCreated {
    /// The workflow; `None` for an ad-hoc call of one action.
    #[n(0)]
    pub workflow: Option<WorkflowRef>,
    /// Digest of the pinned definition.
    #[n(1)]
    pub definition: Digest,
    /// The pinned actions that its steps use.
    #[n(2)]
    pub actions: Vec<PinnedAction>,
    /// Its inputs.
    #[n(3)]
    pub inputs: BTreeMap<String, Value>,
    /// Its labels.
    #[n(4)]
    pub labels: BTreeMap<String, String>,
    /// Who asked.
    #[n(5)]
    pub requester: Principal,
    /// What started it.
    #[n(6)]
    pub trigger: Trigger,
    /// The ceiling of what its steps may do.
    #[n(7)]
    pub permission: Permission,
    /// Everything, waiting included: over after so many milliseconds.
    #[n(8)]
    pub timeout_ms: u64,
    /// Cancelled as stale unless started by then.
    #[n(9)]
    pub start_by: Option<Timestamp>,
    /// W3C trace context: `traceparent`.
    #[n(10)]
    pub traceparent: Option<String>,
    /// `inputs` and labels as they were asked for, digested: what an Idempotency-Key compares.
    #[n(11)]
    pub asked: Option<Digest>,
    /// The keys (idempotency, episode) that lead to this run; marked `gone` before it is removed.
    #[n(12)]
    pub keys: Vec<String>,
}

/// Which revision of which workflow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
pub struct WorkflowRef {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Counts up from 1.
    #[n(1)]
    pub revision: u64,
}

/// An action as a run pinned it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, CborLen, Encode, Decode)]
pub struct PinnedAction {
    /// Its name.
    #[n(0)]
    pub name: ActionName,
    /// Digest of [`crate::manifest::Pinned`].
    #[n(1)]
    pub digest: Digest,
    /// What it does to the world.
    #[n(2)]
    pub permission: Permission,
    /// Calling it again with the same idempotency key changes nothing more.
    #[n(3)]
    pub idempotent: bool,
    /// It can be asked what became of an earlier call.
    #[n(4)]
    pub lookup: bool,
    /// Its own default limit for one attempt, in milliseconds.
    #[n(5)]
    pub timeout_ms: Option<u64>,
    /// How long after a call a look-up's "not done" is believed, in milliseconds.
    #[n(6)]
    pub settle_ms: Option<u64>,
}

/// What started a run.
#[derive(Clone, Debug, PartialEq, Serialize, CborLen, Encode, Decode)]
pub struct Trigger {
    /// Through which door.
    #[n(0)]
    pub kind: TriggerKind,
    /// The hook.
    #[n(1)]
    pub hook: Option<String>,
    /// The delivery's id.
    #[n(2)]
    pub delivery: Option<String>,
    /// The delivery that this one repeats.
    #[n(3)]
    pub redelivery_of: Option<String>,
    /// The alert's fingerprint.
    #[n(4)]
    pub fingerprint: Option<String>,
    /// The event.
    #[n(5)]
    pub event: Option<Value>,
}

/// Through which door a run came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum TriggerKind {
    /// The HTTP API.
    #[n(0)]
    Api,
    /// `miractl`.
    #[n(1)]
    Cli,
    /// A hook.
    #[n(2)]
    Hook,
    /// A schedule.
    #[n(3)]
    Schedule,
    /// Another run.
    #[n(4)]
    Run,
}

/// A section of a workflow.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Section {
    /// `steps`
    #[n(0)]
    Steps,
    /// `on_failure`
    #[n(1)]
    OnFailure,
    /// `finally`
    #[n(2)]
    Finally,
}

/// Where a step comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, CborLen, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It is written in the workflow.
    #[n(0)]
    Written {
        /// Where.
        #[n(0)]
        section: Section,
        /// Its place there, from 0.
        #[n(1)]
        index: u32,
        /// The steps that it waits for, by number.
        #[n(2)]
        needs: Vec<StepNo>,
    },
    /// It is one item of a fan-out.
    #[n(1)]
    Item {
        /// The step that fans out.
        #[n(0)]
        of: StepNo,
        /// Its place in the list, from 0.
        #[n(1)]
        index: u32,
    },
}

/// Why a step will not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum SkipReason {
    /// Its own `if` is false.
    #[n(0)]
    Condition,
    /// A step that it needs did not succeed.
    #[n(1)]
    Need,
    /// The run takes its failure path, or is cancelled.
    #[n(2)]
    Stopped,
    /// Its approval was refused with `on_reject: skip`.
    #[n(3)]
    Rejected,
}

/// A call as it will be made: fixed for all attempts of a step.
#[derive(Clone, Debug, PartialEq, Serialize, CborLen, Encode, Decode)]
pub struct Call {
    /// Place of the action in [`RunCreated::actions`].
    #[n(0)]
    pub action: u32,
    /// The parameters; where a secret stands, its place holds an empty string.
    #[n(1)]
    pub params: Value,
    /// The secrets that are filled in at the plugin's door.
    #[n(2)]
    pub secrets: Vec<SecretPart>,
    /// What span of time it looks at.
    #[n(3)]
    pub time_range: Option<TimeSpan>,
    /// One attempt, in milliseconds.
    #[n(4)]
    pub timeout_ms: u64,
    /// Labels of each top-level parameter.
    #[n(5)]
    pub sources: BTreeMap<String, Labels>,
}

/// A string of the parameters that a secret is part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
pub struct SecretPart {
    /// Where it stands in the parameters (RFC 6901).
    #[n(0)]
    pub pointer: String,
    /// What the string is put together from.
    #[n(1)]
    pub parts: Vec<Part>,
}

/// A piece of a string with secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text as it stands.
    #[n(0)]
    Text(#[n(0)] String),
    /// A secret's name and version.
    #[n(1)]
    Secret {
        /// Its name.
        #[n(0)]
        name: String,
        /// Its version.
        #[n(1)]
        version: u64,
    },
}

/// From a time to a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
pub struct TimeSpan {
    /// The earlier end.
    #[n(0)]
    pub start: Timestamp,
    /// The later end.
    #[n(1)]
    pub end: Timestamp,
}

/// People are asked for their consent to one step.
#[derive(Clone, Debug, PartialEq, Serialize, CborLen, Encode, Decode)]
pub struct ApprovalRequested {
    /// Which step.
    #[n(0)]
    pub step: StepNo,
    /// 1 for the first asking of that step.
    #[n(1)]
    pub asking: u32,
    /// The canonical bytes that are consented to (RFC 8785); their digest is what people see.
    #[n(2)]
    pub bytes: Value,
    /// What the step does to the world.
    #[n(3)]
    pub permission: Permission,
    /// Roles that may decide; empty: everybody with the right.
    #[n(4)]
    pub by: Vec<Role>,
    /// How many different principals must agree.
    #[n(5)]
    pub quorum: u32,
    /// Whether the requester's own consent does not count.
    #[n(6)]
    pub not_requester: bool,
    /// Until when the question stands.
    #[n(7)]
    pub expires_at: Timestamp,
    /// What a refusal does.
    #[n(8)]
    pub on_reject: OnReject,
    /// What silence does.
    #[n(9)]
    pub on_timeout: OnTimeout,
}

/// One principal's decision about an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, CborLen, Encode, Decode)]
pub struct Decision {
    /// Who.
    #[n(0)]
    pub who: Principal,
    /// Whether they agree.
    #[n(1)]
    pub approve: bool,
    /// Why.
    #[n(2)]
    pub comment: Option<String>,
    /// The digest that they saw.
    #[n(3)]
    pub digest: Digest,
    /// The key of their signature.
    #[n(4)]
    pub key_id: Option<String>,
    /// Their signature over the bytes.
    #[n(5)]
    pub signature: Option<String>,
}

/// What has become of an approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum ApprovalState {
    /// Waits for people.
    #[n(0)]
    Pending,
    /// Enough agreed; its step may be granted.
    #[n(1)]
    Approved,
    /// Somebody refused.
    #[n(2)]
    Rejected,
    /// Nobody decided in time.
    #[n(3)]
    Expired,
    /// The question is not asked any more.
    #[n(4)]
    Withdrawn,
    /// Its step has an outcome.
    #[n(5)]
    Used,
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
pub struct Failure {
    /// A stable code: of [`crate::code::Code`], or an action's own.
    #[n(0)]
    pub code: String,
    /// What happened, where, and what to do.
    #[n(1)]
    pub message: String,
    /// Whether trying again may help.
    #[n(2)]
    pub retryable: bool,
    /// Whether it is known that no change was made.
    #[n(3)]
    pub not_made: bool,
    /// The step at whose door it happened.
    #[n(4)]
    pub step: Option<String>,
}

/// The status of a step.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum StepStatus {
    /// Its needs are not met.
    #[n(0)]
    Pending,
    /// It is being worked on.
    #[n(1)]
    Running,
    /// It waits for a time or a person.
    #[n(2)]
    Waiting,
    /// Done.
    #[n(3)]
    Succeeded,
    /// Failed.
    #[n(4)]
    Failed,
    /// Not run.
    #[n(5)]
    Skipped,
    /// People said no.
    #[n(6)]
    Rejected,
    /// Stopped.
    #[n(7)]
    Cancelled,
    /// Took too long.
    #[n(8)]
    TimedOut,
    /// It is not known whether the change was made.
    #[n(9)]
    InDoubt,
}

/// The status of a run.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum RunStatus {
    /// Accepted; no step has begun.
    #[n(0)]
    Queued,
    /// Something is being worked on.
    #[n(1)]
    Running,
    /// It waits for a time or a person.
    #[n(2)]
    Waiting,
    /// Done.
    #[n(3)]
    Succeeded,
    /// Failed.
    #[n(4)]
    Failed,
    /// People said no.
    #[n(5)]
    Rejected,
    /// Stopped.
    #[n(6)]
    Cancelled,
    /// Took too long.
    #[n(7)]
    TimedOut,
    /// Cannot go on by itself: resume or cancel.
    #[n(8)]
    Parked,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Succeeded,
        Self::Failed,
        Self::Rejected,
        Self::Cancelled,
        Self::TimedOut,
        Self::Parked,
    ];

    /// Whether nothing follows any more.
    #[must_use]
    pub fn is_end(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Waiting | Self::Parked => false,
            Self::Succeeded | Self::Failed | Self::Rejected | Self::Cancelled | Self::TimedOut => {
                true
            }
        }
    }

    /// As it is written in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Parked => "parked",
        }
    }
}

impl StepStatus {
    /// Whether nothing follows any more, unless the step is in doubt and open.
    #[must_use]
    pub fn is_end(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::Waiting => false,
            Self::Succeeded
            | Self::Failed
            | Self::Skipped
            | Self::Rejected
            | Self::Cancelled
            | Self::TimedOut
            | Self::InDoubt => true,
        }
    }

    /// As it is written in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::InDoubt => "in_doubt",
        }
    }
}
