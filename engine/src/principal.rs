//! Who asks: principals, roles, permissions.

use std::fmt;
use std::str::FromStr;

use minicbor::{CborLen, Decode, Encode};
use serde::{Deserialize, Serialize};

/// Somebody or something that asks: `kind:name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, CborLen, Encode, Decode)]
pub enum Principal {
    /// An API key.
    #[n(0)]
    Key(#[n(0)] String),
    /// A hook's service account.
    #[n(1)]
    Hook(#[n(0)] String),
    /// A workflow's service account, for its schedules.
    #[n(2)]
    Workflow(#[n(0)] String),
    /// A person of an identity system.
    #[n(3)]
    User(#[n(0)] String),
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "key:{name}"),
            Self::Hook(name) => write!(f, "hook:{name}"),
            Self::Workflow(name) => write!(f, "workflow:{name}"),
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}

/// The text is no principal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a principal: write key:NAME, hook:NAME, workflow:NAME or user:NAME")]
pub struct BadPrincipal;

impl FromStr for Principal {
    type Err = BadPrincipal;

    fn from_str(text: &str) -> Result<Self, BadPrincipal> {
        let (kind, name) = text.split_once(':').ok_or(BadPrincipal)?;
        if name.is_empty() {
            return Err(BadPrincipal);
        }
        match kind {
            "key" => Ok(Self::Key(name.to_owned())),
            "hook" => Ok(Self::Hook(name.to_owned())),
            "workflow" => Ok(Self::Workflow(name.to_owned())),
            "user" => Ok(Self::User(name.to_owned())),
            _ => Err(BadPrincipal),
        }
    }
}

impl Serialize for Principal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What an action does to the world. The order is the order of the rights needed.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
    schemars::JsonSchema,
)]
#[serde(rename_all = "UPPERCASE")]
#[cbor(index_only)]
pub enum Permission {
    /// Changes nothing; may be repeated at will.
    #[n(0)]
    Read,
    /// Changes a system; stops for consent.
    #[n(1)]
    Modify,
    /// Changes a system in a way that only an admin may consent to.
    #[n(2)]
    Admin,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "READ",
            Self::Modify => "MODIFY",
            Self::Admin => "ADMIN",
        })
    }
}

/// A role. The order is the order of rights: each has all of the one before.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub enum Role {
    /// Reads, starts saved workflows, cancels.
    #[n(0)]
    Operator,
    /// Approves MODIFY, saves workflows and hooks.
    #[n(1)]
    Engineer,
    /// Approves ADMIN, manages keys, secrets and settings.
    #[n(2)]
    Admin,
}

impl Role {
    /// Every role, weakest first.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Engineer, Self::Admin];

    /// Whether somebody with this role may consent to a step of that permission.
    #[must_use]
    pub fn may_approve(self, permission: Permission) -> bool {
        match permission {
            Permission::Read | Permission::Modify => self >= Self::Engineer,
            Permission::Admin => self >= Self::Admin,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "operator",
            Self::Engineer => "engineer",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = BadRole;

    fn from_str(text: &str) -> Result<Self, BadRole> {
        Self::ALL
            .into_iter()
            .find(|r| r.to_string() == text)
            .ok_or(BadRole)
    }
}

/// The text is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role: roles are operator, engineer and admin")]
pub struct BadRole;
