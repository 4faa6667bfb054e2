//! `demo/echo`.

use std::time::Duration;

use mirastack_sdk::{Action, ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Echo {
    /// How long it waits before it answers, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10000))]
    delay_ms: Option<u64>,
    /// Anything else.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

pub(crate) fn action() -> Action<Echo, Echo> {
    Action::read(
        "echo",
        "Gives back what it is given, whatever that is.",
        echo,
    )
}

async fn echo(context: Context, input: Echo) -> Result<Echo, ActionError> {
    if let Some(ms) = input.delay_ms.filter(|ms| *ms > 0) {
        tokio::select! {
            biased;
            () = context.cancelled() => return Err(ActionError::failed("cancelled", "nobody waits any more")),
            () = tokio::time::sleep(Duration::from_millis(ms)) => {}
        }
    }
    Ok(input)
}
