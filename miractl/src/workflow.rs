//! `miractl workflow`: what is saved on the server, and starting it.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::apply::{self, Files};
use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Result};
use crate::human::age;
use crate::list::{self, Look, Paging};
use crate::model::{text, time};
use crate::output::Format;
use crate::paint::Tone;
use crate::table::{Cell, cell};
use crate::{validate, workflow_run};

/// Save, look at and start workflows
#[derive(Debug, Subcommand)]
pub(crate) enum Cmd {
    List(ListCmd),
    Get(GetCmd),
    Apply(ApplyCmd),
    Validate(ValidateCmd),
    Run(workflow_run::Cmd),
    Delete(DeleteCmd),
}

/// List the saved workflows
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_long_help = "\
Examples:
  miractl workflow list
  miractl workflow list --all -o name"
)]
pub(crate) struct ListCmd {
    #[command(flatten)]
    paging: Paging,
}

/// Show a workflow as it was saved
///
/// Prints the saved text byte for byte; -o json prints what the server knows about it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl workflow get silence-noisy-alert
  miractl workflow get silence-noisy-alert --revision 3 > old.mira.yaml")]
pub(crate) struct GetCmd {
    /// The workflow's name
    name: String,
    /// An older revision instead of the newest
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
}

/// Save workflows from files
///
/// Says for each whether it was created, updated or unchanged, and its revision. Every error of a
/// document is shown at once, with its line. Hooks in the same files are refused here: `miractl
/// apply` takes all kinds.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl workflow apply -f silence.mira.yaml
  miractl workflow apply -f workflows/
  generate | miractl workflow apply -f -")]
pub(crate) struct ApplyCmd {
    #[command(flatten)]
    files: Files,
}

/// Check workflows without saving them
///
/// The same checks as saving, for any kind of document. Shows the order of the steps, which of them
/// ask for an approval, and warnings.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl workflow validate -f silence.mira.yaml
  miractl workflow validate -f workflows/ -q && echo fine")]
pub(crate) struct ValidateCmd {
    #[command(flatten)]
    files: Files,
}

/// Delete a workflow's name
///
/// Runs of it go on: they keep the revision that they started with.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl workflow delete silence-noisy-alert
  miractl workflow delete silence-noisy-alert --yes")]
pub(crate) struct DeleteCmd {
    /// The workflow's name
    name: String,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    match cmd {
        Cmd::List(cmd) => list(ctx, cmd).await,
        Cmd::Get(cmd) => get(ctx, cmd).await,
        Cmd::Apply(cmd) => apply::files(ctx, &cmd.files, Some("workflow")).await,
        Cmd::Validate(cmd) => validate::files(ctx, &cmd.files).await,
        Cmd::Run(cmd) => workflow_run::execute(ctx, cmd).await,
        Cmd::Delete(cmd) => delete(ctx, cmd).await,
    }
}

async fn list(ctx: &Ctx, cmd: &ListCmd) -> Result<Exit> {
    let page = list::fetch(ctx.api()?, Call::get(v1(["workflows"])), cmd.paging).await?;
    let now = ctx.now();
    let row = |w: &Value| -> Vec<Cell> {
        let saved = time(w, "saved_at")
            .or_else(|| time(w, "updated_at"))
            .or_else(|| time(w, "created_at"));
        vec![
            text(w, "name").into(),
            w["revision"]
                .to_string()
                .trim_matches('"')
                .replace("null", "")
                .into(),
            text(w, "permission").into(),
            saved.map_or_else(|| cell("", Tone::Dim), |t| cell(age(t, now), Tone::Dim)),
            text(w, "description").into(),
        ]
    };
    let look = Look {
        headings: &["NAME", "REVISION", "PERMISSION", "AGE", "~DESCRIPTION"],
        row: &row,
        name: &|w| text(w, "name").to_owned(),
        empty: "No workflows yet. Write an example with `miractl init`, save it with `miractl apply -f FILE`.",
    };
    list::print(ctx, &page, &look)?;
    Ok(Exit::Ok)
}

async fn get(ctx: &Ctx, cmd: &GetCmd) -> Result<Exit> {
    let api = ctx.api()?;
    let revision = cmd.revision.map(|n| n.to_string());
    let call = || Call::get(v1(["workflows", &cmd.name])).maybe("revision", revision.clone());
    match ctx.out.format {
        Format::Json => {
            let value = api.send(call()).await.map_err(missing)?.json()?;
            ctx.out.structured(&value)?;
        }
        Format::Name => {
            api.send(call()).await.map_err(missing)?;
            ctx.out.data(&cmd.name)?;
        }
        Format::Table | Format::Yaml => {
            let saved = api
                .send(call().accepting("application/yaml"))
                .await
                .map_err(missing)?;
            ctx.out.raw(&saved.body)?;
        }
    }
    Ok(Exit::Ok)
}

async fn delete(ctx: &Ctx, cmd: &DeleteCmd) -> Result<Exit> {
    ctx.confirm(&format!("Delete the workflow {}?", cmd.name))?;
    ctx.api()?
        .send(Call::delete(v1(["workflows", &cmd.name])))
        .await
        .map_err(missing)?;
    ctx.out
        .say(&format!("workflow {} deleted; its runs go on", cmd.name));
    Ok(Exit::Ok)
}

/// Adds to a failure where the names of workflows are found.
pub(crate) fn missing(failure: Box<crate::exit::Failure>) -> Box<crate::exit::Failure> {
    if failure.exit == Exit::NotFound && failure.hint.is_none() {
        return failure.hint("`miractl workflow list` shows the names");
    }
    failure
}
