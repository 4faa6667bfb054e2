//! `demo/read`.

use mirastack_sdk::{Action, ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// The name of the value.
    key: String,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The name of the value.
    key: String,
    /// The value; null when it was never written.
    value: Option<String>,
    /// How often it was written.
    changes: u64,
}

pub(crate) fn action() -> Action<Input, Output> {
    Action::read("read", "Reads a value.", read)
}

async fn read(context: Context, input: Input) -> Result<Output, ActionError> {
    file::with(context.config(), |contents| {
        let entry = contents.get(&input.key);
        Ok(Output {
            value: entry.map(|entry| entry.value.clone()),
            changes: entry.map_or(0, |entry| entry.changes),
            key: input.key,
        })
    })
    .await
}
