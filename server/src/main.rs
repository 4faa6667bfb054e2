//! `mirastack`: the composition root. It puts the roles together, and nothing else: no rule of the product lives here.
//!
//! Start reading at `dev.rs`, the whole system in one process.

mod args;
mod bootstrap;
mod components;
mod context;
mod dev;
mod files;
mod hello;
mod log;
mod signals;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Verb};

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.verb {
        Verb::Dev(dev) => dev::run(&dev),
        Verb::Version => {
            say_version();
            Ok(())
        }
        Verb::Later(words) => Err(args::later(&words)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::complain(&error);
            ExitCode::from(args::exit_code(&error))
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the answer of a command belongs on stdout"
)]
fn say_version() {
    println!("mirastack {}", env!("CARGO_PKG_VERSION"));
}
