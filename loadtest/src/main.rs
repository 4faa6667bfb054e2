//! `loadtest`: how fast and how lossless a Mirastack server runs workflows, seen from outside.
//!
//! It is a process of its own and speaks HTTP only: it shares neither memory nor code with the server, so that it
//! measures what a client gets. Start reading in `plan`, which lists what is measured, and in `gate`, which says what
//! must hold.

mod api;
mod args;
mod drive;
mod floor;
mod gate;
mod load;
mod memory;
mod own;
mod plan;
mod report;
mod rest;
mod retention;
mod workflows;

use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use api::ApiKey;
use args::{Args, Command, Form, Run};
use load::Load;
use own::{Kind, Own};
use report::Report;

fn main() -> ExitCode {
    match told(Args::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Does what it is told; answers whether all went well.
fn told(command: Command) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads")?;
    // The floor serves until it is told to end; everything else was cut off then.
    let is_done = matches!(command, Command::Floor(_));
    runtime.block_on(async {
        tokio::select! { biased;
            listened = interrupted() => match listened {
                Ok(()) if is_done => Ok(true),
                listened => listened.and(Err(anyhow!("interrupted"))),
            },
            done = carry_out(command) => done,
        }
    })
}

async fn carry_out(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Run(run) => print_run(&run, &measure(&run).await?),
        Command::Floor(floor) => floor::serve(&floor).await.map(|()| true),
        Command::Gate(gate) => gate::gate(&gate).await,
        Command::Rest(rest) => {
            print!("{}", rest::rest(&rest).await?.table());
            Ok(true)
        }
        Command::Retention(told) => {
            print!("{}", retention::retention(&told).await?);
            Ok(true)
        }
    }
}

/// Waits for Ctrl-C, SIGTERM or the end of the terminal: whoever dies of one leaves its server behind.
async fn interrupted() -> anyhow::Result<()> {
    let on = |kind| signal(kind).context("listening to signals");
    let mut int = on(SignalKind::interrupt())?;
    let mut term = on(SignalKind::terminate())?;
    let mut hup = on(SignalKind::hangup())?;
    tokio::select! { biased;
        _ = int.recv() => {}
        _ = term.recv() => {}
        _ = hup.recv() => {}
    }
    Ok(())
}

fn print_run(run: &Run, report: &Report) -> anyhow::Result<bool> {
    match run.output {
        Form::Table => print!("{}", report.table()),
        Form::Json => println!("{}", report.json()?),
    }
    for line in report.failures() {
        eprintln!("loadtest: {line}");
    }
    Ok(report.is_lossless())
}

async fn measure(run: &Run) -> anyhow::Result<Report> {
    let Some(program) = &run.dev else {
        return load(run, &run.server, given(run)?, None).await;
    };
    let dev = Own::start(Kind::Dev(program), own::folder(run.folder.as_deref())?).await?;
    let report = load(run, &dev.http, dev.key()?, Some(dev.pid())).await;
    // Stopped in any case; what went wrong first is what is told.
    let stopped = dev.stop().await;
    let report = report?;
    stopped?;
    Ok(report)
}

/// The key that the command line names.
fn given(run: &Run) -> anyhow::Result<ApiKey> {
    let id = run.key_id.clone().context("--key-id is missing")?;
    let file = run
        .secret_file
        .as_ref()
        .context("--secret-file is missing")?;
    let secret = std::fs::read_to_string(file)
        .with_context(|| format!("reading --secret-file {}", file.display()))?;
    Ok(ApiKey {
        api_key_id: id,
        api_secret: secret.trim().to_owned(),
    })
}

async fn load(run: &Run, server: &str, key: ApiKey, pid: Option<u32>) -> anyhow::Result<Report> {
    let mut load = Load::prepare(server, key, None).await?;
    let idle = pid.map(memory::read).transpose()?;
    let mut report = Report::default();
    for scenario in plan::scenarios(run.rate) {
        eprintln!("loadtest: {} …", scenario.title());
        let tally = load.measure(&scenario, run.warm_up(), run.budget()).await?;
        report.add(&scenario, tally);
        if !report.is_lossless() {
            // The figures after a loss would be those of another load.
            break;
        }
    }
    let after = pid.map(memory::read).transpose()?;
    if report.is_lossless()
        && let Some(wrong) = load.miscounted().await?
    {
        report.fail(wrong);
    }
    report.memory = idle.zip(after).map(|(idle, after)| report::Memory {
        idle_kib: idle.now_kib,
        after_kib: after.now_kib,
        peak_kib: after.peak_kib,
    });
    Ok(report)
}
