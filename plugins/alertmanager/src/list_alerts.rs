//! `alertmanager/list_alerts`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mirastack_sdk::{Action, ActionError, Context, http::Failure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    backend::Backend,
    matcher::{self, Matcher},
    silence::Timestamped,
};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// Only alerts that all of these match.
    #[serde(default)]
    #[schemars(length(max = 100))]
    matchers: Vec<Matcher>,
    /// Whether alerts are listed that nothing suppresses.
    #[serde(default = "yes")]
    active: bool,
    /// Whether silenced alerts are listed.
    #[serde(default = "yes")]
    silenced: bool,
    /// Whether alerts are listed that another alert inhibits.
    #[serde(default = "yes")]
    inhibited: bool,
    /// How many are listed at most.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

fn yes() -> bool {
    true
}

fn hundred() -> usize {
    100
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The alerts, the latest first.
    alerts: Vec<Alert>,
    /// How many there are, those over the limit included.
    total: usize,
}

/// An alert.
#[derive(Debug, Serialize, JsonSchema)]
struct Alert {
    /// What tells it from others.
    fingerprint: String,
    /// `active`, `suppressed` or `unprocessed`.
    state: String,
    /// Its labels.
    labels: BTreeMap<String, String>,
    /// Its annotations.
    annotations: BTreeMap<String, String>,
    /// When it began.
    starts_at: Timestamped,
    /// When it ends, if nothing renews it.
    ends_at: Timestamped,
    /// What made it.
    generator_url: String,
    /// The silences that suppress it.
    silenced_by: Vec<String>,
    /// The alerts that inhibit it.
    inhibited_by: Vec<String>,
}

/// An alert, as the server writes it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    fingerprint: String,
    status: Status,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(rename = "generatorURL", default)]
    generator_url: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    state: String,
    #[serde(default)]
    silenced_by: Vec<String>,
    #[serde(default)]
    inhibited_by: Vec<String>,
}

pub(crate) fn action(backend: Backend) -> Action<Input, Output> {
    Action::read("list_alerts", "Lists alerts.", move |context, input| {
        let backend = backend.clone();
        async move { list(&backend, &context, input).await }
    })
}

async fn list(backend: &Backend, context: &Context, input: Input) -> Result<Output, ActionError> {
    let mut query = matcher::filters(&input.matchers);
    for (name, wanted) in [
        ("active", input.active),
        ("silenced", input.silenced),
        ("inhibited", input.inhibited),
    ] {
        query.push((name, wanted.to_string()));
    }
    let mut alerts: Vec<Wire> = backend
        .get(context, "alerts", &query)
        .await
        .map_err(Failure::of_read)?;
    let total = alerts.len();
    alerts.sort_by(|a, b| {
        b.starts_at
            .cmp(&a.starts_at)
            .then_with(|| a.fingerprint.cmp(&b.fingerprint))
    });
    alerts.truncate(input.limit);
    Ok(Output {
        alerts: alerts.into_iter().map(Alert::from).collect(),
        total,
    })
}

impl From<Wire> for Alert {
    fn from(wire: Wire) -> Self {
        Self {
            fingerprint: wire.fingerprint,
            state: wire.status.state,
            labels: wire.labels,
            annotations: wire.annotations,
            starts_at: Timestamped(wire.starts_at),
            ends_at: Timestamped(wire.ends_at),
            generator_url: wire.generator_url,
            silenced_by: wire.status.silenced_by,
            inhibited_by: wire.status.inhibited_by,
        }
    }
}
