//! The command line: its verbs, its global flags, and which function each verb calls.

use std::path::PathBuf;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::ctx::Ctx;
use crate::env::Env;
use crate::exit::{Exit, Result};
use crate::output::{Format, Out};
use crate::target::Wish;
use crate::{
    action, agent, apply, approval, completion, context, hook, init, key, later, login, run,
    schema, secret, status, version, whoami, workflow,
};

const ABOUT: &str = "Run workflows, approve changes and see what happened, on a Mirastack server";

const EXAMPLES: &str = "\
Examples:
  miractl login --server https://mirastack.example
  miractl apply -f workflows/
  miractl workflow run silence-noisy-alert --input alertname=HighLatency --wait
  miractl approval list
  miractl run get @last

Runs are named by their id, by an ending of it that is unique (6 characters or
more), or by @last and @last:WORKFLOW. Wherever an approval is expected, the
name of its run will do.

Environment:
  MIRACTL_SERVER           the server, instead of the context's
  MIRACTL_TOKEN            a token, or
  MIRACTL_API_KEY_ID       an API key, together with
  MIRACTL_API_SECRET       its secret, or
  MIRACTL_API_SECRET_FILE  the file that holds it
  MIRACTL_CONTEXT          the context to use
  MIRACTL_CONFIG           the folder of config.yaml and tokens.yaml
  NO_COLOR                 no colours

Exit codes:
  0 ok                    1 run failed            2 usage, invalid document
  3 rejected              4 not authenticated     5 not found
  6 conflict              7 denied                8 waiting for an approval
  9 run cancelled        10 run timed out        11 in doubt or parked
 69 server unreachable   70 bug in miractl      124 wait timed out, run goes on
130 and 143 interrupted, the run goes on";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "miractl", version, about = ABOUT, after_long_help = EXAMPLES, max_term_width = 100)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    infer_subcommands = false
)]
pub(crate) struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

/// Flags that every verb understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    /// The context to use [default: the current one]
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// The server's address, instead of the context's
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// Trust the authorities in this PEM file, and no others
    #[arg(long, global = true, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// Do not check the server's certificate (warns)
    #[arg(long, global = true)]
    insecure: bool,
    /// The form of what is printed
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT",
        hide_possible_values = true,
        help = "The form of the output: table, json, yaml or name"
    )]
    output: Format,
    /// No colours
    #[arg(long, global = true)]
    no_color: bool,
    /// Print data and errors only
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Answer yes to every question
    #[arg(long, global = true)]
    yes: bool,
    /// Ask nothing: fail where an answer is needed
    #[arg(long, global = true)]
    no_input: bool,
    /// Show each request on stderr
    #[arg(short, long, global = true)]
    verbose: bool,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Verb {
    Status(status::Cmd),
    #[command(subcommand, visible_alias = "wf")]
    Workflow(workflow::Cmd),
    #[command(subcommand)]
    Run(run::Cmd),
    #[command(subcommand)]
    Approval(approval::Cmd),
    #[command(subcommand)]
    Action(action::Cmd),
    #[command(subcommand)]
    Agent(agent::Cmd),
    #[command(subcommand)]
    Hook(hook::Cmd),
    Apply(apply::Cmd),
    #[command(subcommand)]
    Secret(secret::Cmd),
    #[command(subcommand)]
    Key(key::Cmd),
    Init(init::Cmd),
    Login(login::Cmd),
    Whoami(whoami::Cmd),
    #[command(subcommand)]
    Config(context::Cmd),
    Schema(schema::Cmd),
    Version(version::Cmd),
    Completion(completion::Cmd),
}

/// The command line as clap knows it, with the verbs that a later version brings.
pub(crate) fn command() -> clap::Command {
    later::add(Cli::command())
}

impl Cli {
    /// Reads the process's arguments; help and usage errors end the process here.
    pub(crate) fn read() -> std::result::Result<Self, Box<crate::exit::Failure>> {
        let matches = command().get_matches();
        later::refuse(&matches)?;
        Ok(Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
    }

    /// What every verb gets.
    pub(crate) fn ctx(&self, env: Env) -> Ctx {
        let g = &self.globals;
        let out = Out::new(g.output, g.quiet, g.no_color, &env);
        let wish = Wish {
            server: g.server.clone(),
            context: g.context.clone(),
            ca_cert: g.ca_cert.clone(),
            insecure: g.insecure,
        };
        let mut ctx = Ctx::new(out, env, wish);
        ctx.yes = g.yes;
        ctx.no_input = g.no_input;
        ctx.verbose = g.verbose;
        ctx
    }

    /// Does what was asked.
    pub(crate) async fn execute(self, ctx: &Ctx) -> Result<Exit> {
        match self.verb {
            Verb::Status(cmd) => status::execute(ctx, &cmd).await,
            Verb::Workflow(cmd) => workflow::execute(ctx, &cmd).await,
            Verb::Run(cmd) => run::execute(ctx, &cmd).await,
            Verb::Approval(cmd) => approval::execute(ctx, &cmd).await,
            Verb::Action(cmd) => action::execute(ctx, &cmd).await,
            Verb::Agent(cmd) => agent::execute(ctx, &cmd).await,
            Verb::Hook(cmd) => hook::execute(ctx, &cmd).await,
            Verb::Apply(cmd) => apply::execute(ctx, &cmd).await,
            Verb::Secret(cmd) => secret::execute(ctx, &cmd).await,
            Verb::Key(cmd) => key::execute(ctx, &cmd).await,
            Verb::Init(cmd) => init::execute(ctx, &cmd),
            Verb::Login(cmd) => login::execute(ctx, &cmd).await,
            Verb::Whoami(cmd) => whoami::execute(ctx, &cmd).await,
            Verb::Config(cmd) => context::execute(ctx, &cmd),
            Verb::Schema(cmd) => schema::execute(ctx, &cmd).await,
            Verb::Version(cmd) => version::execute(ctx, &cmd).await,
            Verb::Completion(cmd) => completion::execute(ctx, &cmd),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn no_verb_has_a_flag_of_the_name_that_a_global_one_has() {
        fn walk(command: &clap::Command, globals: &[&str], taken: &mut Vec<String>) {
            for verb in command.get_subcommands() {
                let ids = verb.get_arguments().map(|arg| arg.get_id().as_str());
                let both = ids.filter(|id| globals.contains(id));
                taken.extend(both.map(|id| format!("{} {id}", verb.get_name())));
                walk(verb, globals, taken);
            }
        }
        // clap would give each the values of the other, of another type.
        let command = command();
        let globals = command.get_arguments().filter(|arg| arg.is_global_set());
        let globals: Vec<&str> = globals.map(|arg| arg.get_id().as_str()).collect();
        assert!(globals.contains(&"output"), "{globals:?}");
        let mut taken = Vec::new();
        walk(&command, &globals, &mut taken);
        assert!(taken.is_empty(), "{taken:?}");
    }

    #[test]
    fn every_verb_has_examples_in_its_long_help() {
        fn walk(command: &clap::Command, path: &str, lacking: &mut Vec<String>) {
            let path = format!("{path} {}", command.get_name());
            let mut shown = command
                .get_subcommands()
                .filter(|c| !c.is_hide_set() && c.get_name() != "help")
                .peekable();
            let help = command
                .get_after_long_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            if shown.peek().is_none() && !help.contains("Examples:\n  miractl ") {
                lacking.push(path.clone());
            }
            shown.for_each(|c| walk(c, &path, lacking));
        }
        let mut lacking = Vec::new();
        walk(&command(), "", &mut lacking);
        assert!(lacking.is_empty(), "without examples: {lacking:?}");
    }

    #[test]
    fn help_fits_eighty_columns() {
        fn walk(command: &clap::Command, wide: &mut Vec<String>) {
            let examples = command
                .get_after_long_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            wide.extend(
                examples
                    .lines()
                    .filter(|l| l.chars().count() > 80)
                    .map(str::to_owned),
            );
            command.get_subcommands().for_each(|c| walk(c, wide));
        }
        let mut wide = Vec::new();
        walk(&command(), &mut wide);
        assert!(wide.is_empty(), "{wide:#?}");
    }
}
