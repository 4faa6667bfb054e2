//! `metrics/series`.

use std::collections::BTreeMap;

use mirastack_sdk::{Action, ActionError, Context};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    backend::Backend,
    search::{self, Search},
    span,
};

/// Which series; at least one selector.
pub(crate) type Input = Search;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The series, in the order of their labels.
    series: Vec<Series>,
    /// Whether the limit left some out.
    truncated: bool,
    /// What the server warns of.
    warnings: Vec<String>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Series {
    /// Its labels, `__name__` included.
    labels: BTreeMap<String, String>,
}

pub(crate) fn action(backend: Backend) -> Action<Input, Output> {
    Action::read(
        "series",
        "Lists series by their labels, without their values.",
        move |context, input| {
            let backend = backend.clone();
            async move { ask(&backend, &context, &input).await }
        },
    )
}

async fn ask(backend: &Backend, context: &Context, input: &Input) -> Result<Output, ActionError> {
    if input.selectors.is_empty() {
        let message = "`match`: say which, such as [\"up\"]".to_owned();
        return Err(span::invalid(message));
    }
    let form = input.wire(context)?;
    let answered = backend
        .ask::<Vec<BTreeMap<String, String>>>(context, "api/v1/series", &search::borrowed(&form))
        .await?;
    let (found, truncated) = search::first(answered.data, input.limit);
    Ok(Output {
        series: found.into_iter().map(|labels| Series { labels }).collect(),
        truncated,
        warnings: answered.warnings,
    })
}
