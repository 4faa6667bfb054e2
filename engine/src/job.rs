//! What is handed to a worker, and what the two say to each other.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::command::Outcome;
use crate::digest::Digest;
use crate::event::{ApprovalState, Call, PinnedAction};
use crate::id::{Attempt, Nonce, RunKey, StepNo};
use crate::pool::Pool;
use crate::principal::{Principal, Role};
use crate::question::Words;
use crate::time::Timestamp;
use crate::value::Value;

/// One attempt of one step, as a worker needs it. It carries no permission to act: MODIFY and ADMIN ask with `Begin`.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Job {
    /// Whose run, which run.
    #[n(0)]
    pub key: RunKey,
    /// Which step.
    #[n(1)]
    pub step: StepNo,
    /// What people call the step.
    #[n(2)]
    pub name: String,
    /// Which attempt: the fence.
    #[n(3)]
    pub attempt: Attempt,
    /// Call the action, or look up what became of an earlier call.
    #[n(4)]
    pub kind: JobKind,
    /// The action.
    #[n(5)]
    pub action: PinnedAction,
    /// The call.
    #[n(6)]
    pub call: Call,
    /// Who asked for the run.
    #[n(7)]
    pub requester: Principal,
    /// The approval's bytes, for MODIFY and ADMIN: the call is made from these and nothing else.
    #[n(8)]
    pub approval: Option<Consent>,
    /// Stable over the attempts of a step.
    #[n(9)]
    pub idempotency_key: String,
    /// W3C trace context.
    #[n(10)]
    pub traceparent: Option<String>,
    /// When it was dispatched.
    #[n(11)]
    pub dispatched_at: Timestamp,
    /// The run's workflow, for limits and metrics; `None` for an ad-hoc call.
    #[n(12)]
    pub workflow: Option<String>,
    /// Labels of the run.
    #[n(13)]
    pub labels: BTreeMap<String, String>,
    /// The number of the attempt among those that count for `retry`, from 1.
    #[n(14)]
    pub try_number: u32,
    /// The attempt whose checkpoint may be used: the last one, when it was lost and not failed.
    #[n(15)]
    pub resume: bool,
    /// Digest of the run's pinned definition.
    #[n(16)]
    pub definition: Digest,
    /// The workflow's revision.
    #[n(17)]
    pub revision: Option<u64>,
}

/// What an approval binds: its bytes, the digest that was approved, and which entry of it this job is.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Consent {
    /// The canonical bytes.
    #[n(0)]
    pub bytes: Value,
    /// The digest that people approved.
    #[n(1)]
    pub digest: Digest,
    /// The item's place in the bytes' list of calls.
    #[n(2)]
    pub item: u32,
    /// The name of the step that was asked for: of the fan-out, where the job is one of its items.
    #[n(3)]
    pub step: String,
    /// The terms as the run's journal has them; each must be what the bytes say.
    #[n(4)]
    pub terms: Terms,
}

/// Who may consent, how many, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Terms {
    /// 1 for the first asking of the step.
    #[n(0)]
    pub asking: u32,
    /// Roles that may decide; empty: everybody with the right.
    #[n(1)]
    pub by: Vec<Role>,
    /// How many different principals must agree.
    #[n(2)]
    pub quorum: u32,
    /// Whether the requester's own consent does not count.
    #[n(3)]
    pub not_requester: bool,
    /// Until when the question stands.
    #[n(4)]
    pub expires_at: Timestamp,
}

/// What a job asks of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum JobKind {
    /// Call the action.
    #[n(0)]
    Call,
    /// Ask what became of an earlier call.
    #[n(1)]
    LookUp,
}

/// Which attempt of which step of which run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct AttemptKey {
    /// Whose run, which run.
    #[n(0)]
    pub key: RunKey,
    /// Which step.
    #[n(1)]
    pub step: StepNo,
    /// Which attempt.
    #[n(2)]
    pub attempt: Attempt,
}

/// Tells a call from any other that may be given the same step and attempt.
#[must_use]
pub fn call_digest(action: &PinnedAction, call: &Call) -> Digest {
    let mut bytes = Vec::with_capacity(3 * 32);
    bytes.extend_from_slice(action.digest.as_bytes());
    bytes.extend_from_slice(call.params.digest.as_bytes());
    if let Some(span) = call.time_range {
        bytes.extend_from_slice(&span.start.millis().to_be_bytes());
        bytes.extend_from_slice(&span.end.millis().to_be_bytes());
    }
    Digest::of(&bytes)
}

impl Job {
    /// Which attempt this is.
    #[must_use]
    pub fn attempt_key(&self) -> AttemptKey {
        AttemptKey {
            key: self.key.clone(),
            step: self.step,
            attempt: self.attempt,
        }
    }

    /// What its checkpoints are kept under: run, step and the digest of the parameters, so that another item's or
    /// another call's is never found.
    #[must_use]
    pub fn checkpoint_key(&self) -> String {
        if crate::planted!("checkpoint_of_another_step") {
            return self.key.run.to_string();
        }
        format!(
            "{}/{}/{}",
            self.key.run, self.step.0, self.call.params.digest
        )
    }
}

/// What a worker says to the owner of a run.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Word {
    /// These attempts left the queue and are in my hands. Said when they are taken and every 3 s.
    #[n(0)]
    InHand {
        /// Who says it.
        #[n(0)]
        worker: String,
        /// All that this worker holds of one shard.
        #[n(1)]
        attempts: Vec<AttemptKey>,
        /// How many more jobs it could take now.
        #[n(2)]
        free_slots: u32,
        /// Of which pool it takes them.
        #[n(3)]
        pool: Pool,
    },
    /// May I make this call?
    #[n(1)]
    Begin {
        /// Which attempt.
        #[n(0)]
        attempt: AttemptKey,
        /// Bound to the grant.
        #[n(1)]
        nonce: Nonce,
        /// Who asks.
        #[n(2)]
        worker: String,
    },
    /// What became of an attempt.
    #[n(2)]
    Report {
        /// Which attempt.
        #[n(0)]
        attempt: AttemptKey,
        /// What became of it.
        #[n(1)]
        outcome: Outcome,
        /// [`call_digest`] of the job: a job may be offered before it is durable, and if it never becomes so, another
        /// one may be given its numbers.
        #[n(2)]
        call: Digest,
    },
    /// The agent that executes this attempt asks people. The same words again ask what has become of the question.
    #[n(3)]
    Ask {
        /// Which attempt.
        #[n(0)]
        attempt: AttemptKey,
        /// What the agent says.
        #[n(1)]
        words: Box<Words>,
        /// How long it can wait for an answer, in milliseconds.
        #[n(2)]
        within_ms: u64,
        /// [`call_digest`] of the job, as in a report.
        #[n(3)]
        call: Digest,
    },
}

/// What the owner answers.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Answer {
    /// Heard; a report is settled, also when it was rejected. The attempts listed are not wanted any more: cut READ calls.
    #[n(0)]
    Heard {
        /// Attempts to drop.
        #[n(0)]
        unwanted: Vec<AttemptKey>,
    },
    /// The call may begin, not after `start_by`.
    #[n(1)]
    Granted {
        /// The last moment.
        #[n(0)]
        start_by: Timestamp,
    },
    /// The call may not begin, now or ever: drop the job.
    #[n(2)]
    Denied {
        /// Why.
        #[n(0)]
        reason: String,
    },
    /// Where a question stands.
    #[n(3)]
    Question {
        /// What has become of it.
        #[n(0)]
        state: ApprovalState,
        /// Who decided.
        #[n(1)]
        reviewer: Option<Principal>,
        /// What they said about it, or why it is not asked any more.
        #[n(2)]
        comment: Option<String>,
    },
}
