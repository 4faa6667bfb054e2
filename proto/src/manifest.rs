//! What a plugin says about itself.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{limits, v1};

/// The most actions, and the most settings, that a plugin may declare.
const DECLARATIONS_MAX: usize = 200;
/// The longest description, in bytes.
const DESCRIPTION_MAX: usize = 4 * 1024;

/// Who a plugin is, what it can do and how it is configured. `--manifest` prints it as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `[a-z0-9][a-z0-9_-]{0,62}`, unique among the plugins of a kind.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// What it is for.
    pub description: String,
    /// Which of the three kinds of plugin.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// What it can do, in the order of declaration.
    #[serde(default)]
    pub actions: Vec<Action>,
    /// How it is configured.
    #[serde(default)]
    pub settings: Vec<Setting>,
}

/// The three kinds of plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Acts on systems.
    Agent,
    /// Speaks for a language model.
    Provider,
    /// Knows people.
    Connector,
}

/// What an action may do to the world, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Permission {
    /// Looks.
    Read,
    /// Changes something.
    Modify,
    /// Changes something that takes an administrator to answer for.
    Admin,
}

/// One thing that a plugin can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Action {
    /// `[a-z][a-z0-9_]{0,62}`, unique in the plugin.
    pub id: String,
    /// What it does.
    pub description: String,
    /// What it may do to the world.
    pub permission: Permission,
    /// Calling it twice with one idempotency key changes no more than calling it once.
    #[serde(default)]
    pub idempotent: bool,
    /// It can say what became of an earlier call.
    #[serde(default)]
    pub lookup: bool,
    /// It can say what it would do without doing it.
    #[serde(default)]
    pub plan: bool,
    /// How long after the plugin's death a request may still be travelling, in milliseconds. Absent: the
    /// engine's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle_ms: Option<u64>,
    /// How long one attempt may take, in milliseconds, when the workflow does not say. Absent: the engine's
    /// default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// JSON Schema 2020-12 of the parameters.
    pub input_schema: Value,
    /// JSON Schema 2020-12 of the result.
    pub output_schema: Value,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// `[a-z][a-z0-9_]{0,62}`, unique in the plugin.
    pub key: String,
    /// How its text is read.
    #[serde(rename = "type")]
    pub kind: SettingType,
    /// The plugin does no work without it.
    #[serde(default)]
    pub required: bool,
    /// Its text when it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What it is for.
    pub description: String,
    /// Its value is never shown.
    #[serde(default)]
    pub secret: bool,
}

/// How the text of a setting is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SettingType {
    /// As it is.
    String,
    /// A whole number.
    Int,
    /// `true` or `false`.
    Bool,
    /// Numbers with units, joined: `500ms`, `1h30m`, `7d`.
    Duration,
    /// Any JSON.
    Json,
}

/// A manifest that cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ManifestError {
    /// It is larger than [`limits::MANIFEST`].
    #[error("the manifest has {0} bytes; at most {max} are allowed", max = limits::MANIFEST)]
    TooLarge(usize),
    /// It is no JSON of the right shape.
    #[error("the manifest cannot be read: {0}")]
    Malformed(String),
    /// A value in it breaks a rule.
    #[error("the manifest's {place} {problem}")]
    Invalid {
        /// Where, such as `action read: input_schema`.
        place: String,
        /// What is wrong there.
        problem: String,
    },
}

impl Manifest {
    /// Reads and checks what `--manifest` printed.
    ///
    /// # Errors
    /// [`ManifestError`], the first problem found.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        if json.len() > limits::MANIFEST {
            return Err(ManifestError::TooLarge(json.len()));
        }
        let manifest: Self =
            serde_json::from_slice(json).map_err(|e| ManifestError::Malformed(e.to_string()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The action of this name.
    #[must_use]
    pub fn action(&self, id: &str) -> Option<&Action> {
        self.actions.iter().find(|action| action.id == id)
    }

    /// Holds the manifest to its rules: names, unique ids, bounds, schemas that are objects.
    ///
    /// # Errors
    /// [`ManifestError::Invalid`], the first problem found.
    pub fn check(&self) -> Result<(), ManifestError> {
        name_like(&self.name, "-_").or_invalid("name", "must match [a-z0-9][a-z0-9_-]{0,62}")?;
        (!self.version.is_empty()
            && self.version.len() <= 64
            && !self.version.contains(char::is_control))
        .or_invalid(
            "version",
            "must have 1 to 64 bytes and no control characters",
        )?;
        described(&self.description, "description")?;
        (self.actions.len() <= DECLARATIONS_MAX).or_invalid("actions", "are more than 200")?;
        (self.settings.len() <= DECLARATIONS_MAX).or_invalid("settings", "are more than 200")?;
        let mut seen = BTreeSet::new();
        for action in &self.actions {
            action.check()?;
            seen.insert(&action.id)
                .or_invalid(&format!("action {}", action.id), "is declared twice")?;
        }
        let mut seen = BTreeSet::new();
        for setting in &self.settings {
            setting.check()?;
            seen.insert(&setting.key)
                .or_invalid(&format!("setting {}", setting.key), "is declared twice")?;
        }
        Ok(())
    }
}

impl Action {
    fn check(&self) -> Result<(), ManifestError> {
        let place = |part: &str| format!("action {}: {part}", self.id);
        identifier(&self.id).or_invalid(&place("id"), "must match [a-z][a-z0-9_]{0,62}")?;
        described(&self.description, &place("description"))?;
        self.input_schema
            .is_object()
            .or_invalid(&place("input_schema"), "is no JSON object")?;
        self.output_schema
            .is_object()
            .or_invalid(&place("output_schema"), "is no JSON object")
    }
}

impl Setting {
    fn check(&self) -> Result<(), ManifestError> {
        let place = |part: &str| format!("setting {}: {part}", self.key);
        identifier(&self.key).or_invalid(&place("key"), "must match [a-z][a-z0-9_]{0,62}")?;
        described(&self.description, &place("description"))?;
        (!self.required || self.default.is_none()).or_invalid(
            &place("default"),
            "makes no sense where the setting is required",
        )
    }
}

fn described(text: &str, place: &str) -> Result<(), ManifestError> {
    let wild = |c: char| c.is_control() && c != '\n' && c != '\t';
    (!text.trim().is_empty() && text.len() <= DESCRIPTION_MAX && !text.contains(wild))
        .or_invalid(place, "must have 1 to 4096 bytes and no control characters")
}

fn identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase()) && name_like(text, "_")
}

fn name_like(text: &str, marks: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 63
        && text.starts_with(plain)
        && text.chars().all(|c| plain(c) || marks.contains(c))
}

trait OrInvalid {
    fn or_invalid(self, place: &str, problem: &str) -> Result<(), ManifestError>;
}

impl OrInvalid for bool {
    fn or_invalid(self, place: &str, problem: &str) -> Result<(), ManifestError> {
        if self {
            return Ok(());
        }
        Err(ManifestError::Invalid {
            place: place.to_owned(),
            problem: problem.to_owned(),
        })
    }
}

mod convert;

#[cfg(test)]
mod tests;
