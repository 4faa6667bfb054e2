//! What the owner does by itself in each turn: wakes what is due, looks after attempts, offers jobs.

use engine::command::{Asked, Command};
use engine::id::{Attempt, RunKey, StepNo};
use engine::job::AttemptKey;
use engine::pool::Pool;
use store::port::{Offered, Queue};
use tokio::time::Instant;

use super::{LOOK_EVERY, Owner, WAKES_MAX, input};
use crate::desk::Class;
use crate::detector::{LOST_AFTER, Place};
use crate::mail::{Mail, What};
use crate::slots::Slot;
use crate::{Error, figures};

#[cfg(test)]
mod tests;

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
        self.desks.forget_silent(now);
        self.hands.retain(|_, since| *since + LOST_AFTER > now);
        for pool in self.detector.asks_queues() {
            if self.asks_queue.insert(pool.clone()) {
                self.wait_for(input::queue(self.backend.clone(), pool));
            }
        }
        self.lose(now, None);
    }

    pub(super) fn queue_seen(
        &mut self,
        pool: &Pool,
        queue: Result<Queue, store::Error>,
    ) -> Result<(), Error> {
        self.asks_queue.remove(pool);
        match queue {
            Ok(queue) => self.lose(Instant::now(), Some((pool, queue))),
            // Nothing is lost because nobody can be asked.
            Err(error) => tracing::debug!(%error, "the queue does not answer"),
        }
        Ok(())
    }

    fn lose(&mut self, now: Instant, queue: Option<(&Pool, Queue)>) {
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
        loop {
            self.sent_on = false;
            for pool in self.detector.behind() {
                self.pump_into(&pool);
            }
            if !self.sent_on {
                break;
            }
        }
        for (pool, jobs) in std::mem::take(&mut self.offering) {
            self.wait_for(input::offer(self.backend.clone(), pool, jobs));
        }
    }

    fn pump_into(&mut self, pool: &Pool) {
        let mut room = self.desks.of(pool).room(self.detector.queued(pool));
        while room > 0
            && let Some(attempt) = self.desks.of(pool).next()
        {
            // It was settled, found in somebody's hands, or sent to another pool while it waited for its turn.
            if self.detector.place(&attempt) != Some(Place::Backlog)
                || self.detector.pool(&attempt) != Some(pool)
            {
                continue;
            }
            room -= 1;
            self.detector.put(&attempt, Place::Offering);
            self.call(attempt);
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
        let pool = self.pool_of(slot, &attempt);
        if job.is_some() && self.detector.pool(&attempt) != Some(&pool) {
            // Its agent has left the pool whose turn it was.
            self.wait_for_turn(slot.class(), &attempt, pool);
            self.sent_on = true;
            return;
        }
        match (job.and_then(|r| r.job(step)), owed) {
            (Some(job), _) => self.offering.entry(pool).or_default().push(job),
            // It was granted while its turn came: somebody has it.
            (None, Some(_)) => self.detector.put(&attempt, Place::Gone(Instant::now())),
            (None, None) => {
                self.detector.remove(&attempt);
            }
        }
    }

    pub(super) fn offered(
        &mut self,
        pool: &Pool,
        attempts: &[AttemptKey],
        offered: Result<Vec<Offered>, store::Error>,
    ) -> Result<(), Error> {
        match offered {
            Ok(offered) => {
                self.offer_faults = 0;
                self.detector.offered(pool, attempts, &offered);
            }
            Err(error) => {
                self.offer_faults = self.offer_faults.saturating_add(1);
                tracing::debug!(%error, faults = self.offer_faults, "offering jobs again in a moment");
                self.offers_from = Instant::now() + input::pause(self.offer_faults);
                self.put_back(pool, attempts);
            }
        }
        Ok(())
    }

    /// It is not known whether these were queued: they are offered again, and twice is harmless.
    fn put_back(&mut self, pool: &Pool, attempts: &[AttemptKey]) {
        for attempt in attempts {
            if self.detector.is_offered(pool, attempt) {
                let class = self
                    .slots
                    .get(&attempt.key)
                    .map_or(Class::Batch, Slot::class);
                self.wait_for_turn(class, attempt, pool.clone());
            }
        }
    }

    /// The attempt is in the backlog of a pool.
    pub(super) fn wait_for_turn(&mut self, class: Class, attempt: &AttemptKey, pool: Pool) {
        self.desks.of(&pool).add(class, attempt.clone());
        self.detector.add(attempt, Place::Backlog, pool);
    }

    /// An agent has left the pool: maybe nobody will ever take what is queued there. What is of other agents is queued
    /// twice by this, which is harmless.
    pub(super) fn leave(&mut self, pool: &Pool) {
        let queued = self.detector.queued_in(pool);
        tracing::info!(%pool, queued = queued.len(), "an agent has left this pool: jobs queued there are looked at again");
        for attempt in &queued {
            self.detector.put(attempt, Place::Offering);
        }
        self.put_back(pool, &queued);
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
