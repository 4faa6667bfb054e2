//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::drive::Budget;

const EXAMPLES: &str = "Examples:
  loadtest run --dev target/release/mirastack
  loadtest run --dev target/release/mirastack --folder /var/tmp --seconds 30 -o json
  loadtest run --dev target/release/mirastack --rate 500
  loadtest gate --dev target/release/mirastack --folder /var/tmp
  loadtest rest --dev target/release/mirastack --runs 1000000 --restart
  loadtest retention --dev target/release/mirastack --folder /var/tmp
  loadtest run --server http://127.0.0.1:8080 --key-id ID --secret-file secret.txt

Exit code: 0 when every request and every run succeeded (and the gate holds), 1 when not, 2 for a wrong command line.";

/// Measures a Mirastack server over HTTP, as one of its clients.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What `loadtest` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Save the hook loadtest and workflows whose names begin with loadtest-, run them, and print what was measured.
    ///
    /// They use the agent `demo`. The load is a closed loop: the next run starts when one has ended; with --rate it is
    /// an open one.
    #[command(after_help = EXAMPLES)]
    Run(Run),
    /// Compare the product with the floor in one run, and end with 1 where it is too far from it.
    ///
    /// The floor is the least that a durable run needs: HTTP in, one queue hop, one call of the agent `demo` for each
    /// step, rows durable by group commit. Both are started here, and driven in turn by the same generator.
    Gate(Gate),
    /// Make runs that wait, half of them for a time and half for a person, and print what they cost meanwhile.
    Rest(Rest),
    /// Time requests while ended runs are removed, and without, and print both.
    ///
    /// It takes some minutes more than ten: a server removes what is over its retention ten minutes after its end at the
    /// earliest.
    Retention(Retention),
    /// Serve as the floor: the bare server that `gate` compares with.
    Floor(Floor),
}

/// What `loadtest gate` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Gate {
    /// The `mirastack` to start, with its agents beside it.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) dev: PathBuf,

    /// Where the fresh folders are made: name a real disk.
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,

    /// How long each scenario is measured, in seconds; each three times.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,

    /// How many runs wait.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) waiting: u64,

    /// Let every call of the product's agent wait so many milliseconds in the agent, to see that the gate notices.
    /// 0 goes the same way and does not wait.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub(crate) agent_ms: Option<u64>,
}

impl Gate {
    /// How much of a scenario is measured.
    pub(crate) fn budget(&self) -> Budget {
        Budget::Time(Duration::from_secs(self.seconds))
    }

    /// How much of it goes before.
    pub(crate) fn warm_up(&self) -> Budget {
        Budget::Time(Duration::from_secs(1))
    }
}

/// What `loadtest rest` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Rest {
    /// The `mirastack` to start.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) dev: PathBuf,

    /// Where the fresh folder is made: name a real disk.
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,

    /// How many runs wait.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) runs: u64,

    /// Stop the server, start it again, and print how long that takes.
    #[arg(long)]
    pub(crate) restart: bool,
}

/// What `loadtest retention` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Retention {
    /// The `mirastack` to start.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) dev: PathBuf,

    /// Where the fresh folder is made: name a real disk.
    #[arg(long, value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,

    /// How many runs have ended.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) runs: u64,

    /// How many of them are kept.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) keep_runs: u64,

    /// How many runs are asked for in a second.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,

    /// How long it is measured before and after, in seconds.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,
}

/// What `loadtest floor` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Floor {
    /// The agent `demo`.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) agent: PathBuf,

    /// Where it keeps its rows.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// Where it listens; 0 is a free port, which it prints.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) http: String,
}

/// What `loadtest run` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The server, an http:// address.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,

    /// The id of an API key that may save and run workflows.
    #[arg(long, value_name = "ID", required_unless_present = "dev")]
    pub(crate) key_id: Option<String>,

    /// The file with the secret of that key.
    #[arg(long, value_name = "FILE", required_unless_present = "dev")]
    pub(crate) secret_file: Option<PathBuf>,

    /// Start this `mirastack` with `dev` on free ports and in a fresh folder, and stop it at the end.
    #[arg(long, value_name = "PROGRAM", conflicts_with_all = ["server", "key_id", "secret_file"])]
    pub(crate) dev: Option<PathBuf>,

    /// Where the fresh folder of `--dev` is made. Where this is a memory disk, an fsync costs nothing: name a real
    /// disk. Default: the system's folder for temporary files.
    #[arg(long, value_name = "DIR", requires = "dev")]
    pub(crate) folder: Option<PathBuf>,

    /// How long each scenario is measured, in seconds.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seconds: u64,

    /// Measure this many runs per scenario instead.
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) runs: Option<u64>,

    /// Send so many runs a second instead of waiting for the last one: an open loop, in which a run's time begins when
    /// it was due.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: Option<u32>,

    /// How long each scenario runs before it is measured, in seconds.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) warm_up_seconds: u64,

    /// How the figures are printed.
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    pub(crate) output: Form,
}

impl Run {
    /// How much of a scenario is measured.
    pub(crate) fn budget(&self) -> Budget {
        match self.runs {
            Some(runs) => Budget::Runs(runs),
            None => Budget::Time(Duration::from_secs(self.seconds)),
        }
    }

    /// How much of it goes before.
    pub(crate) fn warm_up(&self) -> Budget {
        Budget::Time(Duration::from_secs(self.warm_up_seconds))
    }
}

/// How figures are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Table,
    /// For programs: one JSON object.
    Json,
}

#[cfg(test)]
mod tests {
    use super::{Args, Command};
    use crate::drive::Budget;
    use clap::{CommandFactory as _, Parser as _};
    use std::time::Duration;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_server_needs_its_key_and_dev_needs_none() {
        assert!(Args::try_parse_from(["loadtest", "run"]).is_err());
        assert!(Args::try_parse_from(["loadtest", "run", "--dev", "mirastack"]).is_ok());
        let key = ["--key-id", "a", "--secret-file", "b"];
        assert!(Args::try_parse_from(["loadtest", "run"].iter().chain(&key)).is_ok());
        let both = ["loadtest", "run", "--dev", "mirastack"];
        assert!(Args::try_parse_from(both.iter().chain(&key)).is_err());
    }

    #[test]
    fn a_number_of_runs_takes_the_place_of_the_time() {
        let budget = |more: &[&str]| {
            let args = ["loadtest", "run", "--dev", "mirastack"];
            let parsed = Args::try_parse_from(args.iter().chain(more)).expect("a command line");
            let Command::Run(run) = parsed.command else {
                panic!("another command")
            };
            run.budget()
        };
        assert_eq!(budget(&[]), Budget::Time(Duration::from_secs(10)));
        assert_eq!(budget(&["--runs", "7"]), Budget::Runs(7));
    }
}
