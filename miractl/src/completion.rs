//! `miractl completion`: the script that lets a shell complete verbs and flags.

use clap::Args;
use clap_complete::Shell;

use crate::cli::command;
use crate::ctx::Ctx;
use crate::exit::{Exit, Result};

/// Print the completion script for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl completion bash > ~/.local/share/bash-completion/completions/miractl
  miractl completion zsh > \"${fpath[1]}/_miractl\"
  miractl completion fish > ~/.config/fish/completions/miractl.fish")]
pub(crate) struct Cmd {
    /// bash, zsh, fish, elvish or powershell
    #[arg(value_enum, value_name = "SHELL", hide_possible_values = true)]
    shell: Shell,
}

/// Does what was asked.
pub(crate) fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(cmd.shell, &mut command(), "miractl", &mut script);
    ctx.out.raw(&script)?;
    Ok(Exit::Ok)
}
