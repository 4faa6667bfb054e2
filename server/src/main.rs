//! `mirastack`: the composition root. It puts the roles together, and nothing else: no rule of the product lives here.
//!
//! Start reading at `dev.rs`, the whole system in one process.

mod agents;
mod args;
mod backup;
mod bootstrap;
mod clock;
mod components;
mod config;
mod context;
mod descriptors;
mod dev;
mod doors;
mod files;
mod hello;
mod incoming;
mod log;
mod safety;
mod signals;
mod tls;

use std::process::ExitCode;

use args::{Args, Verb};
use mimalloc::MiMalloc;

/// A run is made of many small things that one thread makes and another lets go. The system's allocator has its threads
/// wait for each other over that: with it, a run of one step takes a fifth more of a processor.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match config::parse().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::complain(&error);
            ExitCode::from(args::exit_code(&error))
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    match args.verb {
        Verb::Dev(dev) => dev::run(&dev),
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
        Verb::Later(words) => Err(args::later(&words)),
    }
}
