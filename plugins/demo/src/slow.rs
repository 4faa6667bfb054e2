//! `demo/slow`.

use std::time::Duration;

use mirastack_sdk::{Action, ActionError, Context};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct Input {
    /// How many steps the work has.
    #[schemars(range(min = 1, max = 10000))]
    steps: u32,
    /// How long a step takes, in milliseconds.
    #[serde(default = "hundred")]
    #[schemars(range(max = 60000))]
    step_ms: u64,
}

fn hundred() -> u64 {
    100
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Output {
    /// How many steps the work has.
    steps: u32,
    /// How many of them this attempt did.
    done_here: u32,
    /// How many of them earlier attempts had done.
    resumed_at: u32,
}

pub(crate) fn action() -> Action<Input, Output> {
    Action::read(
        "slow",
        "Works for a while and saves a checkpoint after each step, so that an attempt goes on where a lost one stopped.",
        slow,
    )
    .timeout(Duration::from_secs(600))
}

async fn slow(context: Context, input: Input) -> Result<Output, ActionError> {
    let resumed_at = context
        .saved::<u32>()
        .map_or(0, |done| done.min(input.steps));
    for done in resumed_at + 1..=input.steps {
        tokio::select! {
            biased;
            () = context.cancelled() => return Err(ActionError::failed("cancelled", "nobody waits any more")),
            () = tokio::time::sleep(Duration::from_millis(input.step_ms)) => {}
        }
        context.save(&done).await?;
        context.progress(
            100.0 * f64::from(done) / f64::from(input.steps),
            format!("step {done} of {}", input.steps),
        );
    }
    Ok(Output {
        steps: input.steps,
        done_here: input.steps - resumed_at,
        resumed_at,
    })
}
