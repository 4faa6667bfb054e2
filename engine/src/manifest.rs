//! What a plugin can do: its manifest, and the part of an action that a run pins.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use minicbor::{CborLen, Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::principal::Permission;
use crate::value::canonical;

/// `agent/action`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, CborLen, Encode, Decode)]
pub struct ActionName {
    /// The agent.
    #[n(0)]
    pub agent: String,
    /// Its action.
    #[n(1)]
    pub action: String,
}

impl fmt::Display for ActionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.agent, self.action)
    }
}

/// The text is no `agent/action`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an action: write agent/action, such as metrics/instant_query")]
pub struct BadActionName;

impl FromStr for ActionName {
    type Err = BadActionName;

    fn from_str(text: &str) -> Result<Self, BadActionName> {
        let ok = |s: &str| {
            !s.is_empty()
                && s.len() <= 63
                && s.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        };
        match text.split_once('/') {
            Some((agent, action)) if ok(agent) && ok(action) => Ok(Self {
                agent: agent.to_owned(),
                action: action.to_owned(),
            }),
            _ => Err(BadActionName),
        }
    }
}

impl Serialize for ActionName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ActionName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// One action of an agent, as its manifest declares it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// Its id inside the agent.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What it does to the world.
    pub permission: Permission,
    /// JSON Schema (2020-12) of its parameters: an object.
    pub input: serde_json::Value,
    /// JSON Schema of its result, when it declares one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<serde_json::Value>,
    /// Calling it again with the same idempotency key changes nothing more.
    #[serde(default)]
    pub idempotent: bool,
    /// It can be asked what became of an earlier call.
    #[serde(default)]
    pub lookup: bool,
    /// How long after a call a look-up's "not done" is believed, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle_ms: Option<u64>,
    /// The default time limit of one attempt, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// A setting that an agent declares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Its name.
    pub key: String,
    /// `string`, `int`, `bool`, `duration` or `json`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the agent cannot work without it.
    #[serde(default)]
    pub required: bool,
    /// What holds when it is not set, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Whether its value must never be shown.
    #[serde(default)]
    pub secret: bool,
}

/// What a plugin says of itself; what `--manifest` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The agent's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// What it can do.
    pub actions: Vec<Action>,
    /// What can be set.
    #[serde(default)]
    pub settings: Vec<Setting>,
}

impl Manifest {
    /// The action of that id.
    #[must_use]
    pub fn action(&self, id: &str) -> Option<&Action> {
        self.actions.iter().find(|a| a.id == id)
    }
}

/// What a run pins of an action: no version, text or executable, so that an upgrade breaks no waiting run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pinned {
    /// The agent.
    pub agent: String,
    /// Its action.
    pub action: String,
    /// What it does to the world.
    pub permission: Permission,
    /// JSON Schema of its parameters.
    pub input: serde_json::Value,
    /// JSON Schema of its result.
    pub output: Option<serde_json::Value>,
    /// Calling it again with the same idempotency key changes nothing more.
    pub idempotent: bool,
    /// It can be asked what became of an earlier call.
    pub lookup: bool,
}

impl Pinned {
    /// What a run pins of `action` of `agent`.
    #[must_use]
    pub fn new(agent: &str, action: &Action) -> Self {
        Self {
            agent: agent.to_owned(),
            action: action.id.clone(),
            permission: action.permission,
            input: action.input.clone(),
            output: action.output.clone(),
            idempotent: action.idempotent,
            lookup: action.lookup,
        }
    }

    /// The bytes that are stored under [`Self::digest`].
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

/// All actions that are known, by name: what documents are checked against.
pub type Actions = BTreeMap<ActionName, Action>;
