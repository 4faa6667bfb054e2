//! `metrics/metadata`.

use std::collections::BTreeMap;

use mirastack_sdk::{Action, ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{backend::Backend, search};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// Only of this metric.
    metric: Option<String>,
    /// How many are listed at most.
    #[serde(default = "search::thousand")]
    #[schemars(range(min = 1, max = 10_000))]
    limit: usize,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The metrics, by name; one that its targets describe in several ways stands there several times.
    metrics: Vec<Metric>,
    /// Whether the limit left some out.
    truncated: bool,
    /// What the server warns of.
    warnings: Vec<String>,
}

/// What a target says of a metric.
#[derive(Eq, Ord, PartialEq, PartialOrd, Serialize, JsonSchema)]
pub(crate) struct Metric {
    /// Its name.
    name: String,
    /// Its type, such as `counter` or `gauge`.
    #[serde(rename = "type")]
    kind: String,
    /// What it is, for people.
    help: String,
    /// Its unit; mostly empty.
    unit: String,
}

#[derive(Deserialize)]
struct Wire {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    unit: String,
}

pub(crate) fn action(backend: Backend) -> Action<Input, Output> {
    Action::read(
        "metadata",
        "Lists what metrics are: their type, their unit, and what they say of themselves.",
        move |context, input| {
            let backend = backend.clone();
            async move { ask(&backend, &context, &input).await }
        },
    )
}

async fn ask(backend: &Backend, context: &Context, input: &Input) -> Result<Output, ActionError> {
    let mut query = vec![("limit", search::one_more(input.limit))];
    query.extend(input.metric.clone().map(|name| ("metric", name)));
    let answered = backend
        .look::<BTreeMap<String, Vec<Wire>>>(context, "api/v1/metadata", &search::borrowed(&query))
        .await?;
    let of = |(name, all): (String, Vec<Wire>)| {
        all.into_iter().map(move |wire| Metric {
            name: name.clone(),
            kind: wire.kind,
            help: wire.help,
            unit: wire.unit,
        })
    };
    let all = answered.data.into_iter().flat_map(of).collect();
    let (metrics, truncated) = search::first(all, input.limit);
    Ok(Output {
        metrics,
        truncated,
        warnings: answered.warnings,
    })
}
