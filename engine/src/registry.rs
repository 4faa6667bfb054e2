//! What stands in the registry: the names of its keys, and the form of what they hold.
//!
//! | key | holds | written by |
//! |---|---|---|
//! | `workflows/<tenant>/<name>` | [`SavedWorkflow`], the newest revision | gateway |
//! | `workflow-revisions/<tenant>/<name>/<revision>` | [`SavedWorkflow`], each one | gateway |
//! | `defs/<tenant>/<digest>` | the canonical bytes of a [`crate::definition::Workflow`] or a [`crate::manifest::Pinned`] | gateway |
//! | `hooks/<tenant>/<name>` | [`SavedHook`] | gateway |
//! | `api-keys/<tenant>/<name>` | [`ApiKey`] | gateway |
//! | `secrets/<tenant>/<name>` | [`Secret`] | gateway |
//! | `agents/<tenant>/<name>` | [`Agent`] | whoever reads manifests |
//! | `agent-config/<tenant>/<name>` | [`AgentConfig`] | gateway |
//! | `plugins/<tenant>/<agent>/<instance>` | [`Instance`] | worker |
//! | `agents-outlive` | `true`, once an agent that nobody here started could change systems | who starts |
//! | [`SCHEDULERS`]`<name>` | that it lives, and what it owns | scheduler |
//! | [`INCARNATION`] | the name of this life of the data | who restores a backup |
//!
//! Operations are on single keys only, so the order of writing is what makes a crash harmless: pinned things first,
//! then the revision, whose creation is the moment of saving, then the newest. Everything is JSON.
//!
//! What was deleted leaves a tombstone where a number must go on counting or a name must never mean somebody else.

mod agents;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::definition::Hook;
use crate::digest::Digest;
use crate::id::{Nonce, Tenant};
use crate::manifest::{Action, Pinned};
use crate::principal::{Principal, Role};
use crate::time::Timestamp;

pub use agents::{Agent, AgentConfig, Health, Instance, InstanceState, SettingValue};

/// What the keys of schedulers begin with that say that they live: their names follow.
pub const SCHEDULERS: &str = "schedulers/";

/// The key of the present life's name: 32 hexadecimal digits, `-` and when it began, in milliseconds; new with each
/// restore of a backup, absent in the first.
pub const INCARNATION: &str = "incarnation";

/// A kind of thing in the registry: the first part of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The newest revision of each workflow.
    Workflows,
    /// Every revision of each workflow.
    Revisions,
    /// Pinned definitions and actions, by digest.
    Defs,
    /// Hooks.
    Hooks,
    /// API keys.
    ApiKeys,
    /// Secrets, sealed.
    Secrets,
    /// Agents with their manifests.
    Agents,
    /// The agents' settings.
    AgentConfig,
    /// Running plugins.
    Plugins,
}

impl Kind {
    /// The first part of its keys.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Workflows => "workflows",
            Self::Revisions => "workflow-revisions",
            Self::Defs => "defs",
            Self::Hooks => "hooks",
            Self::ApiKeys => "api-keys",
            Self::Secrets => "secrets",
            Self::Agents => "agents",
            Self::AgentConfig => "agent-config",
            Self::Plugins => "plugins",
        }
    }

    /// What all its keys begin with.
    #[must_use]
    pub fn prefix(self) -> String {
        format!("{}/", self.as_str())
    }

    /// What all its keys of one tenant begin with.
    #[must_use]
    pub fn of(self, tenant: &Tenant) -> String {
        format!("{}/{tenant}/", self.as_str())
    }

    /// The key of `name`.
    #[must_use]
    pub fn key(self, tenant: &Tenant, name: &str) -> String {
        format!("{}/{tenant}/{name}", self.as_str())
    }
}

/// The key of one revision of a workflow; keys sort as revisions do.
#[must_use]
pub fn revision_key(tenant: &Tenant, name: &str, revision: u64) -> String {
    Kind::Revisions.key(tenant, &format!("{name}/{revision:010}"))
}

/// The key of a pinned definition or action.
#[must_use]
pub fn def_key(tenant: &Tenant, digest: Digest) -> String {
    Kind::Defs.key(tenant, &digest.to_string())
}

/// The key of a running plugin.
#[must_use]
pub fn instance_key(tenant: &Tenant, agent: &str, instance: &str) -> String {
    Kind::Plugins.key(tenant, &format!("{agent}/{instance}"))
}

/// The last part of a key: the name of what it holds.
#[must_use]
pub fn name_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// The bytes of a value of the registry.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("what the registry holds has only text as keys")
}

/// A value of the registry from its bytes.
///
/// # Errors
/// What does not fit.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|e| e.to_string())
}

/// How a document was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// As YAML.
    Yaml,
    /// As JSON.
    Json,
}

/// A revision of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedWorkflow {
    /// Counts up from 1, also over a deletion.
    pub revision: u64,
    /// Of the definition under `defs/`.
    pub digest: Digest,
    /// The text, byte for byte.
    pub text: String,
    /// How the text is written.
    pub form: Form,
    /// When it was saved.
    pub saved_at: Timestamp,
    /// By whom.
    pub saved_by: Principal,
    /// The newest one only: whether the name is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// A hook as saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedHook {
    /// Counts up from 1, also over a deletion.
    pub revision: u64,
    /// Of text and hook.
    pub digest: Digest,
    /// The text, byte for byte.
    pub text: String,
    /// How the text is written.
    pub form: Form,
    /// What it says, with the secret that the server made where it names none.
    pub hook: Hook,
    /// The secret that the server made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_secret: Option<String>,
    /// When it was saved.
    pub saved_at: Timestamp,
    /// By whom.
    pub saved_by: Principal,
    /// Whether the name is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// An API key: the principal `key:NAME`. A revoked one stays, so that its name never means somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Tells this key from any other that a token may name.
    pub serial: Nonce,
    /// argon2id hash of its secret (PHC string).
    pub secret_hash: String,
    /// Its role.
    pub role: Role,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who made it.
    pub created_by: Principal,
    /// When.
    pub created_at: Timestamp,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<Principal>,
}

impl ApiKey {
    /// Whether its principal may do anything at all.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.revoked_at.is_none()
    }
}

/// A secret's versions, sealed. Without versions it is deleted; the count goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The highest version that ever was.
    pub last_version: u64,
    /// Those that are kept, oldest first.
    pub versions: Vec<SecretVersion>,
}

/// One version of a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVersion {
    /// Its number.
    pub version: u64,
    /// The value, sealed with [`secret_seal`] as the bound text.
    pub sealed: String,
    /// When it was set.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: Principal,
}

impl Secret {
    /// The version that is in force.
    #[must_use]
    pub fn newest(&self) -> Option<&SecretVersion> {
        self.versions.last()
    }

    /// One version.
    #[must_use]
    pub fn version(&self, version: u64) -> Option<&SecretVersion> {
        self.versions.iter().find(|v| v.version == version)
    }
}

/// What a secret's seal is bound to.
#[must_use]
pub fn secret_seal(tenant: &Tenant, name: &str, version: u64) -> String {
    format!("secrets/{tenant}/{name}/{version}")
}

/// What the seal of a secret setting is bound to.
#[must_use]
pub fn setting_seal(tenant: &Tenant, agent: &str, key: &str) -> String {
    format!("agent-config/{tenant}/{agent}/{key}")
}

/// The digest by which a plugin's offer is compared with what a run pinned.
#[must_use]
pub fn action_digest(agent: &str, action: &Action) -> Digest {
    Pinned::new(agent, action).digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_revisions_sort_as_the_revisions_do() {
        let tenant = Tenant::default();
        let key = |n| revision_key(&tenant, "hello", n);
        assert_eq!(key(7), "workflow-revisions/default/hello/0000000007");
        assert!(key(9) < key(10));
        assert_eq!(name_of(&Kind::Hooks.key(&tenant, "alerts")), "alerts");
    }

    #[test]
    fn a_deleted_secret_goes_on_counting() {
        let secret: Secret =
            decode(br#"{"last_version":3,"versions":[]}"#).expect("a deleted secret");
        assert_eq!(secret.newest(), None);
        assert_eq!(secret.last_version, 3);
        assert_eq!(decode::<Secret>(&encode(&secret)), Ok(secret));
    }
}
