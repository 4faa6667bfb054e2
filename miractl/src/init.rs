//! `miractl init`: an example to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::Args;

use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};

/// Write an example workflow to start from
///
/// The example uses the agent `demo`, which needs no other server. An existing file is never
/// overwritten.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl init
  miractl init workflows/first.mira.yaml")]
pub(crate) struct Cmd {
    /// Where to write it
    #[arg(value_name = "FILE", default_value = "my-first.mira.yaml")]
    file: PathBuf,
}

/// The example; it runs as it stands.
const EXAMPLE: &str = "\
# Save it:     miractl apply -f my-first.mira.yaml
# Start it:    miractl workflow run my-first --input who=you --wait
# Approve it:  miractl approval approve @last:my-first      (in another terminal)
workflow: my-first
description: Reads a value, and writes a greeting once somebody agrees.
inputs:
  who: { type: string, default: world }
steps:
  - id: before
    uses: demo/read                 # READ: runs at once
    with: { key: greeting }
  - id: greet
    uses: demo/change               # MODIFY: stops until somebody approves it
    with: { key: greeting, value: \"Hello, ${{ inputs.who }}!\" }
outputs:
  greeting: ${{ steps.greet.output.value }}
  changes: ${{ steps.greet.output.changes - steps.before.output.changes }}
";

/// Does what was asked.
pub(crate) fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    let shown = cmd.file.display();
    if let Some(folder) = cmd.file.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|e| Failure::usage(format!("{}: {e}", folder.display())))?;
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&cmd.file);
    let mut file = made.map_err(|error| {
        if error.kind() == ErrorKind::AlreadyExists {
            return Failure::new(
                Exit::Conflict,
                format!("{shown} exists and is left as it is"),
            )
            .hint("name another file: miractl init FILE");
        }
        Failure::usage(format!("{shown}: {error}"))
    })?;
    let text = EXAMPLE.replace("my-first.mira.yaml", &shown.to_string());
    file.write_all(text.as_bytes())
        .map_err(|e| Failure::usage(format!("{shown}: {e}")))?;
    ctx.out.data(&shown.to_string())?;
    ctx.out.say("An example is written. Next:");
    ctx.out.next(&[
        format!("miractl workflow validate -f {shown}"),
        format!("miractl apply -f {shown}"),
        "miractl workflow run my-first --input who=you --wait".to_owned(),
        "miractl approval approve @last:my-first      (in another terminal)".to_owned(),
    ]);
    Ok(Exit::Ok)
}
