//! Asking people, and what they say.

use minicbor::{CborLen, Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::definition::OnReject;
use crate::definition::OnTimeout;
use crate::digest::Digest;
use crate::id::StepNo;
use crate::principal::Permission;
use crate::principal::Principal;
use crate::principal::Role;
use crate::time::Timestamp;
use crate::value::Value;

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
