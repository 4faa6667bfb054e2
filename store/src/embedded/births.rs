//! The last creations, in memory: whoever follows the new runs of a shard costs no query.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use engine::id::Shard;
use tokio::sync::watch;

use crate::lock;
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

    /// The creations of a shard after `sequence`, at most `max`. Who asks has all before it, and those are not kept any
    /// more: a second owner that is behind reads them from the file.
    pub(super) fn after(&self, shard: Shard, sequence: u64, max: usize) -> After {
        let mut shards = lock(&self.shards);
        let Some(ring) = shards.get_mut(&shard) else {
            return if sequence < self.since {
                After::Older
            } else {
                After::Known(Vec::new())
            };
        };
        if sequence < ring.since {
            return After::Older;
        }
        while ring
            .kept
            .front()
            .is_some_and(|born| born.sequence <= sequence)
        {
            ring.drop_oldest();
        }
        After::Known(ring.kept.iter().take(max).cloned().collect())
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
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.first.record.payload.len();
            self.since = oldest.sequence;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::sample::{Birth, Sample};
    use crate::port::Entry;

    #[test]
    fn what_its_owner_has_taken_is_not_kept() {
        let births = Births::new(0);
        let run = Sample::born(&Birth::number(1));
        let (record, _) = run.last();
        let shard = record.key.run.shard();
        for sequence in 1..=3 {
            let first = Entry {
                record: record.clone().into_record(),
                hash: record.hash(),
            };
            births.tell(shard, NewRun { sequence, first });
        }
        let after = |sequence| match births.after(shard, sequence, 10) {
            After::Known(found) => Some(found.iter().map(|new| new.sequence).collect::<Vec<_>>()),
            After::Older => None,
        };
        assert_eq!(after(0), Some(vec![1, 2, 3]));
        assert_eq!(after(2), Some(vec![3]));
        assert_eq!(after(0), None, "a second owner reads them from the file");
        assert_eq!(after(3), Some(vec![]));
        let shards = lock(&births.shards);
        let ring = &shards[&shard];
        assert_eq!((ring.kept.len(), ring.bytes), (0, 0));
    }
}
