//! `demo/fail`.

use mirastack_sdk::{Action, ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// The code of the failure.
    #[serde(default = "code")]
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,62}$"))]
    code: String,
    /// Its message.
    #[serde(default = "message")]
    #[schemars(length(max = 4096))]
    message: String,
    /// Whether it says that a later attempt may go better.
    #[serde(default)]
    retryable: bool,
    /// How many attempts fail; the ones after them succeed. When it is left out, all fail.
    times: Option<u32>,
}

fn code() -> String {
    "asked_to_fail".to_owned()
}

fn message() -> String {
    "failed, as asked".to_owned()
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// The attempt that succeeded.
    attempt: u32,
}

pub(crate) fn action() -> Action<Input, Output> {
    Action::read("fail", "Fails as it is told to.", fail)
}

async fn fail(context: Context, input: Input) -> Result<Output, ActionError> {
    let attempt = context.attempt();
    if input.times.is_some_and(|times| attempt > times) {
        return Ok(Output { attempt });
    }
    let failure = ActionError::failed(&input.code, input.message);
    Err(if input.retryable {
        failure.retryable()
    } else {
        failure
    })
}
