//! How fast the embedded store is on this machine, fsync included.
//!
//! `cargo run --release -p store --example bench -- [--dir DIR] [--seconds N] [--inline] [CALLERS…]`
//!
//! With `--inline` one thread stores in memory instead, without disk and queue: what a run costs the processor.
//!
//! Each caller makes one-step runs, one after the other: a creation and two appends, each durable before the next. Told
//! are runs a second, the latency of single appends, the processor time of the committing thread for each run, and how
//! long the write-ahead log became.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use engine::event::RunStatus;
use engine::id::{Shard, StepNo};
use hdrhistogram::Histogram;
use store::clock::{Clock, ProcessClock, Random, SystemRandom};
use store::conformance::sample::{Birth, Sample};
use store::{Backend, Embedded, Options, Place};
use tokio::task::JoinSet;
use tokio::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plan = Plan::from_args()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    if plan.inline {
        return runtime.block_on(inline(plan.seconds));
    }
    println!(
        "callers    runs/s  appends/s   append p50      p99     p99.9      max   commit CPU/run   log"
    );
    for callers in &plan.callers {
        let dir = plan
            .dir
            .join(format!("bench-{}-{callers}", std::process::id()));
        runtime.block_on(measure(&dir, *callers, plan.seconds))?;
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

struct Plan {
    dir: PathBuf,
    seconds: u64,
    inline: bool,
    callers: Vec<usize>,
}

impl Plan {
    fn from_args() -> Result<Self, Box<dyn std::error::Error>> {
        let mut plan = Self {
            dir: std::env::temp_dir(),
            seconds: 5,
            inline: false,
            callers: Vec::new(),
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--dir" => plan.dir = args.next().ok_or("--dir takes a folder")?.into(),
                "--seconds" => {
                    plan.seconds = args.next().ok_or("--seconds takes a number")?.parse()?
                }
                "--inline" => plan.inline = true,
                number => plan.callers.push(number.parse()?),
            }
        }
        if plan.callers.is_empty() {
            plan.callers = vec![1, 20, 200];
        }
        Ok(plan)
    }
}

async fn measure(
    dir: &Path,
    callers: usize,
    seconds: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let (backend, handle) = Embedded::open(dir, Options::default())?;
    let done = Arc::new(AtomicU64::new(0));
    let before = commit_cpu();
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (backend, done) = (backend.clone(), Arc::clone(&done));
        tasks.spawn(async move { make_runs(&backend, end, &done).await });
    }
    let log = tasks.spawn(watch_log(dir.join("mirastack.db-wal"), end));
    let mut latency = Histogram::<u64>::new(3)?;
    while let Some(part) = tasks.join_next().await {
        latency.add(part??)?;
    }
    drop(log);
    let took = start.elapsed().as_secs_f64();
    let runs = done.load(Ordering::Relaxed);
    let us = |quantile| latency.value_at_quantile(quantile) as f64 / 1_000.0;
    println!(
        "{callers:7} {:9.0} {:10.0} {:9.0} µs {:5.0} µs {:6.0} µs {:6.1} ms {:13.1} µs {:6.1} MiB",
        runs as f64 / took,
        3.0 * runs as f64 / took,
        us(0.5),
        us(0.99),
        us(0.999),
        latency.max() as f64 / 1e6,
        (commit_cpu() - before) * 1e6 / runs as f64,
        longest_log() as f64 / (1024.0 * 1024.0),
    );
    handle.close();
    Ok(())
}

async fn inline(seconds: u64) -> Result<(), Box<dyn std::error::Error>> {
    let (backend, _handle) = Embedded::inline(Place::Memory, Options::default())?;
    let cpu = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut runs, mut ns) = (0, 0);
    while Instant::now() < end {
        let some: Vec<Sample> = (0..100).map(|_| sample()).collect();
        let before = cpu();
        for (record, events) in some.iter().flat_map(|run| &run.records) {
            backend.journal.append(record, events).await?;
        }
        let after = cpu();
        ns += (after.tv_sec - before.tv_sec) * 1_000_000_000 + after.tv_nsec - before.tv_nsec;
        runs += 100;
    }
    println!(
        "{runs} runs, {:.1} µs of processor time each",
        ns as f64 / 1e3 / runs as f64
    );
    Ok(())
}

type Latency = Result<Histogram<u64>, String>;

async fn make_runs(backend: &Backend, end: Instant, done: &AtomicU64) -> Latency {
    let mut latency = Histogram::new(3).map_err(|e| e.to_string())?;
    while Instant::now() < end {
        let run = sample();
        for (record, events) in &run.records {
            let asked = Instant::now();
            let appended = backend.journal.append(record, events).await;
            appended.map_err(|e| e.to_string())?;
            let ns = u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
            latency.record(ns).map_err(|e| e.to_string())?;
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(latency)
}

/// A one-step run as the owner writes it: created, taken up and dispatched, ended. About 300 bytes a record.
fn sample() -> Sample {
    let random = SystemRandom;
    let birth = Birth {
        at: ProcessClock::start().now(),
        number: random.bits(),
        shard: Shard(u16::try_from(random.bits() % 4).unwrap_or(0)),
        ..Birth::number(0)
    };
    let mut run = Sample::born(&birth);
    let (step, attempt) = (StepNo(0), engine::id::Attempt(1));
    let vars = std::collections::BTreeMap::new();
    run.next(
        RunStatus::Running,
        vec![
            engine::event::Event::RunStarted { vars },
            engine::event::Event::AttemptDispatched { step, attempt },
        ],
    );
    run.end(None);
    run
}

static LONGEST_LOG: AtomicU64 = AtomicU64::new(0);

fn longest_log() -> u64 {
    LONGEST_LOG.swap(0, Ordering::Relaxed)
}

async fn watch_log(path: PathBuf, end: Instant) -> Latency {
    while Instant::now() < end {
        let length = std::fs::metadata(&path).map_or(0, |file| file.len());
        LONGEST_LOG.fetch_max(length, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Histogram::new(3).map_err(|e| e.to_string())
}

/// Processor seconds that threads called `store-commit` have used.
fn commit_cpu() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let ticks = stats
        .filter(|stat| stat.contains("(store-commit)"))
        .map(|stat| {
            let after_name = stat.rsplit(')').next().unwrap_or("");
            let field = |n: usize| {
                after_name
                    .split_whitespace()
                    .nth(n)
                    .and_then(|t| t.parse::<f64>().ok())
            };
            field(11).unwrap_or(0.0) + field(12).unwrap_or(0.0)
        });
    ticks.sum::<f64>() / 100.0
}
