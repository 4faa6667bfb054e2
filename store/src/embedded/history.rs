//! The last changes of the registry, in memory.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::watch;

use super::core::lock;
use crate::port::Change;

/// Changes that are kept. Who is further behind lists again.
const KEPT: usize = 4_096;
/// Bytes of values that are kept.
const BYTES_KEPT: usize = 32 * 1024 * 1024;

/// The last changes of the registry, over all keys.
pub(super) struct History {
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
    pub(super) fn new(since: u64) -> Self {
        Self {
            ring: Mutex::new(Ring {
                since,
                newest: since,
                kept: VecDeque::new(),
                bytes: 0,
            }),
            told: watch::Sender::new(()),
        }
    }

    /// Keeps a change and wakes who watches. In the order of revisions.
    pub(super) fn tell(&self, change: Change) {
        let (_, revision) = describe(&change);
        lock(&self.ring).push(change, revision);
        self.told.send_replace(());
    }

    /// The changes of keys that begin with `prefix` after `revision`.
    pub(super) fn after(&self, prefix: &str, revision: u64) -> Vec<Change> {
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

    /// Tells of each change.
    pub(super) fn follow(&self) -> watch::Receiver<()> {
        self.told.subscribe()
    }
}

impl Ring {
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
