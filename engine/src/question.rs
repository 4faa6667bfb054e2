//! What an agent asks people while it executes a step, in its own words.
//!
//! The answer is information for the agent and grants nothing: what its step may do was consented to before, or it only
//! reads. What people see and decide are bytes all the same, made once by the owner as those of an approval are (RFC
//! 8785), so that nobody says yes to words that change afterwards. Their type tells them from what grants a call.

use minicbor::{CborLen, Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::event::WorkflowRef;
use crate::id::{Attempt, RunId, Tenant};
use crate::manifest::ActionName;
use crate::principal::{Permission, Principal};
use crate::time::Timestamp;

/// The type string: tells these bytes from those of an approval, and from any others that somebody may sign.
pub const TYPE: &str = "mirastack.question.v1";
/// No question's bytes are longer: a person must be able to read them.
pub const BYTES_MAX: usize = 1024 * 1024;
/// A step's agent may ask so often, all its attempts together: people are not to be worn down.
pub const ASKED_MAX: usize = 20;

/// What an agent says. Nothing of it is known to be true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// What it wants to do.
    #[n(0)]
    pub description: String,
    /// What that would do to the world: who holds the right for this level may decide.
    #[n(1)]
    pub permission: Permission,
    /// What else it wants people to know: JSON, as text.
    #[n(2)]
    pub context: Option<String>,
    /// What the change would touch.
    #[n(3)]
    pub blast_radius: Option<BlastRadius>,
    /// Whether the engine started the agent. One that it did not start is only believed to be who it says.
    #[n(4)]
    pub proven: bool,
}

/// What a change would touch, as an agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
#[serde(deny_unknown_fields)]
pub struct BlastRadius {
    /// Of what kind.
    #[n(0)]
    pub resource_type: String,
    /// Which.
    #[n(1)]
    pub resources: Vec<String>,
    /// How far.
    #[n(2)]
    pub scope: String,
    /// Whether it can be taken back.
    #[n(3)]
    pub reversible: bool,
    /// About how many.
    #[n(4)]
    pub estimated_count: u32,
    /// Where.
    #[n(5)]
    pub regions: Vec<String>,
    /// In a sentence.
    #[n(6)]
    pub summary: String,
}

impl Words {
    /// Tells these words from any others: who says the same again asks the same.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&canonical(self))
    }
}

/// What people decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// [`TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Whose run.
    pub tenant: Tenant,
    /// Which run.
    pub run: RunId,
    /// The step's name.
    pub step: String,
    /// Its number among everything that people were asked about this step.
    pub asking: u32,
    /// The attempt that asks.
    pub attempt: Attempt,
    /// The action that it executes.
    pub action: ActionName,
    /// The workflow; `None` for an ad-hoc call.
    pub workflow: Option<WorkflowRef>,
    /// Who asked for the run.
    pub requester: Principal,
    /// What the agent says.
    pub words: Words,
    /// Whether the requester's own consent does not count.
    pub not_requester: bool,
    /// Until when the question stands.
    pub expires_at: Timestamp,
}

impl Question {
    /// The canonical bytes (RFC 8785).
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        canonical(self)
    }

    /// The question inside stored bytes.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

fn canonical<T: Serialize>(value: &T) -> Vec<u8> {
    let json = serde_json::to_value(value).expect("its keys are strings");
    serde_json_canonicalizer::to_vec(&json).expect("no number in it is beyond 2^53")
}
