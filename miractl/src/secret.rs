//! `miractl secret`: values that go in and never come out again.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Result};
use crate::human::age;
use crate::list::{self, Look, Paging};
use crate::model::{text, time};
use crate::paint::Tone;
use crate::table::cell;

/// Secrets for workflows and hooks
#[derive(Debug, Subcommand)]
pub(crate) enum Cmd {
    Set(SetCmd),
    List(ListCmd),
    Delete(DeleteCmd),
}

/// Store a secret, or a new value of it
///
/// The value comes from a pipe, a file or a prompt, never from the command line. One newline at its
/// end is dropped. Workflows write it as ${{ secrets.NAME }}.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl secret set alerts_token
  pass show alerts | miractl secret set alerts_token
  miractl secret set alerts_token --file token.txt")]
pub(crate) struct SetCmd {
    /// The secret's name
    name: String,
    /// The file with the value; - is stdin
    #[arg(long, value_name = "FILE|-")]
    file: Option<PathBuf>,
}

/// List the names of secrets
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_long_help = "\
Examples:
  miractl secret list"
)]
pub(crate) struct ListCmd {
    #[command(flatten)]
    paging: Paging,
}

/// Delete a secret
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl secret delete alerts_token")]
pub(crate) struct DeleteCmd {
    /// The secret's name
    name: String,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    match cmd {
        Cmd::Set(cmd) => set(ctx, cmd).await,
        Cmd::List(cmd) => list(ctx, cmd).await,
        Cmd::Delete(cmd) => delete(ctx, cmd).await,
    }
}

async fn set(ctx: &Ctx, cmd: &SetCmd) -> Result<Exit> {
    let value = ctx.secret_from(cmd.file.as_deref(), &format!("Value of {}:", cmd.name))?;
    let call = Call::put(v1(["secrets", &cmd.name])).json(&json!({ "value": value.reveal() }));
    let answer = ctx.api()?.send(call).await?.json()?;
    ctx.out.thing(&answer, &cmd.name, String::new)?;
    let version = answer["version"]
        .as_u64()
        .map(|v| format!(", version {v}"))
        .unwrap_or_default();
    ctx.out.say(&format!(
        "secret {} stored{version}; write it as ${{{{ secrets.{} }}}}",
        cmd.name, cmd.name
    ));
    Ok(Exit::Ok)
}

async fn list(ctx: &Ctx, cmd: &ListCmd) -> Result<Exit> {
    let page = list::fetch(ctx.api()?, Call::get(v1(["secrets"])), cmd.paging).await?;
    let now = ctx.now();
    let look = Look {
        headings: &["NAME", "VERSION", "AGE"],
        row: &|s| {
            let at = time(s, "set_at");
            vec![
                text(s, "name").into(),
                s["version"]
                    .as_u64()
                    .map(|v| v.to_string())
                    .unwrap_or_default()
                    .into(),
                cell(at.map(|t| age(t, now)).unwrap_or_default(), Tone::Dim),
            ]
        },
        name: &|s| text(s, "name").to_owned(),
        empty: "No secrets yet. Store one: miractl secret set NAME",
    };
    list::print(ctx, &page, &look)?;
    Ok(Exit::Ok)
}

async fn delete(ctx: &Ctx, cmd: &DeleteCmd) -> Result<Exit> {
    ctx.confirm(&format!(
        "Delete the secret {}? Steps that use it fail from then on.",
        cmd.name
    ))?;
    ctx.api()?
        .send(Call::delete(v1(["secrets", &cmd.name])))
        .await?;
    ctx.out.say(&format!("secret {} deleted", cmd.name));
    Ok(Exit::Ok)
}
