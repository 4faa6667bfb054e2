//! A whole agent. Put the built program where the engine looks for plugins, and workflows can say
//! `uses: hello/greet`.

use mirastack_sdk::{Action, ActionError, Agent, Config, Context, Setting};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{process::ExitCode, sync::Arc};

#[derive(Deserialize, JsonSchema)]
struct Person {
    /// Who is greeted.
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct Greeting {
    /// What was said.
    text: String,
}

async fn greet(context: Context, person: Person) -> Result<Greeting, ActionError> {
    if person.name.is_empty() {
        return Err(ActionError::failed("nobody", "the name is empty"));
    }
    let word = context.config().require("word")?;
    context.info(format!("greeting {}", person.name));
    Ok(Greeting {
        text: format!("{word}, {}!", person.name),
    })
}

async fn health(_: Arc<Config>) -> Result<String, String> {
    Ok("in a good mood".to_owned())
}

pub(crate) fn agent() -> Agent {
    Agent::new("hello", "0.1.0", "Says hello.")
        .setting(Setting::string("word", "The word of greeting.").default("Hello"))
        .action(Action::read("greet", "Greets a person by name.", greet))
        .health(health)
}

fn main() -> ExitCode {
    agent().main()
}
