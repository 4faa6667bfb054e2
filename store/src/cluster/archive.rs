//! The end of a run's life: from its journal to the history, and out of it.
//!
//! A journal stays until its run's id is so old that nobody may create it any more: a late create must not find an empty
//! place.

use std::sync::Arc;

use async_trait::async_trait;
use engine::id::RunKey;
use engine::time::Timestamp;

use super::ended::YOUNG_MS;
use super::journal::{Journals, Place};
use super::record::verified;
use crate::clock::Clock;
use crate::port::{Archive, Retention};
use crate::{Error, lock};

/// Journals that are dropped in one piece of work.
const DROPPED_AT_ONCE: usize = 256;

/// The end of runs in these journals.
pub(super) struct Archived {
    journals: Arc<Journals>,
    clock: Arc<dyn Clock>,
}

impl Archived {
    /// The archive beside these journals.
    #[must_use]
    pub(super) fn of(journals: Arc<Journals>, clock: Arc<dyn Clock>) -> Self {
        Self { journals, clock }
    }

    /// The records of a run that has ended, and when; none where it has not, or is archived.
    async fn whole(&self, key: &RunKey) -> Result<Option<(Timestamp, Vec<bytes::Bytes>)>, Error> {
        let Place::Records(records) = self.journals.place(key).await? else {
            return Ok(None);
        };
        let entries = verified(key, &records)?;
        let last = entries.last().map(|entry| &entry.record);
        let ended = last.filter(|last| last.summary.status.is_end());
        Ok(ended.map(|last| (last.at, records)))
    }

    async fn drop_old(&self) -> Result<(), Error> {
        let old = lock(&self.journals.ended).old(self.clock.now(), DROPPED_AT_ONCE);
        for key in old {
            self.journals.purge(&key).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Archive for Archived {
    async fn ended(&self, before: Timestamp, max: usize) -> Result<Vec<RunKey>, Error> {
        self.drop_old().await?;
        let shards = lock(&self.journals.ended).take_more();
        for shard in shards {
            self.journals.look_through(shard).await?;
        }
        let found = lock(&self.journals.ended).until(before, max);
        Ok(found.into_iter().map(|(_, key)| key).collect())
    }

    async fn archive(&self, runs: &[RunKey]) -> Result<(), Error> {
        let mut whole = Vec::with_capacity(runs.len());
        for key in runs {
            match self.whole(key).await {
                Ok(Some((at, records))) => whole.push((at, key, records)),
                Ok(None) => lock(&self.journals.ended).pass_over(key),
                Err(Error::Corrupt(what)) => {
                    tracing::warn!(run = %key.run, what, "a damaged run is not archived");
                    lock(&self.journals.ended).pass_over(key);
                }
                Err(error) => return Err(error),
            }
        }
        // The history is in the order of the runs' ends.
        whole.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
        for (at, key, records) in whole {
            self.journals.history.put(key, at, &records).await?;
            lock(&self.journals.ended).leaves(key);
        }
        self.drop_old().await
    }

    async fn expired(&self, retention: Retention, max: usize) -> Result<Vec<RunKey>, Error> {
        self.journals.history.expired(retention, max).await
    }

    async fn remove(&self, runs: &[RunKey]) -> Result<(), Error> {
        for key in runs {
            let history = &self.journals.history;
            if !history.has(key).await? {
                continue;
            }
            if self.clock.now().millis_since(key.run.created_at()) < YOUNG_MS {
                self.journals.mark_removed(key).await?;
            } else {
                self.journals.purge(key).await?;
            }
            // Whoever hears of it finds nothing of the run in its journal any more.
            history.note("gone", key).await?;
            history.remove(key).await?;
        }
        Ok(())
    }
}
