//! `mirastack`: the composition root. It puts the roles together, and nothing else: no rule of the product lives here.
//!
//! It is a library so that what it reads can be tested without a process; the program is `main.rs`. Start reading at
//! `dev.rs`, the whole system in one process.

mod agents;
mod args;
mod backup;
mod bootstrap;
mod check;
mod clock;
mod components;
mod config;
mod context;
mod descriptors;
mod dev;
mod doors;
mod environment;
mod files;
mod hello;
mod incoming;
mod log;
mod metrics;
mod roles;
mod safety;
mod settings;
mod signals;
mod supervisor;
mod tls;

use std::process::ExitCode;

use args::{Args, Verb};
use log::Form;

pub use config::effective;

/// Does what the command line says.
#[must_use]
pub fn start() -> ExitCode {
    let (form, done) = match config::parse() {
        Ok(args) => (args.form(), run(args)),
        Err(error) => (Form::Text, Err(error)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::complain(form, &error);
            ExitCode::from(args::exit_code(&error))
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    match args.verb {
        Verb::Dev(dev) => dev::run(&dev),
        Verb::Gateway(role) => roles::gateway(&role),
        Verb::Scheduler(role) => roles::scheduler(&role),
        Verb::Worker(role) => roles::worker(&role),
        Verb::Backup(args) => backup::make(&args),
        Verb::Restore(args) => backup::restore(&args),
        Verb::Version => {
            log::say(&format!("mirastack {}", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        Verb::Config(config) => {
            log::say(&config.shown);
            for line in safety::said(&config.dev) {
                log::say(&format!("# {line}"));
            }
            Ok(())
        }
        Verb::Check(args) => check::run(&args),
        Verb::Later(words) => Err(args::later(&words)),
    }
}
