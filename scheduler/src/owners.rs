//! Schedulers that share the shards: each says that it lives, sees who else does, and owns its share.
//!
//! A scheduler lives as long as its key in the registry changes: every [`BEAT`] it is written anew, and whoever has not
//! seen that for [`SILENT_AFTER`], by its own clock, counts it as dead. No clocks are compared, and nothing depends on
//! everybody seeing the same: two owners of a shard waste effort and corrupt nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use engine::id::Shard;
use engine::registry::SCHEDULERS;
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use store::port::{Expect, Item};
use store::{Backend, Error as StoreError};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Place, Start};
use crate::shares::{Living, shares};
use crate::{Error, Scheduler};

/// A scheduler says so often that it lives, and looks who else does.
const BEAT: Duration = Duration::from_secs(1);
/// One of which nothing was seen for so long is dead.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// A key of which nothing was seen for so long is removed by whoever sees it.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// More schedulers than this are not looked at.
const LOOKED_AT: usize = 1_000;

/// A scheduler beside others.
pub struct Owners {
    config: Config,
    place: Place,
    backend: Backend,
    name: String,
    shards: u16,
    neighbours: Neighbours,
    /// The revision of this one's own key.
    own: Option<u64>,
    owned: BTreeMap<Shard, CancellationToken>,
    /// Shards that this one cannot own, and says so.
    cannot: BTreeSet<Shard>,
    owning: JoinSet<Ended>,
}

/// What a scheduler says of itself.
#[derive(Default, Serialize, Deserialize)]
struct Word {
    /// Shards that it owns, for people.
    #[serde(default)]
    owns: BTreeSet<u16>,
    /// Shards that it cannot own.
    #[serde(default)]
    cannot: BTreeSet<u16>,
}

/// How an owner ended: by itself or asked to, or it broke.
type Ended = (Shard, Option<Result<(), Error>>);

/// The schedulers that were seen.
#[derive(Default)]
struct Neighbours(BTreeMap<String, Seen>);

struct Seen {
    revision: u64,
    at: Instant,
    cannot: BTreeSet<Shard>,
}

impl Neighbours {
    /// Takes what is in the registry now.
    fn see(&mut self, items: Vec<Item>, now: Instant) {
        let there: BTreeSet<&str> = items.iter().map(|item| item.key.as_str()).collect();
        self.0.retain(|key, _| there.contains(key.as_str()));
        for item in items {
            let known = self.0.get(&item.key);
            if known.is_some_and(|seen| seen.revision == item.revision) {
                continue;
            }
            // What it says in a newer form is not needed to count it.
            let word: Word = serde_json::from_slice(&item.value).unwrap_or_default();
            let seen = Seen {
                revision: item.revision,
                at: now,
                cannot: word.cannot.into_iter().map(Shard).collect(),
            };
            self.0.insert(item.key, seen);
        }
    }

    fn living(&self, now: Instant) -> Living {
        let lives = |seen: &Seen| now < seen.at + SILENT_AFTER;
        let living = self.0.iter().filter(|(_, seen)| lives(seen));
        living
            .map(|(key, seen)| (key.clone(), seen.cannot.clone()))
            .collect()
    }

    fn forgotten(&self, now: Instant) -> Vec<(String, u64)> {
        let is_old = |seen: &Seen| now >= seen.at + FORGOTTEN_AFTER;
        let old = self.0.iter().filter(|(_, seen)| is_old(seen));
        old.map(|(key, seen)| (key.clone(), seen.revision))
            .collect()
    }
}

impl Owners {
    /// A scheduler of this name, which no other has that lives, over so many shards. `place.shards`, `place.of`
    /// and `place.start` do not count.
    #[must_use]
    pub fn new(config: Config, place: Place, backend: Backend, name: &str, shards: u16) -> Self {
        Self {
            config,
            place,
            backend,
            name: name.to_owned(),
            shards,
            neighbours: Neighbours::default(),
            own: None,
            owned: BTreeMap::new(),
            cannot: BTreeSet::new(),
            owning: JoinSet::new(),
        }
    }

    /// Owns its share until `stop` is cancelled; then it says that it is gone, and ends what it was appending.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! { biased;
                () = stop.cancelled() => break,
                () = self.beat() => {}
            }
            tokio::select! { biased;
                () = stop.cancelled() => break,
                () = sleep(BEAT) => {}
            }
        }
        self.end().await;
    }

    async fn beat(&mut self) {
        while let Some(ended) = self.owning.try_join_next() {
            // It was not aborted, and does not panic.
            if let Ok(ended) = ended {
                self.ended(ended);
            }
        }
        match self.look().await {
            Ok(()) => self.take_share(),
            // Whoever cannot look goes on with what it has: others may own it too by now, and that corrupts nothing.
            Err(error) => tracing::warn!(%error, "who else schedules is not known for a moment"),
        }
    }

    fn key(&self) -> String {
        format!("{SCHEDULERS}{}", self.name)
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        self.say().await?;
        let registry = Arc::clone(&self.backend.registry);
        let items = registry.list(SCHEDULERS, "", LOOKED_AT).await?;
        let now = Instant::now();
        self.neighbours.see(items, now);
        for (key, revision) in self.neighbours.forgotten(now) {
            // Another one may have removed it already.
            let _ = registry.delete(&key, revision).await;
        }
        Ok(())
    }

    /// Says that it lives.
    async fn say(&mut self) -> Result<(), StoreError> {
        let word = Word {
            owns: self.owned.keys().map(|shard| shard.0).collect(),
            cannot: self.cannot.iter().map(|shard| shard.0).collect(),
        };
        let word = serde_json::to_vec(&word).expect("plain values");
        let expect = self.own.map_or(Expect::Absent, Expect::Revision);
        match self.backend.registry.put(&self.key(), &word, expect).await {
            Ok(revision) => self.own = Some(revision),
            Err(StoreError::Conflict(_)) => {
                // Left by an earlier life of this name, or removed by somebody who has not seen it.
                let found = self.backend.registry.get(&self.key()).await?;
                self.own = found.map(|item| item.revision);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take_share(&mut self) {
        let owners = shares(self.shards, &self.neighbours.living(Instant::now()));
        let own = self.key();
        let mine: BTreeSet<Shard> = owners
            .into_iter()
            .filter(|(_, owner)| *owner == own)
            .map(|(shard, _)| shard)
            .collect();
        for (shard, stop) in &self.owned {
            if !mine.contains(shard) && !stop.is_cancelled() {
                tracing::info!(shard = shard.0, "another scheduler owns this shard now");
                stop.cancel();
            }
        }
        for shard in mine {
            // One that is being let go is taken again once that is done.
            if !self.owned.contains_key(&shard) {
                self.own(shard);
            }
        }
    }

    fn own(&mut self, shard: Shard) {
        tracing::info!(shard = shard.0, "this scheduler owns this shard now");
        let place = Place {
            shards: vec![shard],
            of: self.shards,
            start: Start::Listening,
            ..self.place.clone()
        };
        let scheduler = Scheduler::new(self.config.clone(), place, self.backend.clone());
        let stop = CancellationToken::new();
        self.owned.insert(shard, stop.clone());
        self.owning.spawn(async move {
            let owning = AssertUnwindSafe(scheduler.run(stop)).catch_unwind();
            (shard, owning.await.ok())
        });
    }

    fn ended(&mut self, (shard, outcome): Ended) {
        self.owned.remove(&shard);
        match outcome {
            Some(Ok(())) => {}
            Some(Err(error)) => {
                tracing::error!(shard = shard.0, %error, "this scheduler cannot own this shard");
                self.cannot.insert(shard);
            }
            None => tracing::error!(shard = shard.0, "an owner broke, and begins anew"),
        }
    }

    /// Says that it is gone, so that others begin at once, and waits for what is being appended.
    async fn end(mut self) {
        if let Some(revision) = self.own {
            // Where it fails, the others see it fall silent.
            let _ = self.backend.registry.delete(&self.key(), revision).await;
        }
        self.owned.values().for_each(CancellationToken::cancel);
        while self.owning.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, revision: u64) -> Item {
        let key = format!("{SCHEDULERS}{name}");
        let value = b"{}".to_vec();
        Item {
            key,
            value,
            revision,
        }
    }

    fn names(living: Living) -> Vec<String> {
        let bare = |key: String| key.trim_start_matches(SCHEDULERS).to_owned();
        living.into_keys().map(bare).collect()
    }

    #[test]
    fn who_falls_silent_is_dead_and_later_forgotten() {
        let (mut seen, begin) = (Neighbours::default(), Instant::now());
        seen.see(vec![item("a", 1), item("b", 2)], begin);
        assert_eq!(names(seen.living(begin)), ["a", "b"]);
        let later = begin + SILENT_AFTER;
        seen.see(vec![item("a", 3), item("b", 2)], later);
        assert_eq!(names(seen.living(later)), ["a"]);
        assert!(seen.forgotten(later).is_empty());
        let much_later = begin + FORGOTTEN_AFTER;
        assert_eq!(seen.forgotten(much_later), [(item("b", 2).key, 2)]);
        seen.see(vec![item("a", 4)], much_later);
        assert!(seen.forgotten(much_later).is_empty());
    }

    #[test]
    fn who_cannot_own_a_shard_says_so() {
        let mut seen = Neighbours::default();
        let mut says = item("a", 1);
        says.value = br#"{"cannot": [3], "of a newer form": 1}"#.to_vec();
        seen.see(vec![says], Instant::now());
        let living = seen.living(Instant::now());
        assert_eq!(
            living.into_values().next(),
            Some(BTreeSet::from([Shard(3)]))
        );
    }
}
