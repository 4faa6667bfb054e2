//! An agent for tests that is started by itself and registers: what the SDK makes of `--engine ADDRESS`.

use std::process::ExitCode;

use mirastack_sdk::{Action, ActionError, Agent, Context, Setting};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
struct Wish {
    /// Answers only to SIGKILL.
    #[serde(default)]
    hang: bool,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    pid: u32,
    url: String,
}

async fn act(context: Context, wish: Wish) -> Result<Answer, ActionError> {
    if wish.hang {
        std::future::pending::<()>().await;
    }
    Ok(Answer {
        pid: std::process::id(),
        url: context.config().get("url").unwrap_or_default().to_owned(),
    })
}

fn main() -> ExitCode {
    Agent::new("visitor", "1.0.0", "Comes and goes.")
        .setting(Setting::string("url", "Nothing."))
        .setting(Setting::string("token", "Nothing.").secret())
        .action(Action::read("act", "Says who it is.", act))
        .action(Action::modify("change", "Says who it is.", act).idempotent())
        .main()
}
