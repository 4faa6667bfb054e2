//! The figures that the owner shows. Never a run id in a label.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::pool::Pool;
use metrics::{Gauge, counter, gauge, histogram};

use crate::detector::Counts;

/// Attempts that are owed and that nobody was offered yet. Autoscalers read it.
const BACKLOG: &str = "mirastack_scheduler_backlog";
/// Jobs that are queued for workers.
const QUEUED: &str = "mirastack_scheduler_queued";
/// Attempts in workers' hands: slots that are busy. Autoscalers read it.
const BUSY: &str = "mirastack_scheduler_busy";
/// Runs in memory.
const RUNS: &str = "mirastack_scheduler_runs_in_memory";
/// Runs that wait for a time.
const TIMERS: &str = "mirastack_scheduler_timers";
/// Commands decided, by command and what came of it.
const DECISIONS: &str = "mirastack_scheduler_decisions_total";
/// How long a batch of one run's records took to become durable.
const APPEND: &str = "mirastack_scheduler_append_seconds";
/// Appends that the store did not take, by why.
const APPEND_FAILED: &str = "mirastack_scheduler_append_failures_total";
/// Attempts that were lost with their worker or their queue.
const LOST: &str = "mirastack_scheduler_attempts_lost_total";
/// Runs that were parked, by why.
const PARKED: &str = "mirastack_scheduler_runs_parked_total";
/// Ended runs that were archived.
const ARCHIVED: &str = "mirastack_janitor_runs_archived_total";
/// Ended runs that were removed.
const REMOVED: &str = "mirastack_janitor_runs_removed_total";

/// What one owner has shown. Several share a process, one for each shard: each adds what it has, and takes it away again
/// when it ends.
#[derive(Default)]
pub(crate) struct Shown {
    pools: BTreeMap<Pool, OfPool>,
    memory: (usize, usize),
}

/// What was shown of a pool, and where.
struct OfPool {
    counts: Counts,
    backlog: Gauge,
    queued: Gauge,
    busy: Gauge,
}

impl Shown {
    /// Shows where attempts are, and how many runs and timers there are.
    pub(crate) fn show(&mut self, counts: &BTreeMap<Pool, Counts>, memory: (usize, usize)) {
        for (pool, now) in counts {
            match self.pools.get_mut(pool) {
                Some(of_pool) => of_pool.show(*now),
                None => {
                    let mut of_pool = OfPool::of(pool);
                    of_pool.show(*now);
                    self.pools.insert(pool.clone(), of_pool);
                }
            }
        }
        if memory != self.memory {
            step(&gauge!(RUNS), self.memory.0, memory.0);
            step(&gauge!(TIMERS), self.memory.1, memory.1);
            self.memory = memory;
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.show(&BTreeMap::new(), (0, 0));
    }
}

impl OfPool {
    fn of(pool: &Pool) -> Self {
        let gauge = |name| gauge!(name, "pool" => pool.to_string());
        Self {
            counts: Counts::default(),
            backlog: gauge(BACKLOG),
            queued: gauge(QUEUED),
            busy: gauge(BUSY),
        }
    }

    fn show(&mut self, now: Counts) {
        let before = std::mem::replace(&mut self.counts, now);
        if before != now {
            step(&self.backlog, before.backlog, now.backlog);
            step(&self.queued, before.queued, now.queued);
            step(&self.busy, before.held, now.held);
        }
    }
}

impl Drop for OfPool {
    fn drop(&mut self) {
        self.show(Counts::default());
    }
}

fn step(gauge: &Gauge, before: usize, now: usize) {
    gauge.increment(as_figure(now) - as_figure(before));
}

pub(crate) fn decided(command: &'static str, came: &'static str) {
    counter!(DECISIONS, "command" => command, "came" => came).increment(1);
}

pub(crate) fn appended(took: Duration) {
    histogram!(APPEND).record(took.as_secs_f64());
}

pub(crate) fn append_failed(why: &'static str) {
    counter!(APPEND_FAILED, "why" => why).increment(1);
}

pub(crate) fn lost() {
    counter!(LOST).increment(1);
}

pub(crate) fn parked(why: &'static str) {
    counter!(PARKED, "why" => why).increment(1);
}

pub(crate) fn archived(runs: usize) {
    counter!(ARCHIVED).increment(runs as u64);
}

pub(crate) fn removed(runs: usize) {
    counter!(REMOVED).increment(runs as u64);
}

/// A figure has 52 bits; nothing counted here needs more.
#[expect(
    clippy::cast_precision_loss,
    reason = "a count of things in memory is below 2^52"
)]
fn as_figure(count: usize) -> f64 {
    count as f64
}
