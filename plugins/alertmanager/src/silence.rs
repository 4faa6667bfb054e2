//! Silences, as the server writes them and as this agent gives them.

use std::cmp::Ordering;

use jiff::Timestamp;
use mirastack_sdk::{Context, http::Failure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    backend::Backend,
    matcher::{self, Matcher},
    token,
};

/// A silence, as the server writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Wire {
    pub(crate) id: String,
    status: Status,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(default)]
    updated_at: Option<Timestamp>,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
    matchers: Vec<matcher::Wire>,
}

#[derive(Debug, Deserialize)]
struct Status {
    state: State,
}

/// Where a silence is in its life.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It silences.
    Active,
    /// It begins later.
    Pending,
    /// It is over.
    Expired,
}

/// A silence.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Silence {
    /// The server's id of it.
    id: String,
    /// Whether it silences now.
    state: State,
    /// What it silences.
    matchers: Vec<Matcher>,
    /// When it begins.
    starts_at: Timestamped,
    /// When it ends.
    ends_at: Timestamped,
    /// When it was last changed.
    updated_at: Option<Timestamped>,
    /// Who made it.
    created_by: String,
    /// Why.
    comment: String,
}

/// A moment, as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(crate) struct Timestamped(pub(crate) Timestamp);

impl JsonSchema for Timestamped {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// What is told about a silence that was created or expired.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Settled {
    /// The server's id of the silence.
    pub(crate) id: String,
    /// When it begins.
    pub(crate) starts_at: Timestamped,
    /// When it ends.
    pub(crate) ends_at: Timestamped,
}

impl Wire {
    pub(crate) fn state(&self) -> State {
        self.status.state
    }

    /// Active ones first, and within a state the one that ends first.
    pub(crate) fn by_state_and_end(a: &Self, b: &Self) -> Ordering {
        (a.state(), a.ends_at, &a.id).cmp(&(b.state(), b.ends_at, &b.id))
    }

    pub(crate) fn settled(self) -> Settled {
        Settled {
            id: self.id,
            starts_at: Timestamped(self.starts_at),
            ends_at: Timestamped(self.ends_at),
        }
    }
}

impl From<Wire> for Silence {
    fn from(wire: Wire) -> Self {
        Self {
            state: wire.status.state,
            id: wire.id,
            matchers: wire.matchers.into_iter().map(Matcher::from).collect(),
            starts_at: Timestamped(wire.starts_at),
            ends_at: Timestamped(wire.ends_at),
            updated_at: wire.updated_at.map(Timestamped),
            created_by: wire.created_by,
            comment: wire.comment,
        }
    }
}

/// The silence of this id; `None` when the server has none.
pub(crate) async fn by_id(
    backend: &Backend,
    context: &Context,
    id: &str,
) -> Result<Option<Wire>, Failure> {
    match backend.get(context, &format!("silence/{id}"), &[]).await {
        Ok(silence) => Ok(Some(silence)),
        Err(Failure::Refused { status: 404, .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The silence that was made under this key, in whatever state. Where somebody edited it, which leaves a copy
/// behind, the one that lives, else the oldest.
pub(crate) async fn by_key(
    backend: &Backend,
    context: &Context,
    key: &str,
) -> Result<Option<Wire>, Failure> {
    let all: Vec<Wire> = backend.get(context, "silences", &[]).await?;
    let ours = all
        .into_iter()
        .filter(|silence| token::is_signed(&silence.comment, key));
    Ok(ours.min_by(|a, b| (a.state(), a.starts_at, &a.id).cmp(&(b.state(), b.starts_at, &b.id))))
}
