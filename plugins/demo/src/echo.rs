//! `demo/echo`.

use mirastack_sdk::{Action, ActionError, Context};
use serde_json::{Map, Value};

type Json = Map<String, Value>;

pub(crate) fn action() -> Action<Json, Json> {
    Action::read("echo", "Gives back what it is given.", echo)
}

async fn echo(_: Context, input: Json) -> Result<Json, ActionError> {
    Ok(input)
}
