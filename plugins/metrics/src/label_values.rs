//! `metrics/label_values`.

use mirastack_sdk::{Action, ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    backend::Backend,
    search::{self, Search},
};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// The label's name.
    #[schemars(regex(pattern = "^[a-zA-Z_][a-zA-Z0-9_]*$"))]
    label: String,
    #[serde(flatten)]
    search: Search,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The values, in order.
    values: Vec<String>,
    /// Whether the limit left some out.
    truncated: bool,
    /// What the server warns of.
    warnings: Vec<String>,
}

pub(crate) fn action(backend: Backend) -> Action<Input, Output> {
    Action::read(
        "label_values",
        "Lists the values of a label.",
        move |context, input| {
            let backend = backend.clone();
            async move { ask(&backend, &context, &input).await }
        },
    )
}

async fn ask(backend: &Backend, context: &Context, input: &Input) -> Result<Output, ActionError> {
    let query = input.search.wire(context)?;
    let path = format!("api/v1/label/{}/values", input.label);
    let answered = backend
        .look::<Vec<String>>(context, &path, &search::borrowed(&query))
        .await?;
    let (values, truncated) = search::first(answered.data, input.search.limit);
    Ok(Output {
        values,
        truncated,
        warnings: answered.warnings,
    })
}
