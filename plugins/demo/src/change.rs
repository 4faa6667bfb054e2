//! `demo/change`.

use mirastack_sdk::{Action, ActionError, Context, Found, LookUp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file;

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// The name of the value.
    #[schemars(length(min = 1, max = 256))]
    key: String,
    /// What is written.
    #[schemars(length(max = 65536))]
    value: String,
    /// Fails on purpose: `before` the change, which is then not made, or `after` it, when it is made but the
    /// answer says that nobody knows.
    fail: Option<Fail>,
}

#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Fail {
    Before,
    After,
}

/// What was changed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Changed {
    /// The name of the value.
    pub(crate) key: String,
    /// What was written.
    pub(crate) value: String,
    /// What was there before; null when it was never written.
    pub(crate) previous: Option<String>,
    /// How often it was written, this time included.
    pub(crate) changes: u64,
}

pub(crate) fn action() -> Action<Input, Changed> {
    Action::modify("change", "Writes a value.", change)
        .idempotent()
        .look_up(look_up)
}

/// The key is looked for and remembered in the same write as the value, so a repeated call finds it.
async fn change(context: Context, input: Input) -> Result<Changed, ActionError> {
    if input.fail == Some(Fail::Before) {
        return Err(ActionError::not_made(
            "failed_before",
            "failed before the change, as asked",
        ));
    }
    let idempotency_key = context.idempotency_key().to_owned();
    let fail = input.fail;
    let (changed, repeated) = file::edit(context.config(), move |contents| {
        Ok(match contents.done(&idempotency_key) {
            Some(done) => (done.clone(), true),
            None => (
                contents.change(&input.key, &input.value, &idempotency_key),
                false,
            ),
        })
    })
    .await?;
    if fail == Some(Fail::After) && !repeated {
        return Err(ActionError::unknown(
            "failed_after",
            "failed after the change, as asked",
        ));
    }
    Ok(changed)
}

async fn look_up(context: Context, asked: LookUp<Input>) -> Result<Found<Changed>, ActionError> {
    file::with(context.config(), move |contents| {
        Ok(contents
            .done(&asked.idempotency_key)
            .cloned()
            .map_or(Found::NotDone, Found::Done))
    })
    .await
}
