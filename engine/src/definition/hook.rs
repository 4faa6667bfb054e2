//! A hook as data.

use serde::{Deserialize, Serialize};

use crate::duration::Duration;
use crate::principal::Role;

/// A hook resource: a named, authenticated entrance for events from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What comes in.
    #[serde(rename = "type")]
    pub kind: HookType,
    /// How the sender proves itself. Each secret is a template that may be `${{ secrets.NAME }}`.
    pub auth: HookAuth,
    /// The role of its service account, `hook:NAME`.
    pub role: Role,
    /// No more deliveries than this are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// `generic`: which headers an event shows (lower case).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// `generic`: an expression over `event` that makes two deliveries one; `None`: `dedupe: none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedupe: Option<String>,
}

/// What comes in at a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HookType {
    /// Alertmanager's webhook, version 4, and Grafana's superset of it.
    Alertmanager,
    /// GitHub's webhooks, signed with `X-Hub-Signature-256`.
    Github,
    /// Any JSON.
    Generic,
}

/// How the sender of a hook proves itself. At most two values each, while rotating.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HookAuth {
    /// `Authorization: Bearer …`
    Bearer(Vec<String>),
    /// `Authorization: Basic …`, each `user:password`.
    Basic(Vec<String>),
    /// HMAC-SHA256 of the raw body, hexadecimal, in a header.
    Hmac {
        /// The header (lower case).
        header: String,
        /// What stands before the digits, such as `sha256=`.
        #[serde(default)]
        prefix: String,
        /// The keys.
        secrets: Vec<String>,
    },
}

/// So many per so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// How many.
    pub max: u32,
    /// In which time.
    pub per: Duration,
}
