//! Schedulers that share the shards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::registry::SCHEDULERS;
use mirastack_tests::shared::Which;
use scheduler::{Config, Owners, Place, Start};
use store::Backend;
use store::clock::{ProcessClock, SystemRandom};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::ground::{Servers, process};

const SHARDS: u16 = 16;

fn owners(backend: &Backend, name: &str) -> Owners {
    let place = Place {
        shards: Vec::new(),
        of: 0,
        start: Start::Listening,
        agents_outlive: true,
        not_requester: true,
        url_base: String::new(),
    };
    Owners::new(Config::default(), place, backend.clone(), name, SHARDS)
}

/// The words of schedulers, and when each was last seen to change.
#[derive(Default)]
struct Watched(BTreeMap<String, (u64, Instant)>);

impl Watched {
    /// What each scheduler says that it owns that has said something in the last moment.
    async fn owned(&mut self, backend: &Backend) -> Vec<BTreeSet<u16>> {
        let all = backend.registry.list(SCHEDULERS, "", 100).await;
        let mut owned = Vec::new();
        for item in all.expect("a list") {
            let now = (item.revision, Instant::now());
            let seen = self.0.entry(item.key).or_insert(now);
            if seen.0 != item.revision {
                *seen = now;
            }
            if seen.1.elapsed() < Duration::from_secs(2) {
                let word: serde_json::Value = serde_json::from_slice(&item.value).expect("JSON");
                let shards = serde_json::from_value(word["owns"].clone());
                owned.push(shards.expect("shards"));
            }
        }
        owned
    }
}

/// Waits until so many schedulers own all shards, each its equal part, and answers how long that took.
async fn shared_by(backend: &Backend, count: usize) -> Duration {
    let begun = Instant::now();
    let mut watched = Watched::default();
    loop {
        let owned = watched.owned(backend).await;
        let sizes: Vec<usize> = owned.iter().map(BTreeSet::len).filter(|n| *n > 0).collect();
        let all: BTreeSet<u16> = owned.into_iter().flatten().collect();
        let is_whole = sizes.iter().sum::<usize>() == all.len() && all.len() == usize::from(SHARDS);
        let apart = sizes
            .iter()
            .max()
            .zip(sizes.iter().min())
            .map(|(a, b)| a - b);
        if is_whole && sizes.len() == count && apart <= Some(1) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{sizes:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn schedulers_share_the_shards_and_take_over_what_the_dead_had() {
    let servers = Servers::start(Which::Kine).await;
    let clock = Arc::new(ProcessClock::start());
    let mut options = servers.options("owners", None, clock, Arc::new(SystemRandom));
    options.shards = SHARDS;
    let backend = process(&options).await;
    let stop = CancellationToken::new();
    let mut living = JoinSet::new();
    living.spawn(owners(&backend, "a").run(stop.clone()));
    shared_by(&backend, 1).await;
    let (leaves, mut dies) = (CancellationToken::new(), JoinSet::new());
    living.spawn(owners(&backend, "b").run(leaves.clone()));
    println!("shared by two after {:?}", shared_by(&backend, 2).await);
    dies.spawn(owners(&backend, "c").run(stop.clone()));
    println!("shared by three after {:?}", shared_by(&backend, 3).await);
    dies.abort_all();
    println!("one died: shared after {:?}", shared_by(&backend, 2).await);
    leaves.cancel();
    println!("one left: shared after {:?}", shared_by(&backend, 1).await);
    stop.cancel();
    while living.join_next().await.is_some() {}
    let left = backend.registry.list(SCHEDULERS, "", 100).await;
    let left: Vec<String> = left
        .expect("a list")
        .into_iter()
        .map(|item| item.key)
        .collect();
    assert_eq!(left, [format!("{SCHEDULERS}c")], "whoever leaves says so");
}
