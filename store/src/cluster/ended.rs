//! What a process knows of ended runs that are still in their journals: those that it ended itself, and those that it
//! found when it loaded a shard.

use std::collections::{BTreeSet, HashMap};

use engine::id::{RunKey, Shard};
use engine::time::Timestamp;

/// So many are known; more are looked for again when these are archived.
const KNOWN_MAX: usize = 100_000;
/// A run id may be created for five minutes after the time in it. Its journal stays for twice that, so that no late
/// create finds an empty place.
pub(super) const YOUNG_MS: u64 = 10 * 60 * 1_000;

#[derive(Default)]
pub(super) struct Ended {
    /// Not archived, by the time of their end.
    waiting: BTreeSet<(Timestamp, RunKey)>,
    /// When each of those ended.
    ends: HashMap<RunKey, Timestamp>,
    /// Archived or removed, by the time in the id: their journals go when the ids are old.
    leaving: BTreeSet<(Timestamp, RunKey)>,
    /// Shards of which more have ended than are known.
    more: BTreeSet<Shard>,
}

impl Ended {
    /// A run has ended then.
    pub(super) fn ended(&mut self, at: Timestamp, key: &RunKey) {
        if self.leaving.contains(&(key.run.created_at(), key.clone())) {
            return;
        }
        if self.waiting.len() < KNOWN_MAX {
            self.pass_over(key);
            self.waiting.insert((at, key.clone()));
            self.ends.insert(key.clone(), at);
        } else {
            self.more.insert(key.run.shard());
        }
    }

    /// Those that ended then or before, the oldest first.
    pub(super) fn until(&self, before: Timestamp, max: usize) -> Vec<(Timestamp, RunKey)> {
        let old = self.waiting.iter().take_while(|(at, _)| *at <= before);
        old.take(max).cloned().collect()
    }

    /// A run stays as it is, and keeps nobody back.
    pub(super) fn pass_over(&mut self, key: &RunKey) {
        if let Some(at) = self.ends.remove(key) {
            self.waiting.remove(&(at, key.clone()));
        }
    }

    /// A run is archived or removed, and its journal may go when its id is old.
    pub(super) fn leaves(&mut self, key: &RunKey) {
        self.pass_over(key);
        self.leaving.insert((key.run.created_at(), key.clone()));
    }

    /// Archived or removed runs whose ids are old by now.
    pub(super) fn old(&self, now: Timestamp, max: usize) -> Vec<RunKey> {
        let is_old = |(created, _): &&(Timestamp, RunKey)| now.millis_since(*created) >= YOUNG_MS;
        let old = self.leaving.iter().take_while(is_old).take(max);
        old.map(|(_, key)| key.clone()).collect()
    }

    /// The journal of a run is gone.
    pub(super) fn left(&mut self, key: &RunKey) {
        self.leaving.remove(&(key.run.created_at(), key.clone()));
    }

    /// The shards to look through again, once nothing of what was known waits.
    pub(super) fn take_more(&mut self) -> BTreeSet<Shard> {
        if self.waiting.is_empty() {
            return std::mem::take(&mut self.more);
        }
        BTreeSet::new()
    }
}
