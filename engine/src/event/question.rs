//! What an agent asks people.

use minicbor::{CborLen, Decode, Encode};
use serde::Serialize;

use crate::digest::Digest;
use crate::id::{Attempt, StepNo};
use crate::principal::Permission;
use crate::time::Timestamp;
use crate::value::Value;

/// An agent that executes a step asks people.
#[derive(Clone, Debug, PartialEq, Serialize, CborLen, Encode, Decode)]
pub struct QuestionAsked {
    /// Which step.
    #[n(0)]
    pub step: StepNo,
    /// The attempt that asks: when it is over, nobody listens any more.
    #[n(1)]
    pub attempt: Attempt,
    /// Its number among everything that people were asked about this step.
    #[n(2)]
    pub asking: u32,
    /// The canonical bytes (RFC 8785) of a [`crate::question::Question`]; their digest is what people see.
    #[n(3)]
    pub bytes: Value,
    /// Tells the agent's words from any others.
    #[n(4)]
    pub said: Digest,
    /// Who holds the right for this level may decide.
    #[n(5)]
    pub permission: Permission,
    /// Whether the requester's own consent does not count.
    #[n(6)]
    pub not_requester: bool,
    /// Until when the question stands.
    #[n(7)]
    pub expires_at: Timestamp,
}
