//! One generator drives both backends, and what they answer is compared, operation by operation.
//!
//! `OPERATIONS=100000` makes so many, `SEED=7` others. Numbers that a backend counts by itself (revisions, sequences) are
//! kept for each side and not compared; everything else must be the same.

mod plan;
mod side;

use std::path::PathBuf;
use std::sync::Arc;

use mirastack_tests::shared::Which;
use store::clock::SystemRandom;
use store::cluster;
use store::conformance::HandClock;
use store::embedded::{Embedded, Options, Place};
use tempfile::TempDir;

use self::plan::Plan;
use self::side::Side;
use crate::ground::{SHARDS, Servers, process};

/// So many are made, unless `OPERATIONS` says otherwise.
const OPERATIONS: usize = 2_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn on_shared_servers(
    servers: &Servers,
    clock: &Arc<HandClock>,
    lists: PathBuf,
) -> cluster::Options {
    let (clock, random) = (Arc::clone(clock), Arc::new(SystemRandom));
    servers.options("twin", Some(lists), clock, random)
}

#[tokio::test(flavor = "multi_thread")]
async fn both_backends_answer_the_same_to_whatever_comes() {
    let servers = Servers::start(Which::Kine).await;
    let clock = Arc::<HandClock>::default();
    let folder = TempDir::new().expect("a folder");
    let options = Options::new(Arc::clone(&clock) as _, Arc::new(SystemRandom));
    let (embedded, _) = Embedded::inline(Place::Memory, options).expect("an empty store");
    let options = on_shared_servers(&servers, &clock, folder.path().join("lists.db"));
    let shared = process(&options).await;
    let (mut one, mut other) = (Side::new(embedded), Side::new(shared));
    let mut plan = Plan::new(number("SEED").unwrap_or(1), SHARDS, clock);
    let operations = number("OPERATIONS").and_then(|n| usize::try_from(n).ok());
    for done in 0..operations.unwrap_or(OPERATIONS) {
        let step = plan.next();
        let (ours, theirs) = (one.answer(&step).await, other.answer(&step).await);
        let same = plan.are_same(&step, &ours, &theirs);
        assert!(same, "operation {done}: {step:?}\n{ours:?}\n{theirs:?}");
        plan.learn(&step, &ours);
        if done % 5_000 == 4_999 {
            println!("{} operations are the same", done + 1);
        }
    }
    println!("{}", plan.told());
}
