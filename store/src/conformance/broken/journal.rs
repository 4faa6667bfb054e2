//! Journals that break a promise.

use std::sync::Arc;

use async_trait::async_trait;
use engine::event::{Event, RunStatus};
use engine::id::{Nonce, RunKey, Shard, Tenant};
use engine::record::{Encoded, Record, Summary};

use super::{Seen, asleep, defects};
use crate::port::{Entry, Journal, NewRun, OpenRuns};
use crate::{Backend, Error};

defects![
    what_was_appended_is_read_back: LosesTheLastRecord,
    a_run_is_created_once: CreatesTwice,
    an_append_needs_the_next_number: TakesAnyNumber,
    an_append_needs_the_hash_of_the_last: TakesAnyHash,
    a_refused_append_changes_nothing: ForgetsARunWhenItRefuses,
    a_refused_append_takes_no_other_along: RefusesTheNextToo,
    of_two_appends_at_the_same_place_one_wins: NeverRefuses,
    a_read_begins_after_a_number: ReadsFromTheStart,
    a_run_is_read_by_its_tenant_only: ReadsForAnyTenant,
    a_lost_answer_is_found_by_its_nonce: WritesItsOwnNonce,
    journals_survive_a_restart: ForgetsAtRestart,
    open_runs_are_all_that_have_not_ended: OverlooksAnOpenRun,
    open_runs_tell_the_last_record: TellsTheRecordBefore,
    open_runs_are_those_of_the_shard: OpensTheWrongShard,
    following_new_runs_misses_none: LosesANewRun,
    new_runs_are_those_of_the_shard: FollowsTheWrongShard,
    new_runs_come_in_parts: TellsAllNewRunsAtOnce,
    new_runs_wake_who_waits: SleepsOverNewRuns,
    new_runs_are_found_from_far_behind: ForgetsOldCreations,
    open_runs_and_new_runs_together_have_every_run: FollowsOneTooLate,
    a_damaged_record_is_not_read: ReadsOverDamage,
    a_missing_record_is_noticed: ReadsOverGaps,
    a_missing_record_is_noticed_at_the_start: StartsOverGaps,
    a_damaged_head_is_noticed_at_the_start: StartsOverDamage,
    damage_harms_no_other_run: GivesUpOnDamage,
    a_damaged_archived_run_is_not_read: ReadsDamagedArchives,
];

struct Wrapper {
    inner: Arc<dyn Journal>,
    how: How,
    seen: Seen<RunKey>,
    refused: Seen<RunKey>,
}

fn wrap(backend: Backend, how: How) -> Backend {
    let journal = Arc::new(Wrapper {
        inner: Arc::clone(&backend.journal),
        how,
        seen: Seen::new(),
        refused: Seen::new(),
    });
    Backend { journal, ..backend }
}

#[async_trait]
impl Journal for Wrapper {
    async fn append(&self, record: &Encoded, events: &[Event]) -> Result<(), Error> {
        self.seen.add(record.key.clone());
        if self.how == How::RefusesTheNextToo && !self.refused.lock().is_empty() {
            return Err(Error::Unavailable("another one was refused".to_owned()));
        }
        let mut record = record.clone().into_record();
        if self.how == How::WritesItsOwnNonce {
            record.nonce = Nonce([0; 16]);
        }
        let record = Encoded::of(record);
        let outcome = self.inner.append(&record, events).await;
        if matches!(outcome, Err(Error::Conflict(_))) {
            self.refused.add(record.key.clone());
            if self.accepts(&record).await? {
                return Ok(());
            }
        }
        outcome
    }

    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error> {
        let forgotten = match self.how {
            How::ForgetsAtRestart => !self.seen.has(key),
            How::ForgetsARunWhenItRefuses => self.refused.has(key),
            _ => false,
        };
        if forgotten {
            return Ok(Vec::new());
        }
        let mut key = key.clone();
        if self.how == How::ReadsForAnyTenant {
            key.tenant = Tenant::default();
        }
        let after = if self.how == How::ReadsFromTheStart {
            0
        } else {
            after
        };
        let mut read = self.inner.read(&key, after).await;
        if self.how == How::LosesTheLastRecord {
            read = read.map(|mut entries| {
                entries.pop();
                entries
            });
        }
        let blind = [
            How::ReadsOverDamage,
            How::ReadsOverGaps,
            How::ReadsDamagedArchives,
        ];
        if blind.contains(&self.how) && matches!(read, Err(Error::Corrupt(_))) {
            return Ok(Vec::new());
        }
        read
    }

    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error> {
        let wrong = self.how == How::OpensTheWrongShard;
        let mut open = self
            .inner
            .open_runs(if wrong { Shard(0) } else { shard })
            .await?;
        match self.how {
            How::OverlooksAnOpenRun => drop(open.runs.pop()),
            How::TellsTheRecordBefore => open.runs.iter_mut().for_each(|run| run.n -= 1),
            How::FollowsOneTooLate => open.sequence += 1,
            How::StartsOverGaps | How::StartsOverDamage => {
                for run in &mut open.runs {
                    run.summary = Ok(Summary {
                        status: RunStatus::Queued,
                        due: None,
                        owes: false,
                    });
                }
            }
            How::GivesUpOnDamage if open.runs.iter().any(|run| run.summary.is_err()) => {
                return Err(Error::Corrupt("a run is damaged".to_owned()));
            }
            _ => {}
        }
        Ok(open)
    }

    async fn new_runs(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<NewRun>, Error> {
        match self.how {
            How::FollowsTheWrongShard => self.inner.new_runs(Shard(0), sequence, max).await,
            How::TellsAllNewRunsAtOnce => self.inner.new_runs(shard, sequence, usize::MAX).await,
            How::SleepsOverNewRuns => asleep(self.inner.new_runs(shard, sequence, max)).await,
            How::ForgetsOldCreations => self.inner.new_runs(shard, sequence.max(500), max).await,
            How::LosesANewRun => {
                let mut found = self.inner.new_runs(shard, sequence, max).await?;
                if found.len() > 1 {
                    found.remove(0);
                }
                Ok(found)
            }
            _ => self.inner.new_runs(shard, sequence, max).await,
        }
    }
}

impl Wrapper {
    /// Whether it answers that a record was stored that was refused.
    async fn accepts(&self, record: &Record) -> Result<bool, Error> {
        let last = self.inner.read(&record.key, 0).await?.len() as u64;
        Ok(match self.how {
            How::NeverRefuses => true,
            How::CreatesTwice => record.n == 1,
            How::TakesAnyNumber => record.n != last + 1,
            How::TakesAnyHash => record.n == last + 1,
            _ => false,
        })
    }
}
