//! Agents: what they are, how they are set, and where they run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::manifest::{Action, ActionName, Manifest};
use crate::pool::Pool;
use crate::time::Timestamp;

/// An agent as its manifest tells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// What it says of itself.
    pub manifest: Manifest,
    /// `native` or `json`.
    pub form: String,
    /// The pool whose workers have it.
    #[serde(default)]
    pub pool: Pool,
    /// SHA-256 of the executable that said so; `None` for a remote one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executable: Option<Digest>,
    /// When this was read.
    pub read_at: Timestamp,
    /// It registered itself, and nothing proves that it is who it says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unauthenticated: bool,
    /// It registered, but did not say what it can do, and why: it offers nothing, and nobody knows its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata_unavailable: Option<String>,
}

impl Agent {
    /// Its actions, named, as documents are checked against.
    pub fn actions(&self) -> impl Iterator<Item = (ActionName, &Action)> {
        self.manifest.actions.iter().map(|action| {
            let name = ActionName {
                agent: self.manifest.name.clone(),
                action: action.id.clone(),
            };
            (name, action)
        })
    }
}

/// An agent's settings. An absent one is revision 0 without values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentConfig {
    /// Counts up with every change; an approval binds it.
    pub revision: u64,
    /// What is set.
    pub values: BTreeMap<String, SettingValue>,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingValue {
    /// As it is.
    Plain(serde_json::Value),
    /// The canonical JSON of a secret one, sealed with [`setting_seal`](super::setting_seal) as the bound text.
    Sealed(String),
}

/// A running plugin, as its worker sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Which agent.
    pub agent: String,
    /// Which of its processes.
    pub instance: String,
    /// The worker that started it or that it registered with.
    pub worker: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `native` or `json`.
    pub form: String,
    /// What it is doing.
    pub state: InstanceState,
    /// Since when.
    pub since: Timestamp,
    /// Starts after the first.
    pub restarts: u32,
    /// Why it went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// When it is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start: Option<Timestamp>,
    /// What it answered when its health was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// Digest of the [`Pinned`](crate::manifest::Pinned) form of each action that it offers.
    #[serde(default)]
    pub actions: BTreeMap<String, Digest>,
    /// What people must know about it, such as what it does not offer and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// It registered itself: when it is taken for gone, should nothing be heard of it until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What a plugin's process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// It is coming up.
    Starting,
    /// It takes calls.
    Ready,
    /// It died and is started again later.
    Backoff,
    /// It is not needed now.
    Stopped,
}

/// What a plugin says about its health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Whether it can work.
    pub ok: bool,
    /// In words.
    pub message: String,
    /// When it said so.
    pub checked_at: Timestamp,
}
