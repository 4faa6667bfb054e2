//! What people consent to: one step's exact bytes.
//!
//! The bytes are made once, by the owner, when people are asked. They are JSON in the canonical form of RFC 8785; their
//! SHA-256 is the digest that is shown, decided and checked. The worker builds the call from these bytes and from
//! nothing else, after [`check`] has found that each field is what the job says.
//!
//! Parameters stand inside as text (the engine's own canonical JSON), so that no number loses its type or a digit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::event::{SecretPart, TimeSpan, WorkflowRef};
use crate::id::{RunId, Tenant};
use crate::job::Job;
use crate::manifest::ActionName;
use crate::principal::{Permission, Principal, Role};
use crate::time::Timestamp;
use crate::value::Labels;

/// The type string: tells these bytes from any others that somebody may sign.
pub const TYPE: &str = "mirastack.approval.v1";
/// No approval's bytes are longer.
pub const BYTES_MAX: usize = 4 * 1024 * 1024;
/// No approval covers more items.
pub const CALLS_MAX: usize = 1_000;

/// What is consented to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// [`TYPE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// Whose run.
    pub tenant: Tenant,
    /// Which run.
    pub run: RunId,
    /// The step's name.
    pub step: String,
    /// 1 for the first asking of that step.
    pub asking: u32,
    /// The action.
    pub action: ActionName,
    /// What it does to the world.
    pub permission: Permission,
    /// Digest of the pinned action.
    pub manifest: Digest,
    /// The calls: one, or one for each item of a fan-out.
    pub calls: Vec<ApprovedCall>,
    /// One call's time limit, in milliseconds.
    pub timeout_ms: u64,
    /// The revision of the agent's settings.
    pub settings: u64,
    /// The environment, when there is one.
    pub environment: Option<String>,
    /// The template of its compensation, when there is one.
    pub compensate: Option<String>,
    /// The workflow; `None` for an ad-hoc call.
    pub workflow: Option<WorkflowRef>,
    /// Digest of the pinned definition.
    pub definition: Digest,
    /// Who asked for the run.
    pub requester: Principal,
    /// Roles that may decide; empty: everybody with the right.
    pub by: Vec<Role>,
    /// How many different principals must agree.
    pub quorum: u32,
    /// Whether the requester's own consent does not count.
    pub not_requester: bool,
    /// Until when the question stands.
    pub expires_at: Timestamp,
}

/// One call that is consented to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovedCall {
    /// The item's key, in a fan-out.
    pub key: Option<String>,
    /// The parameters, as text in the engine's canonical JSON.
    pub params: String,
    /// Where secrets are filled in, by name and version.
    pub secrets: Vec<SecretPart>,
    /// Where each top-level parameter came from.
    pub sources: BTreeMap<String, Labels>,
    /// What span of time it looks at.
    pub time_range: Option<TimeSpan>,
}

/// What was about to be sent is not what was approved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was about to be sent differs from what was approved in: {field}")]
pub struct Mismatch {
    /// The first field that differs.
    pub field: &'static str,
}

impl Approval {
    /// The canonical bytes (RFC 8785).
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let json = serde_json::to_value(self).expect("its keys are strings");
        serde_json_canonicalizer::to_vec(&json).expect("no number in it is beyond 2^53")
    }

    /// The approval inside stored bytes.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// Checks that `bytes` are what was approved and say what `job` says, field by field, and gives the approved call.
///
/// `settings` is the revision of the agent's settings that the call would be made with.
///
/// # Errors
/// [`Mismatch`] with the first field that differs; nothing may be sent then.
pub fn check(bytes: &[u8], job: &Job, settings: u64) -> Result<ApprovedCall, Mismatch> {
    let differs = |field| Err(Mismatch { field });
    let Some(consent) = &job.approval else {
        return differs("approval");
    };
    if Digest::of(bytes) != consent.digest {
        return differs("digest");
    }
    let Some(approval) = Approval::read(bytes) else {
        return differs("bytes");
    };
    let terms = &consent.terms;
    let workflow = job.workflow.as_ref().zip(job.revision);
    let same_workflow = approval.workflow.as_ref().map(|w| (&w.name, w.revision)) == workflow;
    let fields = [
        ("type", approval.kind == TYPE),
        ("tenant", approval.tenant == job.key.tenant),
        ("run", approval.run == job.key.run),
        ("step", approval.step == consent.step),
        ("asking", approval.asking == terms.asking),
        ("action", approval.action == job.action.name),
        ("permission", approval.permission == job.action.permission),
        ("manifest", approval.manifest == job.action.digest),
        ("timeout", approval.timeout_ms == job.call.timeout_ms),
        ("settings", approval.settings == settings),
        ("environment", approval.environment.is_none()),
        ("compensate", approval.compensate.is_none()),
        ("workflow", same_workflow),
        ("definition", approval.definition == job.definition),
        ("requester", approval.requester == job.requester),
        ("by", approval.by == terms.by),
        ("quorum", approval.quorum == terms.quorum),
        (
            "not_requester",
            approval.not_requester == terms.not_requester,
        ),
        ("expires_at", approval.expires_at == terms.expires_at),
    ];
    if let Some((field, _)) = fields.iter().find(|(_, same)| !same) {
        return differs(field);
    }
    let Some(call) = approval.calls.into_iter().nth(consent.item as usize) else {
        return differs("calls");
    };
    let name = item_name(&approval.step, call.key.as_deref());
    let call_fields = [
        ("item", name == job.name),
        (
            "params",
            Digest::of(call.params.as_bytes()) == job.call.params.digest,
        ),
        ("secrets", call.secrets == job.call.secrets),
        ("sources", call.sources == job.call.sources),
        ("time_range", call.time_range == job.call.time_range),
    ];
    match call_fields.iter().find(|(_, same)| !same) {
        Some((field, _)) => differs(field),
        None => Ok(call),
    }
}

/// What people call a step or one item of it: `step` or `step[key]`.
#[must_use]
pub fn item_name(step: &str, key: Option<&str>) -> String {
    key.map_or_else(|| step.to_owned(), |key| format!("{step}[{key}]"))
}
