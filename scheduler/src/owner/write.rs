//! Has stored what was decided, and copes with a store that does not take it.

use engine::duration::Duration;
use engine::id::RunKey;
use engine::time::Timestamp;
use tokio::time::Instant;

use super::decide::Batch;
use super::{Owner, input};
use crate::mail::{From, Verdict};
use crate::slots::{Doing, Slot};
use crate::{Error, figures};

/// A run that is due and has nothing to do is looked at again after so long, in milliseconds: a fault somewhere must
/// not turn into a loop.
const NOTHING_DUE_MS: u64 = 1_000;
/// A run that has nothing to do for longer than this is not kept in memory: reading it again takes some 0.1 ms.
const REST_MIN: Duration = Duration::from_secs(10);

impl Owner {
    /// Has a batch stored, or tells at once what needs no storing.
    pub(super) fn close_batch(&mut self, key: &RunKey, slot: &mut Slot, batch: Batch) {
        let Batch {
            writing,
            verdicts,
            woke,
        } = batch;
        if writing.records.is_empty() {
            for verdict in verdicts {
                self.tell(verdict);
            }
            if slot.doing == Doing::Nothing {
                self.settled(key, slot, woke);
            }
            return;
        }
        self.sync(key, slot, false);
        let verdicts = self.tell_too_early(verdicts);
        slot.doing = Doing::Writing;
        slot.writing_since = Some(Instant::now());
        slot.unsure = verdicts;
        self.writing += 1;
        let write = input::write(self.backend.clone(), key.clone(), writing);
        self.wait_for(write);
    }

    /// What only a planted defect tells before it is durable. Answers the rest, which is everything.
    fn tell_too_early(&mut self, verdicts: Vec<Verdict>) -> Vec<Verdict> {
        if !engine::planted!("told_before_append") {
            return verdicts;
        }
        let is_outside = |verdict: &Verdict| matches!(verdict.mail.from, From::Inbox(..));
        let (early, rest) = verdicts.into_iter().partition(is_outside);
        let early: Vec<Verdict> = early;
        early.into_iter().for_each(|verdict| self.tell(verdict));
        rest
    }

    pub(super) fn written(
        &mut self,
        key: &RunKey,
        stored: Result<(), store::Error>,
    ) -> Result<(), Error> {
        self.writing -= 1;
        let Some(mut slot) = self.slots.take(key) else {
            return Ok(());
        };
        slot.doing = Doing::Nothing;
        let verdicts = std::mem::take(&mut slot.unsure);
        match stored {
            Ok(()) => {
                self.stored(key, &mut slot, verdicts);
                self.keep(key, slot);
            }
            Err(store::Error::Corrupt(what)) => {
                slot.unsure = verdicts;
                self.slots.put(key, slot);
                self.damage(key, what);
            }
            Err(error) => {
                slot.unsure = verdicts;
                self.not_stored(key, &mut slot, &error);
                self.slots.put(key, slot);
                self.make_ready_if_wanted(key);
            }
        }
        Ok(())
    }

    fn stored(&mut self, key: &RunKey, slot: &mut Slot, verdicts: Vec<Verdict>) {
        slot.tries = 0;
        if let Some(since) = slot.writing_since.take() {
            figures::appended(since.elapsed());
        }
        for verdict in verdicts {
            self.tell(verdict);
        }
        self.settled(key, slot, false);
    }

    /// Everything that was decided about the run is durable: now it owes what its state says.
    fn settled(&mut self, key: &RunKey, slot: &mut Slot, woke_for_nothing: bool) {
        self.sync(key, slot, true);
        let Some(run) = &slot.run else { return };
        let now = self.backend.clock.now();
        let in_hand = woke_for_nothing && self.detector.is_held(key);
        let due = match run.due_while(in_hand) {
            Some(due) if woke_for_nothing && due <= now => {
                tracing::warn!(run = %key.run, %due, "a run is due and has nothing to do");
                Some(Timestamp::from_millis(now.millis() + NOTHING_DUE_MS))
            }
            due => due,
        };
        self.timers.set(key, due);
    }

    /// What is in memory is ahead of the journal, or beside it: it is read again, which also tells what was stored.
    fn not_stored(&mut self, key: &RunKey, slot: &mut Slot, error: &store::Error) {
        slot.run = None;
        match error {
            // Somebody else appended, or an earlier try of ours did arrive.
            store::Error::Conflict(what) if slot.tries == 0 => {
                tracing::debug!(run = %key.run, what, "a record did not follow: reading again");
                figures::append_failed("conflict");
                slot.tries = 1;
            }
            store::Error::Conflict(_) | store::Error::Corrupt(_) | store::Error::Unavailable(_) => {
                figures::append_failed("unavailable");
                self.rest_slot(key, slot, error);
            }
        }
    }

    /// Waits a moment before a run is tried again; nothing that waits for it is lost.
    pub(super) fn rest(&mut self, key: &RunKey, error: &store::Error) {
        if let Some(mut slot) = self.slots.take(key) {
            self.rest_slot(key, &mut slot, error);
            self.slots.put(key, slot);
        }
    }

    pub(super) fn rest_slot(&mut self, key: &RunKey, slot: &mut Slot, error: &store::Error) {
        slot.tries = slot.tries.saturating_add(1);
        tracing::debug!(run = %key.run, %error, tries = slot.tries, "the store does not take it: again in a moment");
        slot.doing = Doing::Resting;
        let rested = input::rested(key.clone(), slot.tries);
        self.wait_for(rested);
    }

    pub(super) fn rested(&mut self, key: &RunKey) -> Result<(), Error> {
        if let Some(slot) = self.slots.get_mut(key) {
            slot.doing = Doing::Nothing;
        }
        self.make_ready_if_wanted(key);
        Ok(())
    }

    /// Keeps a run in memory while there is something to do with it soon. One that has ended is not needed any more, and
    /// one that waits for people or for a later time is read again when that comes: a million of them cost their places
    /// among the timers, and nothing else.
    pub(super) fn keep(&mut self, key: &RunKey, slot: Box<Slot>) {
        if slot.is_over() || self.is_at_rest(key, &slot) {
            return;
        }
        self.slots.put(key, slot);
        self.make_ready_if_wanted(key);
    }

    /// Whether nothing will happen to the run by itself for a while.
    fn is_at_rest(&self, key: &RunKey, slot: &Slot) -> bool {
        let Some(run) = slot.run.as_ref().filter(|_| slot.is_idle()) else {
            return false;
        };
        let soon = self.backend.clock.now().plus(REST_MIN);
        run.owed().next().is_none()
            && self.timers.of(key).is_none_or(|due| due > soon)
            && !self.detector.has(key)
    }

    /// Mail that a fault of this program left behind has nobody else who would come back for it.
    pub(super) fn make_ready_if_wanted(&mut self, key: &RunKey) {
        let wanted = |s: &Slot| !s.mail.is_empty() || !s.unsure.is_empty();
        if self.slots.get(key).is_some_and(wanted) {
            self.make_ready(key);
        }
    }
}
