//! `loadtest`: how fast and how lossless a Mirastack server runs workflows, seen from outside.
//!
//! It is a process of its own and speaks HTTP only: it shares neither memory nor code with the server, so that it
//! measures what a client gets. Start reading in `plan`, which lists what is measured.

mod api;
mod args;
mod dev;
mod drive;
mod memory;
mod plan;
mod report;
mod workflows;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::Context as _;
use clap::Parser as _;

use api::{Api, ApiKey};
use args::{Args, Command, Form, Run};
use dev::Dev;
use drive::Server;
use report::Report;

fn main() -> ExitCode {
    let Command::Run(run) = Args::parse().command;
    match measured(&run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures and prints; answers whether every request and every run succeeded.
fn measured(run: &Run) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("no threads")?;
    let report = runtime.block_on(measure(run))?;
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
        let (server, key) = given(run)?;
        return load(run, &server, key, None).await;
    };
    let dev = Dev::start(program, run.folder.as_deref()).await?;
    let (server, key) = dev.bootstrap()?;
    let report = load(run, &server, key, Some(dev.pid())).await;
    // Stopped in any case; what went wrong first is what is told.
    let stopped = dev.stop().await;
    let report = report?;
    stopped?;
    Ok(report)
}

/// The server and the key that the command line names.
fn given(run: &Run) -> anyhow::Result<(String, ApiKey)> {
    let id = run.key_id.clone().context("--key-id is missing")?;
    let file = run
        .secret_file
        .as_ref()
        .context("--secret-file is missing")?;
    let secret = std::fs::read_to_string(file)
        .with_context(|| format!("reading --secret-file {}", file.display()))?;
    let key = ApiKey {
        api_key_id: id,
        api_secret: secret.trim().to_owned(),
    };
    Ok((run.server.clone(), key))
}

/// What is wrong with the runs: of those that were asked for, each is one, and there are no others.
fn miscounted(mut ids: Vec<String>, listed: u64) -> Option<String> {
    let asked = ids.len();
    ids.sort_unstable();
    ids.dedup();
    let one_each = ids.len() == asked && listed == u64::try_from(asked).unwrap_or(u64::MAX);
    (!one_each).then(|| {
        format!(
            "{asked} runs were asked for: {} ids were answered, and the server lists {listed}",
            ids.len()
        )
    })
}

async fn load(run: &Run, server: &str, key: ApiKey, pid: Option<u32>) -> anyhow::Result<Report> {
    let api = Api::login(server, key).await?;
    let hook = api.hook(workflows::HOOK, &workflows::hook()).await?;
    let mut before = 0;
    for (name, document) in workflows::all() {
        api.save(name, &document).await?;
        before += api.count(name).await?;
    }
    let server = Arc::new(Server {
        api,
        hook,
        // Another load may have left its alerts here: none of them may come again.
        alerts: AtomicU64::new(jiff::Timestamp::now().as_microsecond().unsigned_abs()),
    });
    let idle = pid.map(memory::read).transpose()?;
    let mut report = Report::default();
    let mut ids = Vec::new();
    for scenario in plan::SCENARIOS {
        eprintln!("loadtest: {} …", scenario.title());
        ids.extend(
            drive::drive(&server, scenario, run.warm_up())
                .await
                .warm()?,
        );
        let mut tally = drive::drive(&server, scenario, run.budget()).await;
        ids.append(&mut tally.runs);
        report.add(scenario, tally);
        if !report.is_lossless() {
            // The figures after a loss would be those of another load.
            break;
        }
    }
    let after = pid.map(memory::read).transpose()?;
    if report.is_lossless() {
        let mut now = 0;
        for (name, _) in workflows::all() {
            now += server.api.count(name).await?;
        }
        if let Some(wrong) = miscounted(ids, now.saturating_sub(before)) {
            report.fail(wrong);
        }
    }
    report.memory = idle.zip(after).map(|(idle, after)| report::Memory {
        idle_kib: idle.now_kib,
        after_kib: after.now_kib,
        peak_kib: after.peak_kib,
    });
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::miscounted;

    #[test]
    fn a_run_that_is_missing_doubled_or_foreign_is_told() {
        let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
        assert_eq!(miscounted(ids(&["a", "b"]), 2), None);
        assert!(miscounted(ids(&["a", "b"]), 1).is_some(), "one was lost");
        assert!(miscounted(ids(&["a", "b"]), 3).is_some(), "one was doubled");
        assert!(
            miscounted(ids(&["a", "a"]), 2).is_some(),
            "one answered for two"
        );
    }
}
