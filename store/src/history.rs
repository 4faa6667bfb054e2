//! The last changes of the registry, in memory.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::watch;

use crate::lock;
use crate::port::Change;

/// Changes that are kept. Who is further behind lists again.
const KEPT: usize = 4_096;
/// Bytes of values that are kept.
const BYTES_KEPT: usize = 32 * 1024 * 1024;

/// The last changes of the registry, over all keys.
pub(crate) struct History {
    ring: Mutex<Ring>,
    told: watch::Sender<()>,
}

struct Ring {
    /// Every change after this revision is kept.
    since: u64,
    newest: u64,
    kept: VecDeque<Change>,
    bytes: usize,
}

impl History {
    /// What happened up to revision `since` is not known.
    pub(crate) fn new(since: u64) -> Self {
        Self {
            ring: Mutex::new(Ring::from(since)),
            told: watch::Sender::new(()),
        }
    }

    /// Keeps a change and wakes who watches. In the order of revisions.
    pub(crate) fn tell(&self, change: Change) {
        let (_, revision) = describe(&change);
        lock(&self.ring).push(change, revision);
        self.told.send_replace(());
    }

    /// Nothing that happened up to `revision` is known any more.
    pub(crate) fn forget(&self, revision: u64) {
        *lock(&self.ring) = Ring::from(revision);
        self.told.send_replace(());
    }

    /// The changes of keys that begin with `prefix` after `revision`.
    fn after(&self, prefix: &str, revision: u64) -> Vec<Change> {
        let ring = lock(&self.ring);
        if revision < ring.since {
            let revision = ring.newest;
            return vec![Change::Gap { revision }];
        }
        let first = ring.kept.partition_point(|c| describe(c).1 <= revision);
        let later = ring.kept.iter().skip(first);
        later
            .filter(|change| describe(change).0.starts_with(prefix))
            .cloned()
            .collect()
    }

    /// The changes of keys that begin with `prefix` after `revision`, as soon as there are some.
    pub(crate) async fn wait(&self, prefix: &str, revision: u64) -> Vec<Change> {
        let mut told = self.told.subscribe();
        loop {
            told.mark_unchanged();
            let found = self.after(prefix, revision);
            if !found.is_empty() {
                return found;
            }
            // Its sender lives in `self`.
            let _ = told.changed().await;
        }
    }
}

impl Ring {
    fn from(since: u64) -> Self {
        Self {
            since,
            newest: since,
            kept: VecDeque::new(),
            bytes: 0,
        }
    }

    fn push(&mut self, change: Change, revision: u64) {
        self.newest = revision;
        self.bytes += weight(&change);
        self.kept.push_back(change);
        while self.kept.len() > KEPT || self.bytes > BYTES_KEPT {
            let Some(oldest) = self.kept.pop_front() else {
                return;
            };
            self.bytes -= weight(&oldest);
            self.since = describe(&oldest).1;
        }
    }
}

/// Key and revision of a change.
fn describe(change: &Change) -> (&str, u64) {
    match change {
        Change::Put(item) => (&item.key, item.revision),
        Change::Deleted { key, revision } => (key, *revision),
        Change::Gap { revision } => ("", *revision),
    }
}

fn weight(change: &Change) -> usize {
    match change {
        Change::Put(item) => item.key.len() + item.value.len(),
        Change::Deleted { key, .. } => key.len(),
        Change::Gap { .. } => 0,
    }
}
