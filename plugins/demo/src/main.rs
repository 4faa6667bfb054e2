//! An agent that needs nothing but a file of its own: for first steps, and for tests of everything that an
//! action can do.

mod change;
mod echo;
mod fail;
mod file;
mod read;
mod slow;
#[cfg(test)]
mod tests;

use std::{process::ExitCode, sync::Arc};

use mirastack_sdk::{Agent, Config, Setting};

fn main() -> ExitCode {
    agent().main()
}

fn agent() -> Agent {
    Agent::new(
        "demo",
        env!("CARGO_PKG_VERSION"),
        "Reads and changes values in a file of its own, takes its time and fails on request. It needs no other server.",
    )
    .setting(Setting::string(
        file::SETTING,
        "The file that holds the values. When it is not set: `demo.json` in the agent's data folder.",
    ))
    .action(read::action())
    .action(change::action())
    .action(slow::action())
    .action(fail::action())
    .action(echo::action())
    .health(health)
}

async fn health(config: Arc<Config>) -> Result<String, String> {
    let path = file::path(&config);
    match file::with(&config, |values| Ok(values.len())).await {
        Ok(count) => Ok(format!("{} holds {count} values", path.display())),
        Err(failure) => Err(failure.to_string()),
    }
}
