//! A workflow as data: what the language module makes of a document, and what a run pins by digest.
//! Expressions and templates are kept as their source text; [`crate::plan`] compiles them.

mod hook;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::duration::Duration;
use crate::manifest::ActionName;
use crate::principal::{Permission, Role};
use crate::value::canonical;

pub use hook::{Hook, HookAuth, HookType, Rate};

/// A workflow as saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Also on its runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Where to read what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// What starts it besides people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<HookTrigger>,
    /// What it is given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Input>,
    /// Named values computed once at the start: each a JSON tree whose strings are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub vars: BTreeMap<String, serde_json::Value>,
    /// How far it goes by itself.
    pub mode: Mode,
    /// The ceiling of what its steps may do.
    pub permission: Permission,
    /// Everything, waiting included.
    pub timeout: Duration,
    /// A run that has not started by then is cancelled; `None`: 1 h for runs of hooks, no limit otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_within: Option<Duration>,
    /// What is done.
    pub steps: Vec<Step>,
    /// What it answers: each a JSON tree whose strings are templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, serde_json::Value>,
    /// Done when a step failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub on_failure: Vec<Step>,
    /// Done in every case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finally: Vec<Step>,
}

impl Workflow {
    /// The canonical form that is stored and digested.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        canonical(&serde_json::to_value(self).expect("its keys are strings"))
    }

    /// SHA-256 of [`Self::bytes`].
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes())
    }
}

/// A run for each event of a hook that passes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HookTrigger {
    /// The hook's name.
    pub hook: String,
    /// Only events for which this expression is true.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The run's inputs: each a JSON tree whose strings are templates over `event`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub with: BTreeMap<String, serde_json::Value>,
    /// What a resolved alert does.
    #[serde(default)]
    pub resolved: Resolved,
    /// A run for each alert, or one for the group.
    #[serde(default)]
    pub per: Per,
}

/// What a resolved alert does to the runs that it started.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Resolved {
    /// Cancels those that have changed nothing yet.
    #[default]
    Cancel,
    /// Nothing.
    Ignore,
    /// Starts a run, as a firing one does.
    Start,
}

/// What one event of an `alertmanager` hook is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Per {
    /// One alert.
    #[default]
    Alert,
    /// The group with all its alerts.
    Group,
}

/// One input of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: InputType,
    /// A JSON Schema instead of a plain type (`type` is then what the schema says, or `object`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<serde_json::Value>,
    /// What holds when it is not given; without one the input must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<serde_json::Value>,
}

/// The type of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InputType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A double, also when whole.
    Number,
    /// true or false.
    Boolean,
    /// A length of time, such as `1h30m`.
    Duration,
    /// A time in RFC 3339.
    Timestamp,
    /// A JSON object.
    Object,
    /// A JSON array.
    Array,
}

/// How far a workflow goes by itself.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    minicbor::CborLen,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum Mode {
    /// READ runs, MODIFY and ADMIN ask.
    #[default]
    #[n(0)]
    Guided,
}

/// A step as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: StepKind,
    /// The steps of the same section that it waits for: those written, or the step above, and those it mentions.
    pub needs: Vec<String>,
    /// Skipped unless this expression is true.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// Once for each item of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
    /// One attempt, grant or dispatch to result; `None`: the action's own, else 1m READ, 10m MODIFY/ADMIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How often it is tried; `None`: 3 for READ, 1 for MODIFY/ADMIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Its failure does not fail the run.
    #[serde(default)]
    pub continue_on_error: bool,
    /// What span of time it looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_range: Option<TimeRange>,
    /// Who must consent; MODIFY and ADMIN ask also without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRule>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Calls an action.
    Uses {
        /// Which.
        action: ActionName,
        /// Its parameters: a JSON object whose strings are templates.
        with: serde_json::Value,
    },
    /// Waits for a time.
    Wait {
        /// How long: a literal duration or a template that gives one.
        #[serde(rename = "for")]
        duration: String,
    },
    /// Fails unless an expression is true.
    Assert {
        /// The expression.
        condition: String,
        /// A template: what to say when it is false.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
}

/// Fan-out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForEach {
    /// An expression that gives a list.
    pub items: String,
    /// A template that gives each item a stable name; `None`: its index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// How many at once.
    pub max_parallel: u32,
    /// How many may fail.
    pub max_failed: MaxFailed,
}

/// How many items of a fan-out may fail before it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaxFailed {
    /// So many.
    Number(u32),
    /// So many of a hundred.
    Percent(u8),
}

/// How often a step is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Calls, the first included (1 to 100); when absent, what the action's level says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Before the second call.
    pub delay: Duration,
    /// Each further delay is so many times the one before.
    pub factor: f64,
    /// No delay is longer.
    pub max_delay: Duration,
    /// Only for errors for which this expression over `error` is true.
    #[serde(default, rename = "if", skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
}

/// What span of time a step looks at. Each part is a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeRange {
    /// The last so and so long before the step is decided.
    Last(String),
    /// From a time to a time.
    Between {
        /// The earlier end.
        start: String,
        /// The later end.
        end: String,
    },
}

/// Who must consent to a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalRule {
    /// Roles that may (that role or higher); empty: everybody with the right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<Role>,
    /// How many different principals.
    pub quorum: u32,
    /// How long the question stands.
    pub timeout: Duration,
    /// What a refusal does.
    pub on_reject: OnReject,
    /// What silence does.
    pub on_timeout: OnTimeout,
}

/// What a refusal does.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    minicbor::CborLen,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum OnReject {
    /// The failure path; the run ends `rejected`.
    #[default]
    #[n(0)]
    Stop,
    /// The step and what needs it are skipped.
    #[n(1)]
    Skip,
}

/// What silence does. Consent by silence does not exist.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    minicbor::CborLen,
    minicbor::Encode,
    minicbor::Decode,
)]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum OnTimeout {
    /// As a refusal.
    #[default]
    #[n(0)]
    Reject,
    /// The step fails.
    #[n(1)]
    Fail,
}
