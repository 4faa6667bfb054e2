//! `miractl action`: one call of one action, without a workflow and with the same governance.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::agent::schema;
use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};
use crate::human::nearest;
use crate::inputs;
use crate::model::text;
use crate::workflow_run::{Waiting, start};

/// Call single actions
#[derive(Debug, Subcommand)]
pub(crate) enum Cmd {
    Invoke(InvokeCmd),
}

/// Call an action as a run of one step
///
/// A READ action runs at once; a MODIFY or ADMIN action asks for an approval like any step.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl action invoke metrics instant_query --param query=up --wait
  miractl action invoke alertmanager list_alerts --wait -o json | jq .steps
  miractl action invoke demo change --param value=5 --wait=attention")]
pub(crate) struct InvokeCmd {
    /// The agent
    agent: String,
    /// Its action
    action: String,
    /// One parameter, in its declared type; may be repeated
    #[arg(short, long = "param", value_name = "NAME=VALUE|NAME=@FILE")]
    param: Vec<String>,
    /// All parameters from a file; --param beats it
    #[arg(long, value_name = "FILE|-")]
    params: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    match cmd {
        Cmd::Invoke(cmd) => invoke(ctx, cmd).await,
    }
}

async fn invoke(ctx: &Ctx, cmd: &InvokeCmd) -> Result<Exit> {
    let mut params = match &cmd.params {
        Some(file) => inputs::from_file(file)?,
        None => serde_json::Map::new(),
    };
    if !cmd.param.is_empty() {
        let agent = ctx
            .api()?
            .send(Call::get(v1(["agents", &cmd.agent])))
            .await?
            .json()?;
        let types = inputs::of_schema(schema(find(&agent, cmd)?));
        // The server knows which names are allowed; here they only have types.
        params.extend(inputs::convert(&cmd.param, &types, false)?);
    }
    let path = v1(["agents", &cmd.agent, "actions", &cmd.action]);
    start(ctx, path, &json!({ "params": params }), &cmd.waiting).await
}

fn find<'a>(agent: &'a Value, cmd: &InvokeCmd) -> Result<&'a Value> {
    let actions: Vec<&Value> = agent["actions"].as_array().into_iter().flatten().collect();
    actions
        .iter()
        .find(|a| text(a, "id") == cmd.action || text(a, "name") == cmd.action)
        .copied()
        .ok_or_else(|| {
            let near = nearest(&cmd.action, actions.iter().map(|a| text(a, "id")));
            Failure::not_found(format!("{} has no action `{}`", cmd.agent, cmd.action)).hint(
                near.map_or_else(
                    || format!("miractl agent get {} lists them", cmd.agent),
                    |near| format!("did you mean `{near}`?"),
                ),
            )
        })
}
