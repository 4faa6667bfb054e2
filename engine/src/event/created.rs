//! What a run is, from its first record.

use std::collections::BTreeMap;

use minicbor::{CborLen, Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::manifest::ActionName;
use crate::principal::Permission;
use crate::principal::Principal;
use crate::time::Timestamp;
use crate::value::Value;

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
