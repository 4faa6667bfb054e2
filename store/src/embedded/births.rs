//! The last creations, in memory: whoever follows the new runs of a shard costs no query.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use engine::id::Shard;
use tokio::sync::watch;

use super::core::lock;
use crate::port::NewRun;

/// Creations that are kept for a shard. An owner that is further behind reads them from the file.
const KEPT: usize = 4_096;
/// Bytes of payloads that are kept for a shard.
const BYTES_KEPT: usize = 16 * 1024 * 1024;

/// The last creations of each shard.
pub(super) struct Births {
    /// Every creation after this one was seen here.
    since: u64,
    shards: Mutex<BTreeMap<Shard, Ring>>,
}

struct Ring {
    told: watch::Sender<()>,
    /// Every creation of the shard after this one is kept.
    since: u64,
    kept: VecDeque<NewRun>,
    bytes: usize,
}

/// What the ring knows of the creations after a place.
pub(super) enum After {
    /// These; none when there are none.
    Known(Vec<NewRun>),
    /// Some are not kept any more.
    Older,
}

impl Births {
    /// Creations up to `since` are in the file only.
    pub(super) fn new(since: u64) -> Self {
        let shards = Mutex::default();
        Self { since, shards }
    }

    /// Keeps a creation and wakes who follows. In the order of sequences.
    pub(super) fn tell(&self, shard: Shard, born: NewRun) {
        let mut shards = lock(&self.shards);
        let ring = shards.entry(shard).or_insert_with(|| Ring::new(self.since));
        ring.push(born);
        ring.told.send_replace(());
    }

    /// The creations of a shard after `sequence`, at most `max`.
    pub(super) fn after(&self, shard: Shard, sequence: u64, max: usize) -> After {
        let shards = lock(&self.shards);
        let Some(ring) = shards.get(&shard) else {
            return if sequence < self.since {
                After::Older
            } else {
                After::Known(Vec::new())
            };
        };
        if sequence < ring.since {
            return After::Older;
        }
        let first = ring.kept.partition_point(|born| born.sequence <= sequence);
        After::Known(ring.kept.iter().skip(first).take(max).cloned().collect())
    }

    /// Tells of each new creation.
    pub(super) fn follow(&self, shard: Shard) -> watch::Receiver<()> {
        let mut shards = lock(&self.shards);
        let ring = shards.entry(shard).or_insert_with(|| Ring::new(self.since));
        ring.told.subscribe()
    }
}

impl Ring {
    fn new(since: u64) -> Self {
        Self {
            told: watch::Sender::new(()),
            since,
            kept: VecDeque::new(),
            bytes: 0,
        }
    }

    fn push(&mut self, born: NewRun) {
        self.bytes += born.first.record.payload.len();
        self.kept.push_back(born);
        while self.kept.len() > KEPT || self.bytes > BYTES_KEPT {
            let Some(oldest) = self.kept.pop_front() else {
                return;
            };
            self.bytes -= oldest.first.record.payload.len();
            self.since = oldest.sequence;
        }
    }
}
