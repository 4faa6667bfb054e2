//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::log::Form;
use crate::settings::{Agents, Figures, Place, Retention, Servers, Telling, Tls, Web, Work};

/// An open, governed job runner for platform engineering.
#[derive(Debug, Parser)]
#[command(name = "mirastack", version, about, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

impl Args {
    /// How to write on stderr: commands that end at once write for people.
    pub(crate) fn form(&self) -> Form {
        match &self.verb {
            Verb::Dev(dev) => Form::of(&dev.telling),
            Verb::Gateway(role) => Form::of(&role.telling),
            Verb::Scheduler(role) => Form::of(&role.telling),
            Verb::Worker(role) => Form::of(&role.telling),
            Verb::Config(_)
            | Verb::Check(_)
            | Verb::Backup(_)
            | Verb::Restore(_)
            | Verb::Version
            | Verb::Later(_) => Form::Text,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run everything in this process, on an embedded store. Needs nothing installed.
    ///
    /// Prints one line `ready http=… grpc=…` on stdout when requests are answered; everything else goes to stderr.
    /// SIGTERM or Ctrl-C ends in good order, a second one at once.
    #[command(after_long_help = "\
Examples:
  mirastack dev
  mirastack dev --data /var/lib/mirastack --http 127.0.0.1:0 --grpc 127.0.0.1:0")]
    Dev(Dev),
    /// Take requests over HTTP, on servers that all roles share. Any number may run.
    ///
    /// Prints one line `ready http=…` on stdout when requests are answered.
    #[command(after_long_help = "\
Examples:
  mirastack gateway --config /etc/mirastack.yaml
  mirastack gateway --nats nats://127.0.0.1:4222 --registry http://127.0.0.1:2379 --valkey redis://127.0.0.1:6379")]
    Gateway(Gateway),
    /// Decide what is done next in each run, on servers that all roles share. Any number may run, and they share the work.
    ///
    /// Prints one line `ready` on stdout when it has begun.
    #[command(after_long_help = "\
Examples:
  mirastack scheduler --config /etc/mirastack.yaml")]
    Scheduler(Scheduler),
    /// Call agents, on servers that all roles share. Any number may run.
    ///
    /// Prints one line `ready grpc=…` on stdout when it takes jobs. SIGTERM finishes or hands back what it has in hand.
    #[command(after_long_help = "\
Examples:
  mirastack worker --config /etc/mirastack.yaml
  mirastack worker --config /etc/mirastack.yaml --grpc 10.0.0.7:50051 --agent-networks 10.0.0.0/16")]
    Worker(Worker),
    /// Print the effective configuration: each value, and where it comes from. Secrets are hidden.
    ///
    /// What is printed can be used as a file (`--config FILE`). The flags are those of all roles.
    #[command(after_long_help = "\
Examples:
  mirastack config
  mirastack config --config /etc/mirastack.yaml --http 0.0.0.0:8080")]
    Config(Config),
    /// Look at the servers that all roles share, and at the settings: what is unsafe, and what to do about it.
    ///
    /// A role looks at the same when it starts, and does not start where something is unsafe. Ends with 0, or with 1 where
    /// something is. Changes nothing, but that one key of the registry is made and removed. The flags are those of all
    /// roles; the user in --nats says as which role it looks.
    #[command(after_long_help = "\
Examples:
  mirastack check --config /etc/mirastack.yaml
  mirastack check --nats nats://worker:PASSWORD@127.0.0.1:4222")]
    Check(Check),
    /// Write everything that is stored to a new file, while the server runs or not.
    ///
    /// The root key and bootstrap.json are not in it: keep them elsewhere.
    #[command(after_long_help = "\
Examples:
  mirastack backup /backups/mirastack-$(date +%F)
  mirastack backup --data /var/lib/mirastack monday.backup")]
    Backup(BackUp),
    /// Make a backup the data of an empty folder.
    ///
    /// Runs that were open are parked until somebody lets them go on (`miractl run resume`). A MODIFY or ADMIN step that
    /// may have been done after the backup is looked up, or put to a person as in doubt, before it is done.
    #[command(after_long_help = "\
Examples:
  mirastack restore --data /var/lib/mirastack-restored monday.backup")]
    Restore(Restore),
    /// Print the version.
    Version,
    #[command(external_subcommand)]
    Later(Vec<String>),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Config {
    #[command(flatten)]
    pub(crate) dev: Dev,

    #[command(flatten)]
    pub(crate) servers: Servers,

    #[command(flatten)]
    pub(crate) work: Work,

    #[command(flatten)]
    pub(crate) figures: Figures,

    /// What is printed.
    #[arg(skip)]
    pub(crate) shown: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) dev: Dev,

    #[command(flatten)]
    pub(crate) servers: Servers,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Dev {
    #[command(flatten)]
    pub(crate) place: Place,

    #[command(flatten)]
    pub(crate) web: Web,

    #[command(flatten)]
    pub(crate) agents: Agents,

    #[command(flatten)]
    pub(crate) tls: Tls,

    #[command(flatten)]
    pub(crate) retention: Retention,

    #[command(flatten)]
    pub(crate) telling: Telling,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Gateway {
    #[command(flatten)]
    pub(crate) place: Place,

    #[command(flatten)]
    pub(crate) servers: Servers,

    #[command(flatten)]
    pub(crate) web: Web,

    #[command(flatten)]
    pub(crate) tls: Tls,

    #[command(flatten)]
    pub(crate) telling: Telling,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Scheduler {
    #[command(flatten)]
    pub(crate) place: Place,

    #[command(flatten)]
    pub(crate) servers: Servers,

    #[command(flatten)]
    pub(crate) figures: Figures,

    #[command(flatten)]
    pub(crate) retention: Retention,

    #[command(flatten)]
    pub(crate) telling: Telling,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Worker {
    #[command(flatten)]
    pub(crate) place: Place,

    #[command(flatten)]
    pub(crate) servers: Servers,

    #[command(flatten)]
    pub(crate) work: Work,

    #[command(flatten)]
    pub(crate) figures: Figures,

    #[command(flatten)]
    pub(crate) agents: Agents,

    #[command(flatten)]
    pub(crate) tls: Tls,

    #[command(flatten)]
    pub(crate) telling: Telling,
}

#[derive(Debug, clap::Args)]
pub(crate) struct BackUp {
    /// The file to write; it must not exist.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The folder of the data. Default: ~/.local/share/mirastack/dev
    #[arg(long, value_name = "DIR", env = "MIRASTACK_DATA")]
    pub(crate) data: Option<PathBuf>,

    /// A file with settings, as `mirastack dev` takes it: here it says where the data is.
    #[arg(long, value_name = "FILE", env = "MIRASTACK_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// A file that `mirastack backup` has written.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The folder to restore into: empty, but for root.key perhaps, or not there yet. Default:
    /// ~/.local/share/mirastack/dev
    #[arg(long, value_name = "DIR", env = "MIRASTACK_DATA")]
    pub(crate) data: Option<PathBuf>,

    /// A file with settings, as `mirastack dev` takes it: here it says where the data is.
    #[arg(long, value_name = "FILE", env = "MIRASTACK_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// Verbs of the contract that come later.
const LATER: &[&str] = &["export", "import"];

/// A mistake of whoever typed the command.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

pub(crate) fn later(words: &[String]) -> anyhow::Error {
    let word = words.first().map_or("", String::as_str);
    let message = if LATER.contains(&word) {
        format!(
            "{word}: not supported in this version; `mirastack dev` runs everything in one process"
        )
    } else {
        format!("{word}: there is no such command; `mirastack --help` shows those there are")
    };
    Usage(message).into()
}

/// 2 for a mistake of usage, 1 for everything else.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Usage>() { 2 } else { 1 }
}
