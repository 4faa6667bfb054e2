//! What the owner does by itself in each turn: wakes what is due, looks after attempts, offers jobs.

use engine::command::{Asked, Command};
use engine::id::{Attempt, RunKey, StepNo};
use engine::job::AttemptKey;
use store::port::{Offered, Queue};
use tokio::time::Instant;

use super::{LOOK_EVERY, Owner, WAKES_MAX, input};
use crate::desk::Class;
use crate::detector::{LOST_AFTER, Place};
use crate::mail::{Mail, What};
use crate::slots::Slot;
use crate::{Error, figures};

impl Owner {
    /// Wakes runs that are due, in order; how many at once is bounded by what waits to be decided.
    pub(super) fn wake_due(&mut self) {
        let now = self.backend.clock.now();
        let room = WAKES_MAX.saturating_sub(self.waiting);
        for key in self.timers.take_due(now, room) {
            self.post(&key, Mail::own(What::Wake));
        }
    }

    /// Looks for attempts that are lost.
    pub(super) fn look_after(&mut self) {
        let now = Instant::now();
        if now < self.looks_at {
            return;
        }
        self.looks_at = now + LOOK_EVERY;
        self.desk.forget_silent(now);
        self.hands.retain(|_, since| *since + LOST_AFTER > now);
        if self.detector.asks_queue() && !self.asks_queue {
            self.asks_queue = true;
            let pool = self.config.pool.clone();
            self.wait_for(input::queue(self.backend.clone(), pool));
        }
        self.lose(now, None);
    }

    pub(super) fn queue_seen(&mut self, queue: Result<Queue, store::Error>) -> Result<(), Error> {
        self.asks_queue = false;
        match queue {
            Ok(queue) => self.lose(Instant::now(), Some(queue)),
            // Nothing is lost because nobody can be asked.
            Err(error) => tracing::debug!(%error, "the queue does not answer"),
        }
        Ok(())
    }

    fn lose(&mut self, now: Instant, queue: Option<Queue>) {
        for attempt in self.detector.lost(now, queue) {
            tracing::info!(
                run = %attempt.key.run, step = attempt.step.0, attempt = attempt.attempt.0,
                "an attempt is in nobody's hands"
            );
            figures::lost();
            let command = Command::Lose {
                step: attempt.step,
                attempt: attempt.attempt,
                begun: true,
                plugin_dead: false,
            };
            let id = self.backend.random.nonce();
            let what = What::Ask(Asked { id, command });
            self.post(&attempt.key, Mail::own(what));
        }
    }

    /// Offers as many jobs as workers have room for, in the order of their turns.
    pub(super) fn pump(&mut self) {
        if Instant::now() < self.offers_from {
            return;
        }
        let mut room = self.desk.room(self.detector.queued());
        while room > 0
            && let Some(attempt) = self.desk.next()
        {
            // It was settled, or found in somebody's hands, while it waited for its turn.
            if self.detector.place(&attempt) != Some(Place::Backlog) {
                continue;
            }
            room -= 1;
            self.detector.put(&attempt, Place::Offering);
            self.call(attempt);
        }
        if !self.offering.is_empty() {
            let jobs = std::mem::take(&mut self.offering);
            let pool = self.config.pool.clone();
            self.wait_for(input::offer(self.backend.clone(), pool, jobs));
        }
    }

    /// Builds the job of an attempt whose turn it is, at once where its run is in memory.
    fn call(&mut self, attempt: AttemptKey) {
        let AttemptKey {
            key,
            step,
            attempt: number,
        } = attempt;
        match self.slots.take(&key) {
            Some(slot) if slot.run.is_some() => {
                self.build_job(&key, &slot, step, number);
                self.slots.put(&key, slot);
            }
            other => {
                if let Some(slot) = other {
                    self.slots.put(&key, slot);
                }
                self.post(&key, Mail::own(What::Offer(step, number)));
            }
        }
    }

    pub(super) fn build_job(&mut self, key: &RunKey, slot: &Slot, step: StepNo, number: Attempt) {
        let attempt = AttemptKey {
            key: key.clone(),
            step,
            attempt: number,
        };
        if self.detector.place(&attempt) != Some(Place::Offering) {
            return;
        }
        let run = slot.run.as_ref();
        let owed = run.and_then(|r| r.owed().find(|o| o.step == step && o.attempt == number));
        let job = run.filter(|_| owed.is_some_and(|o| !o.granted));
        match (job.and_then(|r| r.job(step)), owed) {
            (Some(job), _) => self.offering.push(job),
            // It was granted while its turn came: somebody has it.
            (None, Some(_)) => self.detector.put(&attempt, Place::Gone(Instant::now())),
            (None, None) => {
                self.detector.remove(&attempt);
            }
        }
    }

    pub(super) fn offered(
        &mut self,
        attempts: &[AttemptKey],
        offered: Result<Vec<Offered>, store::Error>,
    ) -> Result<(), Error> {
        match offered {
            Ok(offered) => {
                self.offer_faults = 0;
                self.detector.offered(attempts, &offered);
            }
            Err(error) => {
                self.offer_faults = self.offer_faults.saturating_add(1);
                tracing::debug!(%error, faults = self.offer_faults, "offering jobs again in a moment");
                self.offers_from = Instant::now() + input::pause(self.offer_faults);
                self.put_back(attempts);
            }
        }
        Ok(())
    }

    /// It is not known whether these were queued: they are offered again, and twice is harmless.
    fn put_back(&mut self, attempts: &[AttemptKey]) {
        for attempt in attempts {
            if self.detector.place(attempt) == Some(Place::Offering) {
                let class = self
                    .slots
                    .get(&attempt.key)
                    .map_or(Class::Batch, Slot::class);
                self.detector.put(attempt, Place::Backlog);
                self.desk.add(class, attempt.clone());
            }
        }
    }

    /// A worker had an attempt in hand that was not known here: whether it is wanted.
    pub(super) fn look_at(&mut self, key: &RunKey, slot: &Slot, step: StepNo, number: Attempt) {
        let attempt = AttemptKey {
            key: key.clone(),
            step,
            attempt: number,
        };
        match &slot.run {
            Some(run) if run.wanted(step, number) => {
                if let Some(since) = self.hands.remove(&attempt)
                    && self.detector.place(&attempt).is_some()
                {
                    self.detector.held(&attempt, since);
                }
            }
            Some(_) | None => {
                self.hands.remove(&attempt);
                self.unwanted.insert(attempt);
            }
        }
    }
}
