//! `miractl schema`: the JSON Schema of the workflow language, for editors.

use clap::Args;

use crate::call::Call;
use crate::ctx::Ctx;
use crate::exit::{Exit, Result};
use crate::output::{Format, pretty, yaml};

/// Print the JSON Schema of workflow documents
///
/// Editors complete and check *.mira.yaml files with it.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl schema > .mirastack.schema.json

In a document, for editors that know the YAML language server:
  # yaml-language-server: $schema=.mirastack.schema.json")]
pub(crate) struct Cmd {}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, _cmd: &Cmd) -> Result<Exit> {
    let schema = ctx
        .api()?
        .send(Call::get(["schemas", "workflow.json"]).unsigned())
        .await?
        .json()?;
    match ctx.out.format {
        Format::Yaml => ctx.out.raw(yaml(&schema)?.as_bytes())?,
        Format::Table | Format::Json | Format::Name => ctx.out.data(&pretty(&schema))?,
    }
    Ok(Exit::Ok)
}
