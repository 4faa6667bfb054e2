//! `alertmanager/list_silences`.

use mirastack_sdk::{Action, ActionError, Context, http::Failure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    backend::Backend,
    matcher::{self, Matcher},
    silence::{Silence, State, Wire},
};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// Only silences whose own matchers fit all of these.
    #[serde(default)]
    #[schemars(length(max = 100))]
    matchers: Vec<Matcher>,
    /// Only silences in one of these states.
    #[serde(default = "alive")]
    states: Vec<State>,
    /// How many are listed at most.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    limit: usize,
}

fn alive() -> Vec<State> {
    vec![State::Active, State::Pending]
}

fn hundred() -> usize {
    100
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The silences: active ones, then pending, then expired; within each the one that ends first comes first.
    silences: Vec<Silence>,
    /// How many there are, those over the limit included.
    total: usize,
}

pub(crate) fn action(backend: Backend) -> Action<Input, Output> {
    Action::read("list_silences", "Lists silences.", move |context, input| {
        let backend = backend.clone();
        async move { list(&backend, &context, &input).await }
    })
}

async fn list(backend: &Backend, context: &Context, input: &Input) -> Result<Output, ActionError> {
    let query = matcher::filters(&input.matchers);
    let mut silences: Vec<Wire> = backend
        .get(context, "silences", &query)
        .await
        .map_err(Failure::of_read)?;
    silences.retain(|silence| input.states.contains(&silence.state()));
    let total = silences.len();
    silences.sort_by(Wire::by_state_and_end);
    silences.truncate(input.limit);
    Ok(Output {
        silences: silences.into_iter().map(Silence::from).collect(),
        total,
    })
}
