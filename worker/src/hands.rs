//! What this worker has in hand, and who must be told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use engine::id::{Nonce, Shard};
use engine::job::{AttemptKey, Job};
use tokio::task::AbortHandle;

/// How far an attempt has come, as far as dropping it is concerned. Only rises.
#[derive(Debug)]
pub(crate) struct Hold {
    at: AtomicU8,
    /// What its grant is asked with, and its report names.
    pub(crate) nonce: Nonce,
}

const LOOSE: u8 = 0;
const BOUND: u8 = 1;
const TOLD: u8 = 2;

impl Hold {
    /// Nothing was begun.
    pub(crate) fn new(nonce: Nonce) -> Self {
        let at = AtomicU8::new(LOOSE);
        Self { at, nonce }
    }

    /// From now on a change may have been granted: the attempt is never dropped.
    pub(crate) fn bind(&self) {
        self.at.fetch_max(BOUND, Ordering::Relaxed);
    }

    /// From now on the attempt has an outcome, which is being told.
    pub(crate) fn tell(&self) {
        self.at.fetch_max(TOLD, Ordering::Relaxed);
    }

    /// Whether nothing was begun that cannot be taken back.
    pub(crate) fn is_loose(&self) -> bool {
        self.at.load(Ordering::Relaxed) == LOOSE
    }
}

/// One attempt in hand.
pub(crate) struct Held {
    pub(crate) job: Arc<Job>,
    pub(crate) hold: Arc<Hold>,
    pub(crate) task: AbortHandle,
}

/// All attempts in hand, by the shard whose owner must know.
pub(crate) struct Hands {
    shards: BTreeMap<Shard, Shelf>,
}

#[derive(Default)]
struct Shelf {
    held: BTreeMap<AttemptKey, Held>,
    /// The owner does not know yet all that it should.
    due: bool,
    /// It is being told; the next telling waits for its answer.
    telling: bool,
}

impl Hands {
    /// Nothing in hand; the owners of these shards hear of this worker.
    pub(crate) fn new(shards: &[Shard]) -> Self {
        Self {
            shards: shards.iter().map(|s| (*s, Shelf::default())).collect(),
        }
    }

    pub(crate) fn holds(&self, attempt: &AttemptKey) -> bool {
        let shelf = self.shards.get(&attempt.key.run.shard());
        shelf.is_some_and(|shelf| shelf.held.contains_key(attempt))
    }

    pub(crate) fn put(&mut self, attempt: AttemptKey, held: Held) {
        let shelf = self.shards.entry(attempt.key.run.shard()).or_default();
        shelf.held.insert(attempt, held);
        shelf.due = true;
    }

    pub(crate) fn remove(&mut self, attempt: &AttemptKey) -> Option<Held> {
        self.shards
            .get_mut(&attempt.key.run.shard())?
            .held
            .remove(attempt)
    }

    /// Every attempt in hand.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&AttemptKey, &Held)> {
        self.shards.values().flat_map(|shelf| &shelf.held)
    }

    /// Every owner must hear of this worker again.
    pub(crate) fn all_due(&mut self) {
        for shelf in self.shards.values_mut() {
            shelf.due = true;
        }
    }

    /// The shards whose owners must be told now, each with all that is in hand of it. Until [`Self::told`] a shard is
    /// not named again.
    pub(crate) fn take_due(&mut self) -> Vec<(Shard, Vec<AttemptKey>)> {
        let mut tell = Vec::new();
        for (shard, shelf) in &mut self.shards {
            if shelf.due && !shelf.telling {
                shelf.due = false;
                shelf.telling = true;
                tell.push((*shard, shelf.held.keys().cloned().collect()));
            }
        }
        tell
    }

    /// The owner of the shard answered, or did not.
    pub(crate) fn told(&mut self, shard: Shard) {
        if let Some(shelf) = self.shards.get_mut(&shard) {
            shelf.telling = false;
        }
    }

    /// Lets go of what the owner does not want and what can be let go: a READ at any time, a change before its grant
    /// was asked for. Its task ends, and with it the call.
    pub(crate) fn drop_unwanted(&self, unwanted: &[AttemptKey]) {
        let unwanted: BTreeSet<&AttemptKey> = unwanted.iter().collect();
        for attempt in unwanted {
            let shelf = self.shards.get(&attempt.key.run.shard());
            if let Some(held) = shelf.and_then(|shelf| shelf.held.get(attempt))
                && (!held.job.changes() || held.hold.is_loose())
            {
                held.task.abort();
            }
        }
    }
}

/// What a job may do, as the worker distinguishes it.
pub(crate) trait Changes {
    /// Whether doing it may change a system: its outcome must survive, and it is never simply done again.
    fn changes(&self) -> bool;
}

impl Changes for Job {
    fn changes(&self) -> bool {
        use engine::job::JobKind;
        use engine::principal::Permission;
        match (self.kind, self.action.permission) {
            (JobKind::LookUp, _) | (JobKind::Call, Permission::Read) => false,
            (JobKind::Call, Permission::Modify | Permission::Admin) => true,
        }
    }
}
