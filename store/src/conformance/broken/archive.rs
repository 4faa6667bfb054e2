//! Archives that break a promise.

use std::sync::Arc;

use async_trait::async_trait;
use engine::event::Event;
use engine::id::{RunKey, Shard};
use engine::record::Encoded;
use engine::time::Timestamp;

use super::{Seen, defects};
use crate::port::{Archive, Entry, Journal, NewRun, OpenRuns, Retention};
use crate::{Backend, Error};

defects![
    ended_runs_are_listed_oldest_first: ListsTheNewestFirst,
    ended_runs_are_listed_up_to_a_time_and_a_number: ListsWhatJustEnded,
    an_archived_run_is_read_as_before: ArchivesWithoutTheFirstRecord,
    an_archived_run_takes_no_append: AppendsToArchives,
    an_open_run_is_not_archived: ArchivesOpenRuns,
    archiving_again_changes_nothing: RemovesWhatIsArchivedAgain,
    archived_runs_survive_a_restart: ForgetsArchivesAtRestart,
    runs_over_the_age_expire: LooksAtNoAge,
    runs_over_the_number_expire: LooksAtNoNumber,
    expired_runs_come_oldest_first: ExpiresTheNewestFirst,
    a_removed_run_is_gone: RemovesNothing,
    a_removed_run_is_never_created_again: CreatesRemovedRuns,
    only_archived_runs_are_removed: RemovesAnything,
    a_damaged_ended_run_keeps_no_other_from_the_archive: StopsAtDamage,
];

struct Wrapper {
    inner: Backend,
    how: How,
    archived: Seen<RunKey>,
    removed: Seen<RunKey>,
}

fn wrap(backend: Backend, how: How) -> Backend {
    let wrapper = Arc::new(Wrapper {
        inner: backend.clone(),
        how,
        archived: Seen::new(),
        removed: Seen::new(),
    });
    let (journal, archive) = (Arc::<Wrapper>::clone(&wrapper), wrapper);
    Backend {
        journal,
        archive,
        ..backend
    }
}

#[async_trait]
impl Archive for Wrapper {
    async fn ended(&self, before: Timestamp, max: usize) -> Result<Vec<RunKey>, Error> {
        let any_time = self.how == How::ListsWhatJustEnded;
        let before = if any_time { Timestamp::MAX } else { before };
        let mut ended = self.inner.archive.ended(before, max).await?;
        if self.how == How::ListsTheNewestFirst {
            ended.reverse();
        }
        Ok(ended)
    }

    async fn archive(&self, runs: &[RunKey]) -> Result<(), Error> {
        if self.how == How::StopsAtDamage {
            for run in runs {
                self.inner.journal.read(run, 0).await?;
            }
        }
        self.inner.archive.archive(runs).await?;
        for run in runs {
            let again = !self.archived.add(run.clone());
            if again && self.how == How::RemovesWhatIsArchivedAgain {
                self.inner.archive.remove(std::slice::from_ref(run)).await?;
            }
        }
        Ok(())
    }

    async fn expired(&self, retention: Retention, max: usize) -> Result<Vec<RunKey>, Error> {
        let Retention {
            mut before,
            mut number,
        } = retention;
        if self.how == How::LooksAtNoAge {
            before = Timestamp::from_millis(0);
        }
        if self.how == How::LooksAtNoNumber {
            number = u64::MAX;
        }
        let retention = Retention { before, number };
        if self.how == How::ExpiresTheNewestFirst {
            let mut all = self
                .inner
                .archive
                .expired(retention, usize::MAX >> 1)
                .await?;
            all.reverse();
            all.truncate(max);
            return Ok(all);
        }
        let mut expired = self.inner.archive.expired(retention, max).await?;
        if self.how == How::ForgetsArchivesAtRestart {
            expired.retain(|run| self.archived.has(run));
        }
        Ok(expired)
    }

    async fn remove(&self, runs: &[RunKey]) -> Result<(), Error> {
        for run in runs {
            self.removed.add(run.clone());
        }
        if self.how == How::RemovesNothing {
            return Ok(());
        }
        self.inner.archive.remove(runs).await
    }
}

#[async_trait]
impl Journal for Wrapper {
    async fn append(&self, record: &Encoded, events: &[Event]) -> Result<(), Error> {
        let outcome = self.inner.journal.append(record, events).await;
        let accepts = match self.how {
            How::AppendsToArchives => self.archived.has(&record.key),
            How::CreatesRemovedRuns => record.n == 1 && self.removed.has(&record.key),
            _ => false,
        };
        if accepts { Ok(()) } else { outcome }
    }

    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error> {
        if self.how == How::RemovesAnything && self.removed.has(key) {
            return Ok(Vec::new());
        }
        let mut entries = self.inner.journal.read(key, after).await?;
        let archived = self.archived.has(key) && !entries.is_empty();
        if archived && self.how == How::ArchivesWithoutTheFirstRecord {
            entries.remove(0);
        }
        Ok(entries)
    }

    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error> {
        let mut open = self.inner.journal.open_runs(shard).await?;
        if self.how == How::ArchivesOpenRuns {
            open.runs.retain(|run| !self.archived.has(&run.key));
        }
        Ok(open)
    }

    async fn new_runs(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<NewRun>, Error> {
        self.inner.journal.new_runs(shard, sequence, max).await
    }
}
