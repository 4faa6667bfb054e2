//! `metrics/label_names`.

use mirastack_sdk::{Action, ActionError, Context};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    backend::Backend,
    search::{self, Search},
};

/// Which series are looked at.
pub(crate) type Input = Search;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The names, in order.
    names: Vec<String>,
    /// Whether the limit left some out.
    truncated: bool,
    /// What the server warns of.
    warnings: Vec<String>,
}

pub(crate) fn action(backend: Backend) -> Action<Input, Output> {
    Action::read(
        "label_names",
        "Lists the names of labels.",
        move |context, input| {
            let backend = backend.clone();
            async move { ask(&backend, &context, &input).await }
        },
    )
}

async fn ask(backend: &Backend, context: &Context, input: &Input) -> Result<Output, ActionError> {
    let form = input.wire(context)?;
    let answered = backend
        .ask::<Vec<String>>(context, "api/v1/labels", &search::borrowed(&form))
        .await?;
    let (names, truncated) = search::first(answered.data, input.limit);
    Ok(Output {
        names,
        truncated,
        warnings: answered.warnings,
    })
}
