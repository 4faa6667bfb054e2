//! What the shell looked up for a decision. What is absent is [`Rejection::Missing`]: fetch it and ask again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::code::Code;
use crate::digest::Digest;
use crate::plan::Plan;
use crate::principal::{Principal, Role};
use crate::schema::Schema;
use crate::time::Timestamp;

/// Everything that a decision may need to know besides the run.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The run's pinned definition.
    pub plan: Option<Arc<Plan>>,
    /// Schemas of pinned actions, by the digest of the action.
    pub schemas: BTreeMap<Digest, Arc<ActionSchemas>>,
    /// Values that are not inline, by digest.
    pub values: BTreeMap<Digest, Arc<serde_json::Value>>,
    /// What principals may do now.
    pub standing: BTreeMap<Principal, Standing>,
    /// Revisions of agents' settings, 0 where nothing is set.
    pub settings: BTreeMap<String, u64>,
    /// Versions of secrets; `None` where there is no such secret.
    pub secrets: BTreeMap<String, Option<u64>>,
    /// Whether the requester's own consent does not count.
    pub not_requester: bool,
    /// Where runs are shown, without a slash at the end: `run.url` is this and the run's id.
    pub url_base: String,
    /// Since when one clock tells the time: what was measured before may be by another, or by one that was set since.
    /// `None`: all along.
    pub clock_since: Option<Timestamp>,
}

/// The compiled schemas of one action.
#[derive(Debug)]
pub struct ActionSchemas {
    /// Of its parameters.
    pub input: Schema,
    /// Of its result, if it declares one.
    pub output: Option<Schema>,
}

/// What a principal may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its role; `None` when it is gone or inactive.
    pub role: Option<Role>,
}

/// Something that must be looked up before a decision can be made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// The pinned definition of that digest.
    Plan(Digest),
    /// The schemas of the pinned action of that digest.
    Schemas(Digest),
    /// The value of that digest.
    Value(Digest),
    /// What this principal may do.
    Standing(Principal),
    /// The revision of this agent's settings.
    Settings(String),
    /// The version of this secret.
    Secret(String),
}

/// Why a command was not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// These must be looked up first.
    Missing(Vec<Missing>),
    /// It is about an attempt that is not the current one.
    Stale,
    /// The state or the rules do not allow it.
    Refused {
        /// Which rule.
        code: Code,
        /// What it says, and what to do.
        message: String,
    },
}

impl Rejection {
    /// One missing fact.
    #[must_use]
    pub fn missing(what: Missing) -> Self {
        Self::Missing(vec![what])
    }

    /// A refusal.
    #[must_use]
    pub fn refused(code: Code, message: impl Into<String>) -> Self {
        Self::Refused {
            code,
            message: message.into(),
        }
    }
}
