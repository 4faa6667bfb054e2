//! A call as it is made, and why it did not work.

use std::collections::BTreeMap;

use minicbor::{CborLen, Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::time::Timestamp;
use crate::value::Labels;
use crate::value::Value;

/// A call as it will be made: fixed for all attempts of a step.
#[derive(Clone, Debug, PartialEq, Serialize, CborLen, Encode, Decode)]
pub struct Call {
    /// Place of the action in [`crate::event::RunCreated::actions`].
    #[n(0)]
    pub action: u32,
    /// The parameters; where a secret stands, its place holds an empty string.
    #[n(1)]
    pub params: Value,
    /// The secrets that are filled in at the plugin's door.
    #[n(2)]
    pub secrets: Vec<SecretPart>,
    /// What span of time it looks at.
    #[n(3)]
    pub time_range: Option<TimeSpan>,
    /// One attempt, in milliseconds.
    #[n(4)]
    pub timeout_ms: u64,
    /// Labels of each top-level parameter.
    #[n(5)]
    pub sources: BTreeMap<String, Labels>,
}

/// A string of the parameters that a secret is part of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
pub struct SecretPart {
    /// Where it stands in the parameters (RFC 6901).
    #[n(0)]
    pub pointer: String,
    /// What the string is put together from.
    #[n(1)]
    pub parts: Vec<Part>,
}

/// A piece of a string with secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Text as it stands.
    #[n(0)]
    Text(#[n(0)] String),
    /// A secret's name and version.
    #[n(1)]
    Secret {
        /// Its name.
        #[n(0)]
        name: String,
        /// Its version.
        #[n(1)]
        version: u64,
    },
}

/// From a time to a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
pub struct TimeSpan {
    /// The earlier end.
    #[n(0)]
    pub start: Timestamp,
    /// The later end.
    #[n(1)]
    pub end: Timestamp,
}

/// Why something did not work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
pub struct Failure {
    /// A stable code: of [`crate::code::Code`], or an action's own.
    #[n(0)]
    pub code: String,
    /// What happened, where, and what to do.
    #[n(1)]
    pub message: String,
    /// Whether trying again may help.
    #[n(2)]
    pub retryable: bool,
    /// Whether it is known that no change was made.
    #[n(3)]
    pub not_made: bool,
    /// The step at whose door it happened.
    #[n(4)]
    pub step: Option<String>,
}
