//! The seeds that are run, each twice, or with `ONCE=1` once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::simulation::{Verdict, simulate};

/// So many seeds are run unless `SEEDS` says otherwise.
const SEEDS: u64 = 200;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// The seeds to run: `SEED=n` that one, `SEEDS=n` so many, from 0 or from `FROM=n` on.
fn seeds() -> std::ops::Range<u64> {
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let from = number("FROM").unwrap_or(0);
            from..from + number("SEEDS").unwrap_or(SEEDS)
        }
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
    format!(
        "SEED={seed} TRACE=1 cargo test -p mirastack-tests --test sim every_seed -- --nocapture"
    )
}

/// What many seeds have come to, told while they run.
#[derive(Default)]
struct Tally {
    of: u64,
    seeds: u64,
    runs: usize,
    records: usize,
    lines: u64,
    restored: u64,
    complaints: Vec<String>,
}

impl Tally {
    fn add(&mut self, verdict: &Verdict, complaint: Option<String>) {
        self.seeds += 1;
        self.runs += verdict.runs;
        self.records += verdict.records;
        self.lines += verdict.lines;
        self.restored += verdict.restored;
        if let Some(complaint) = complaint {
            eprintln!("{complaint}");
            self.complaints.push(complaint);
        }
        if self.seeds.is_multiple_of(self.of.div_ceil(50).max(200)) {
            eprintln!("of {} seeds: {self}", self.of);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} bad, {} runs, {} records, {} calls and changes, {} restored backups",
            self.seeds,
            self.complaints.len(),
            self.runs,
            self.records,
            self.lines,
            self.restored
        )
    }
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
    let once = print || number("ONCE").is_some();
    let seeds = seeds();
    let tally = Mutex::new(Tally {
        of: seeds.end - seeds.start,
        ..Tally::default()
    });
    on_all_cores(seeds, |seed| {
        let named = Named(seed);
        #[cfg(planted)]
        crate::planted::plant_named();
        let first = simulate(seed, print);
        let second = if once {
            first.clone()
        } else {
            simulate(seed, false)
        };
        std::mem::forget(named);
        let complaint = complaint(seed, &first, &second);
        let mut tally = tally.lock().expect("nobody panics with it");
        tally.add(&first, complaint);
    });
    let tally = tally.into_inner().expect("nobody panicked with it");
    println!("{}, each {}", tally, if once { "once" } else { "twice" });
    let (bad, shown) = (tally.complaints.len(), &tally.complaints);
    let shown = shown.iter().take(10).cloned().collect::<Vec<_>>();
    assert!(
        bad == 0,
        "{bad} of {} seeds:\n{}",
        tally.seeds,
        shown.join("\n")
    );
}

/// Names its seed when it is dropped by a panic.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        eprintln!("seed {} panicked:\n    {}", self.0, again(self.0));
    }
}
