//! The seeds that are run, each twice.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::simulation::{Verdict, simulate};

/// So many seeds are run unless `SEEDS` says otherwise.
const SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// The seeds to run: `SEED=n` that one, `SEEDS=n` the first so many.
fn seeds() -> std::ops::Range<u64> {
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(SEEDS),
    }
}

/// Runs `work` on each seed, on all cores.
pub(crate) fn on_all_cores<T: Send>(
    seeds: std::ops::Range<u64>,
    work: impl Fn(u64) -> T + Sync,
) -> BTreeMap<u64, T> {
    let next = AtomicU64::new(seeds.start);
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let results = thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..cores {
            threads.push(scope.spawn(|| {
                let mut results = Vec::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return results;
                    }
                    results.push((seed, work(seed)));
                }
            }));
        }
        let joined = threads.into_iter().map(|t| t.join());
        joined.collect::<Vec<_>>()
    });
    let results = results
        .into_iter()
        .flat_map(|r| r.expect("the seed that panicked is named above"));
    results.collect()
}

fn again(seed: u64) -> String {
    format!("SEED={seed} TRACE=1 cargo test -p mirastack-tests --test sim -- --nocapture")
}

/// What is wrong with a seed, in words.
fn complaint(seed: u64, first: &Verdict, second: &Verdict) -> Option<String> {
    if let Some(violation) = &first.violation {
        let (invariant, what) = (violation.invariant, &violation.what);
        return Some(format!(
            "seed {seed}: {invariant}: {what}\n    {}",
            again(seed)
        ));
    }
    (first != second).then(|| {
        format!(
            "seed {seed}: two runs differ: {first:?} and {second:?}\n    {}",
            again(seed)
        )
    })
}

#[test]
fn every_seed_holds_every_invariant_and_runs_the_same_twice() {
    let print = number("TRACE").is_some();
    let verdicts = on_all_cores(seeds(), |seed| {
        let named = Named(seed);
        let first = simulate(seed, print);
        let second = if print {
            first.clone()
        } else {
            simulate(seed, false)
        };
        std::mem::forget(named);
        (first, second)
    });
    let complaints = verdicts
        .iter()
        .filter_map(|(seed, (first, second))| complaint(*seed, first, second));
    let complaints: Vec<String> = complaints.collect();
    let of = |count: fn(&Verdict) -> u64| {
        verdicts
            .values()
            .map(|(first, _)| count(first))
            .sum::<u64>()
    };
    let (runs, records, lines) = (
        of(|v| v.runs as u64),
        of(|v| v.records as u64),
        of(|v| v.lines),
    );
    println!(
        "{} seeds, {runs} runs, {records} records, {lines} calls and changes, each twice",
        verdicts.len()
    );
    let shown = complaints
        .iter()
        .take(10)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        complaints.is_empty(),
        "{} of {} seeds:\n{shown}",
        complaints.len(),
        verdicts.len()
    );
}

/// Names its seed when it is dropped by a panic.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        eprintln!("seed {} panicked:\n    {}", self.0, again(self.0));
    }
}
