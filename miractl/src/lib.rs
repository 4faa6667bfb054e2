//! `miractl`: the command line of Mirastack.
//!
//! It speaks the HTTP API and nothing else, and shares no code with the server: whatever it can do,
//! `curl` can do. It never prints a secret that it did not just create, never asks a question where
//! there is no terminal, and never cancels a run because it was interrupted itself.
//!
//! It is a library so that what it reads can be tested without a process; the program is `main.rs`.
//!
//! Start reading at `cli`, where the verbs are, each in a file of its own name; `follow` is how a run is
//! watched, `client` how a request is sent, `config` what is kept on disk, `exit` how it ends.

mod action;
mod agent;
mod agent_config;
mod apply;
mod approval;
mod ask;
mod bar;
mod call;
mod card;
mod cli;
mod client;
mod completion;
mod config;
mod context;
mod ctx;
mod document;
mod env;
mod exit;
mod follow;
mod hook;
mod human;
mod init;
mod inputs;
mod journal;
mod key;
mod later;
mod list;
mod live;
mod login;
mod model;
mod names;
mod output;
mod paint;
mod patience;
mod picture;
mod problem;
mod question;
mod receiver;
#[cfg(test)]
mod reference;
mod report;
mod result;
mod run;
mod run_get;
mod schema;
mod secret;
mod status;
mod stream;
mod table;
mod target;
mod timeline;
mod typed;
mod validate;
mod version;
mod wait;
mod whoami;
mod workflow;
mod workflow_run;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Cli;
use crate::ctx::{Ctx, InHand};
use crate::env::Env;
use crate::exit::{Exit, Failure, Result};
use crate::output::{Format, Out};

pub use typed::{inputs, kept, key, server, since, words};

/// Does what the command line says.
#[must_use]
pub fn start() -> ExitCode {
    std::panic::set_hook(Box::new(bug));
    let env = Env::read();
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(failure) => {
            report::print(&failure, &Out::new(Format::Table, false, false, &env));
            return failure.exit.into();
        }
    };
    let ctx = cli.ctx(env);
    if !ctx.out.colour_err {
        inquire::set_global_render_config(inquire::ui::RenderConfig::empty());
    }
    match execute(cli, &ctx) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            report::print(&failure, &ctx.out);
            failure.exit.into()
        }
    }
}

fn execute(cli: Cli, ctx: &Ctx) -> Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Bug, format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let asked = tokio::select! {
            biased;
            exit = signalled(ctx) => exit,
            done = cli.execute(ctx) => return done,
        };
        // The verb's future is dropped by now: nothing of it writes any more. A second signal
        // ends the goodbye too.
        tokio::select! {
            biased;
            _ = received() => {}
            () = farewell(ctx, asked) => {}
        }
        Ok(asked)
    })
}

/// Waits for SIGINT or SIGTERM, once there is something to say about them.
async fn signalled(ctx: &Ctx) -> Exit {
    ctx.has_begun().await;
    received().await
}

async fn received() -> Exit {
    let int = signal(SignalKind::interrupt());
    let (Ok(mut int), Ok(mut term)) = (int, signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        biased;
        _ = term.recv() => Exit::Terminated,
        _ = int.recv() => Exit::Interrupted,
    }
}

/// Says what goes on without us, and cancels it only if that was asked for.
async fn farewell(ctx: &Ctx, exit: Exit) {
    let word = if exit == Exit::Terminated {
        "terminated"
    } else {
        "interrupted"
    };
    match ctx.let_go() {
        InHand::Nothing => ctx.out.err(&format!("\n{word}")),
        InHand::Submitting { key } => {
            ctx.out.err(&format!(
                "\n{word} while the run was being submitted: it may exist."
            ));
            ctx.out.err(&format!(
                "The same command with --idempotency-key {key} finds it or makes it."
            ));
        }
        InHand::Following { run, cancel: false } => {
            ctx.out.err(&format!("\n{word}; the run goes on."));
            ctx.out.next(&[
                format!("miractl run watch {run}"),
                format!("miractl run cancel {run}"),
            ]);
        }
        InHand::Following { run, cancel: true } => match wait::cancel(ctx, &run, word).await {
            Ok(()) => ctx
                .out
                .err(&format!("\n{word}; run {run} is being cancelled.")),
            Err(failure) => {
                ctx.out.err(&format!(
                    "\n{word}; run {run} could not be cancelled and goes on."
                ));
                report::print(&failure, &ctx.out);
            }
        },
    }
}

/// A panic is a bug: it says so, and where to take it.
fn bug(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map(|l| format!(" at {}:{}", l.file(), l.line()))
        .unwrap_or_default();
    let what = panic.payload_as_str().unwrap_or("no message");
    let version = env!("CARGO_PKG_VERSION");
    output::note(&format!("error: bug in miractl {version}{place}: {what}"));
    output::note("hint: please report it with the command line, without secrets");
    std::process::exit(i32::from(Exit::Bug.code()));
}
