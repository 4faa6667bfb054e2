//! How runs come into memory: shards that are opened, runs that are new, journals that are read.

use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::code::Code;
use engine::command::{Asked, Command};
use engine::event::RunStatus;
use engine::id::{RunKey, Shard};
use engine::record::BadRecord;
use engine::run::Run;
use engine::time::Timestamp;
use store::port::{Entry, NewRun, OpenRun, OpenRuns};

use super::{Owner, Source, input};
use crate::config::Start;
use crate::mail::{Came, Mail, Verdict, What};
use crate::slots::{Doing, Slot};
use crate::{Error, figures};

impl Owner {
    /// Asks for the open runs of a shard, after `faults` tries in a row that failed.
    pub(super) fn open(&mut self, shard: Shard, faults: u32) {
        self.followed.entry(shard).or_default().faults[0] = faults;
        self.wait_for(input::open_runs(self.backend.clone(), shard, faults));
    }

    pub(super) fn opened(
        &mut self,
        shard: Shard,
        runs: Result<OpenRuns, store::Error>,
    ) -> Result<(), Error> {
        let runs = match runs {
            Ok(runs) => runs,
            Err(store::Error::Corrupt(what)) => return Err(Error::Damaged { shard, what }),
            Err(error) => {
                let faults = self.count_fault(shard, 0, &error);
                self.open(shard, faults);
                return Ok(());
            }
        };
        let open = runs.runs.len();
        if engine::planted!("parked_stops_others") {
            let damaged = runs.runs.iter().find_map(|run| run.summary.as_ref().err());
            if let Some(what) = damaged.cloned() {
                return Err(Error::Damaged { shard, what });
            }
        }
        for run in runs.runs {
            self.found(run);
        }
        let followed = self.followed.entry(shard).or_default();
        followed.new_runs = runs.sequence;
        followed.faults = [0; 3];
        tracing::debug!(shard = shard.0, open, "shard loaded");
        self.follow_new_runs(shard);
        self.follow_inbox(shard);
        self.follow_words(shard, 0);
        Ok(())
    }

    /// A run that was open when its shard was loaded: it is read on first use, which may be now.
    fn found(&mut self, run: OpenRun) {
        match run.summary {
            Err(what) => self.damage(&run.key, what),
            Ok(summary) if summary.owes => {
                self.inherited.insert(run.key.clone());
                self.timers.set(&run.key, Some(Timestamp::from_millis(0)));
            }
            Ok(summary) => {
                if summary.status == RunStatus::Parked {
                    figures::parked("before");
                }
                if !engine::planted!("timer_lost") {
                    self.timers.set(&run.key, summary.due);
                }
            }
        }
    }

    /// Counts a fault of a source, and answers how many there were in a row.
    pub(super) fn count_fault(&mut self, shard: Shard, source: usize, error: &store::Error) -> u32 {
        let faults = &mut self.followed.entry(shard).or_default().faults[source];
        *faults = faults.saturating_add(1);
        tracing::debug!(shard = shard.0, %error, faults = *faults, "the store does not answer");
        *faults
    }

    pub(super) fn follow_new_runs(&mut self, shard: Shard) {
        let followed = self.followed.entry(shard).or_default();
        let (after, faults) = (followed.new_runs, followed.faults[0]);
        self.wait_for(input::new_runs(self.backend.clone(), shard, after, faults));
    }

    pub(super) fn new_runs(
        &mut self,
        shard: Shard,
        runs: Result<Vec<NewRun>, store::Error>,
    ) -> Result<(), Error> {
        match runs {
            Ok(runs) => {
                self.followed.entry(shard).or_default().faults[0] = 0;
                for run in runs {
                    self.followed.entry(shard).or_default().new_runs = run.sequence;
                    self.take_up(run.first);
                }
            }
            Err(error) => {
                self.count_fault(shard, 0, &error);
            }
        }
        if self.waiting < self.config.waiting_max {
            self.follow_new_runs(shard);
        } else {
            self.held_back.push(Source::NewRuns(shard));
        }
        Ok(())
    }

    /// A run that was just created. What is known of it here is its first record; if there are more by now, appending
    /// says so.
    fn take_up(&mut self, first: Entry) {
        let key = first.record.key.clone();
        if self.slots.get(&key).is_none() && !self.damaged.contains_key(&key) {
            let weight = weigh(std::slice::from_ref(&first));
            match fold(vec![first]) {
                Ok(run) => {
                    let mut slot = Box::new(self.new_slot());
                    slot.run = Some(run);
                    slot.weight = weight;
                    self.slots.put(&key, slot);
                }
                // Its journal tells more, and how to go on.
                Err(error) => tracing::warn!(run = %key.run, %error, "a new run cannot be read"),
            }
        }
        self.post(&key, Mail::own(What::Wake));
    }

    pub(super) fn new_slot(&self) -> Slot {
        let mut slot = Slot::default();
        self.tell_facts(&mut slot);
        slot
    }

    /// What the owner itself knows.
    fn tell_facts(&self, slot: &mut Slot) {
        slot.facts.not_requester = self.place.not_requester;
        slot.facts.url_base.clone_from(&self.place.url_base);
        slot.facts.clock_since = Some(self.began);
    }

    /// Reads the journal of a run that is not in memory.
    pub(super) fn load(&mut self, key: &RunKey, slot: &mut Slot) {
        slot.doing = Doing::Loading;
        self.wait_for(input::load(self.backend.clone(), key.clone()));
    }

    pub(super) fn loaded(
        &mut self,
        key: &RunKey,
        entries: Result<Vec<Entry>, store::Error>,
    ) -> Result<(), Error> {
        match entries {
            Ok(entries) if entries.is_empty() => self.unknown(key),
            Ok(entries) => return self.fold_in(key, entries),
            Err(store::Error::Corrupt(what)) => self.damage(key, what),
            Err(error) => self.rest(key, &error),
        }
        Ok(())
    }

    fn fold_in(&mut self, key: &RunKey, entries: Vec<Entry>) -> Result<(), Error> {
        let Some(mut slot) = self.slots.take(key) else {
            return Ok(());
        };
        slot.doing = Doing::Nothing;
        self.settle_unsure(&mut slot, &entries);
        let weight = weigh(&entries);
        match fold(entries) {
            Ok(run) => {
                slot.weight = weight;
                self.loaded_run(key, &mut slot, run);
                self.slots.put(key, slot);
                self.make_ready(key);
                Ok(())
            }
            Err(BadRecord::Newer(format)) => Err(Error::Newer {
                run: key.run,
                format,
            }),
            Err(error) => {
                self.slots.put(key, slot);
                self.damage(key, error.to_string());
                Ok(())
            }
        }
    }

    fn loaded_run(&mut self, key: &RunKey, slot: &mut Slot, run: Run) {
        self.tell_facts(slot);
        let inherited = self.inherited.remove(key);
        let lost = inherited && self.place.start == Start::Alone;
        if lost {
            self.lose_all(slot, &run);
        }
        self.timers.set(key, run.due());
        slot.run = Some(run);
        if !lost {
            self.sync(key, slot, true);
        }
    }

    /// Whatever was queued or in hand died with the last process. Which of it a worker had begun is not known, so all of
    /// it counts: what stops the process each time must not be tried for ever.
    fn lose_all(&mut self, slot: &mut Slot, run: &Run) {
        let owed: Vec<_> = run.owed().collect();
        for owed in owed.into_iter().rev() {
            let command = Command::Lose {
                step: owed.step,
                attempt: owed.attempt,
                begun: true,
                plugin_dead: !self.place.agents_outlive,
            };
            let id = self.backend.random.nonce();
            let asked = Asked { id, command };
            slot.mail.push_front(Mail::own(What::Ask(asked)));
            self.waiting += 1;
        }
    }

    /// Tells those whose records are stored what came of their commands; the rest is decided again.
    fn settle_unsure(&mut self, slot: &mut Slot, entries: &[Entry]) {
        let mut again = Vec::new();
        for verdict in std::mem::take(&mut slot.unsure) {
            let stored = verdict
                .record
                .is_some_and(|(n, nonce)| has_record(entries, n, nonce));
            if stored {
                self.tell(verdict);
            } else {
                again.push(verdict.mail);
            }
        }
        for mut mail in again.into_iter().rev() {
            (mail.fresh, mail.sure) = (false, false);
            if mail.is_forsaken() {
                self.waiting -= 1;
            } else {
                slot.mail.push_front(mail);
            }
        }
    }

    /// No record of such a run was ever stored, or it is over the retention.
    fn unknown(&mut self, key: &RunKey) {
        let why = "there is no such run, or it is over the retention";
        self.drop_run(key, &Came::Refused(Code::NotFound, why.to_owned()));
    }

    /// The run's journal cannot be trusted: nothing is appended to it any more, and it is shown as parked.
    pub(super) fn damage(&mut self, key: &RunKey, what: String) {
        tracing::warn!(run = %key.run, what, "a damaged run is parked");
        figures::parked(Code::RecordDamaged.as_str());
        self.wait_for(input::note_damaged(
            self.backend.clone(),
            key.clone(),
            what.clone(),
        ));
        self.damaged.insert(key.clone(), what.clone());
        self.drop_run(key, &Came::Refused(Code::RecordDamaged, what));
    }

    /// Mail for a damaged run.
    pub(super) fn refuse_damaged(&mut self, key: &RunKey, mail: Mail) {
        let what = self.damaged.get(key).cloned().unwrap_or_default();
        self.tell_at_once(mail, Came::Refused(Code::RecordDamaged, what));
    }

    /// Forgets a run and tells everybody who waits for it the same.
    fn drop_run(&mut self, key: &RunKey, came: &Came) {
        self.timers.set(key, None);
        self.inherited.remove(key);
        for attempt in self.detector.of(key) {
            self.detector.remove(&attempt);
        }
        let Some(slot) = self.slots.take(key) else {
            return;
        };
        let unsure = slot.unsure.into_iter().map(|verdict| verdict.mail);
        for mail in unsure.chain(slot.mail) {
            self.tell_at_once(mail, came.clone());
        }
    }

    pub(super) fn tell_at_once(&mut self, mail: Mail, came: Came) {
        let id = mail.asked().map(|asked| asked.id);
        let id = id.unwrap_or_else(|| self.backend.random.nonce());
        let answer = super::pay::answer(&mail, &came, None);
        self.tell(Verdict {
            mail,
            id,
            came,
            record: None,
            answer,
        });
    }
}

fn has_record(entries: &[Entry], n: u64, nonce: engine::id::Nonce) -> bool {
    entries
        .iter()
        .any(|e| e.record.n == n && e.record.nonce == nonce)
}

fn weigh(entries: &[Entry]) -> usize {
    entries.iter().map(|e| 512 + e.record.payload.len()).sum()
}

/// The run that these records make. A panic is a fault of this program, but it is about this run alone.
fn fold(entries: Vec<Entry>) -> Result<Run, BadRecord> {
    let entries = entries.into_iter().map(|e| (e.record, e.hash));
    catch_unwind(AssertUnwindSafe(|| Run::fold(entries)))
        .unwrap_or_else(|_| Err(BadRecord::Garbage("reading it panicked".to_owned())))
}

#[cfg(test)]
mod tests;
