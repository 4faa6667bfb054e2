//! `miractl version`: of this program, and of the server if one is known.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use crate::call::Call;
use crate::ctx::Ctx;
use crate::exit::{Exit, Result};
use crate::model::text;

/// A version must not take longer than this to print, server or no server.
const PATIENCE: Duration = Duration::from_secs(3);

/// Show the versions of miractl and of the server
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl version
  miractl version -o json")]
pub(crate) struct Cmd {}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, _cmd: &Cmd) -> Result<Exit> {
    let server = server(ctx).await;
    let value = json!({ "miractl": env!("CARGO_PKG_VERSION"), "server": server });
    ctx.out.thing(&value, env!("CARGO_PKG_VERSION"), || {
        let shown = server
            .as_str()
            .map_or_else(String::new, |version| format!("\nserver   {version}"));
        format!("miractl  {}{shown}", env!("CARGO_PKG_VERSION"))
    })?;
    Ok(Exit::Ok)
}

/// The server's version; `null` without a server, for the client's own version needs none.
async fn server(ctx: &Ctx) -> Value {
    let Ok(api) = ctx.api() else {
        return Value::Null;
    };
    let answer = api
        .send(Call::get(["healthz"]).unsigned().once().within(PATIENCE))
        .await;
    match answer.and_then(|answer| answer.json()) {
        Ok(health) => Some(text(&health, "version"))
            .filter(|v| !v.is_empty())
            .map_or(Value::Null, Into::into),
        Err(failure) => {
            ctx.out.say(&format!(
                "the server's version is not known: {}",
                failure.message
            ));
            Value::Null
        }
    }
}
