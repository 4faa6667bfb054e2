//! The failure detector: where each attempt is that the runs owe, and which of them are lost.
//!
//! There is no other one. An attempt is lost when it is no longer queued and has been in nobody's hands for
//! [`LOST_AFTER`], or when the queue is younger than its offer. What is lost and what that means is then decided by the
//! engine; here nobody decides, and nothing is remembered that a restart could not do without.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::id::{Attempt, RunKey, StepNo};
use engine::job::AttemptKey;
use engine::pool::Pool;
use store::port::{Offered, Queue};
use tokio::time::Instant;

/// In nobody's hands for so long, an attempt is lost: three of the workers' "in hand" every 3 s may go missing.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(10);

/// Where an attempt is, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the journal alone: nobody was offered it yet.
    Backlog,
    /// Its offer is on the way.
    Offering,
    /// In the queue, at that place.
    Queued(Offered),
    /// Out of the queue since then, and nobody said to have it.
    Gone(Instant),
    /// In somebody's hands, who said so last at that time.
    Held(Instant),
}

/// The attempts that are owed, where they are, and which pool is to call them.
#[derive(Default)]
pub(crate) struct Detector {
    all: BTreeMap<AttemptKey, (Place, Pool)>,
    /// Those outside the backlog: what [`Self::lost`] looks at.
    out: BTreeSet<AttemptKey>,
    counts: BTreeMap<Pool, Counts>,
}

/// How many attempts of a pool are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// In the journal alone.
    pub(crate) backlog: usize,
    /// In the queue, or on their way there.
    pub(crate) queued: usize,
    /// In somebody's hands.
    pub(crate) held: usize,
    /// Out of the queue, and in nobody's hands as far as is known.
    pub(crate) gone: usize,
}

impl Counts {
    fn at(&mut self, place: Place) -> &mut usize {
        match place {
            Place::Backlog => &mut self.backlog,
            Place::Offering | Place::Queued(_) => &mut self.queued,
            Place::Held(_) => &mut self.held,
            Place::Gone(_) => &mut self.gone,
        }
    }
}

impl Detector {
    /// Where the attempt is; `None` when it is not owed.
    pub(crate) fn place(&self, attempt: &AttemptKey) -> Option<Place> {
        self.all.get(attempt).map(|(place, _)| *place)
    }

    /// The pool that is to call the attempt.
    pub(crate) fn pool(&self, attempt: &AttemptKey) -> Option<&Pool> {
        self.all.get(attempt).map(|(_, pool)| pool)
    }

    /// The attempts of a run that are owed as far as is known here.
    pub(crate) fn of(&self, run: &RunKey) -> Vec<AttemptKey> {
        self.attempts(run).cloned().collect()
    }

    /// Whether the run owes an attempt as far as is known here.
    pub(crate) fn has(&self, run: &RunKey) -> bool {
        self.attempts(run).next().is_some()
    }

    fn attempts<'a>(&'a self, run: &'a RunKey) -> impl Iterator<Item = &'a AttemptKey> {
        let from = AttemptKey {
            key: run.clone(),
            step: StepNo(0),
            attempt: Attempt(0),
        };
        let rest = self.all.range(from..).map(|(attempt, _)| attempt);
        rest.take_while(|a| a.key == *run)
    }

    /// Whether an attempt of the run is in somebody's hands.
    pub(crate) fn is_held(&self, run: &RunKey) -> bool {
        let held = |a| matches!(self.place(a), Some(Place::Held(_)));
        self.counts.values().any(|c| c.held > 0) && self.of(run).iter().any(held)
    }

    /// The attempt is owed, is there, and is for that pool.
    pub(crate) fn add(&mut self, attempt: &AttemptKey, place: Place, pool: Pool) {
        self.remove(attempt);
        if !is_backlog(place) {
            self.out.insert(attempt.clone());
        }
        *self.counts.entry(pool.clone()).or_default().at(place) += 1;
        self.all.insert(attempt.clone(), (place, pool));
    }

    /// From now on the attempt, if it is owed, is there.
    pub(crate) fn put(&mut self, attempt: &AttemptKey, place: Place) {
        let Some((old, pool)) = self.all.get_mut(attempt) else {
            return;
        };
        let counts = self.counts.entry(pool.clone()).or_default();
        *counts.at(*old) -= 1;
        *counts.at(place) += 1;
        *old = place;
        if is_backlog(place) {
            self.out.remove(attempt);
        } else if !self.out.contains(attempt) {
            self.out.insert(attempt.clone());
        }
    }

    /// The attempt is not owed any more; answers where it was.
    pub(crate) fn remove(&mut self, attempt: &AttemptKey) -> Option<Place> {
        let (place, pool) = self.all.remove(attempt)?;
        self.out.remove(attempt);
        *self.counts.entry(pool).or_default().at(place) -= 1;
        Some(place)
    }

    /// The attempts were queued at these places of the pool's queue. What somebody has in hand already stays so, and what
    /// was sent to another pool meanwhile.
    pub(crate) fn offered(&mut self, pool: &Pool, attempts: &[AttemptKey], offered: &[Offered]) {
        for (attempt, offered) in attempts.iter().zip(offered) {
            if self.is_offered(pool, attempt) {
                self.put(attempt, Place::Queued(*offered));
            }
        }
    }

    /// Whether an offer of the attempt to the pool is on its way.
    pub(crate) fn is_offered(&self, pool: &Pool, attempt: &AttemptKey) -> bool {
        let known = self.all.get(attempt);
        known.is_some_and(|(place, of)| *place == Place::Offering && of == pool)
    }

    /// Somebody has the attempt in hand; answers whether it is owed.
    pub(crate) fn held(&mut self, attempt: &AttemptKey, now: Instant) -> bool {
        let owed = self.all.contains_key(attempt);
        if owed {
            self.put(attempt, Place::Held(now));
        }
        owed
    }

    /// The pools on whose queue something hangs.
    pub(crate) fn asks_queues(&self) -> Vec<Pool> {
        self.pools_with(|counts| counts.queued > 0)
    }

    /// The pools with a backlog.
    pub(crate) fn behind(&self) -> Vec<Pool> {
        self.pools_with(|counts| counts.backlog > 0)
    }

    fn pools_with(&self, which: impl Fn(&Counts) -> bool) -> Vec<Pool> {
        let pools = self.counts.iter().filter(|(_, counts)| which(counts));
        pools.map(|(pool, _)| pool.clone()).collect()
    }

    /// How many attempts of a pool are queued or on their way there.
    pub(crate) fn queued(&self, pool: &Pool) -> usize {
        self.counts.get(pool).map_or(0, |counts| counts.queued)
    }

    /// How many attempts are where, by pool.
    pub(crate) fn counts(&self) -> &BTreeMap<Pool, Counts> {
        &self.counts
    }

    /// The attempts of a pool that are queued or on their way there.
    pub(crate) fn queued_in(&self, pool: &Pool) -> Vec<AttemptKey> {
        let queued = |attempt: &&AttemptKey| match self.all.get(attempt) {
            Some((Place::Offering | Place::Queued(_), of)) => of == pool,
            Some(_) | None => false,
        };
        self.out.iter().filter(queued).cloned().collect()
    }

    /// Whether no attempt is outside the backlog: then there is nothing to look after.
    pub(crate) fn is_idle(&self) -> bool {
        self.out.is_empty()
    }

    /// The attempts that are lost at `now`, as the queue of one pool stands. Each is told again after another
    /// [`LOST_AFTER`], unless it was settled meanwhile.
    pub(crate) fn lost(&mut self, now: Instant, queue: Option<(&Pool, Queue)>) -> Vec<AttemptKey> {
        let mut lost = Vec::new();
        for attempt in self.out.clone() {
            let Some((place, pool)) = self.all.get(&attempt) else {
                continue;
            };
            let place = *place;
            let of_it = queue.filter(|(seen, _)| *seen == pool);
            let next = after(place, now, of_it.map(|(_, queue)| queue));
            if next != place {
                self.put(&attempt, next);
            }
            if let Some(Place::Gone(since)) = self.place(&attempt)
                && since + LOST_AFTER <= now
            {
                self.put(&attempt, Place::Gone(now));
                lost.push(attempt);
            }
        }
        lost
    }
}

fn is_backlog(place: Place) -> bool {
    match place {
        Place::Backlog => true,
        Place::Offering | Place::Queued(_) | Place::Gone(_) | Place::Held(_) => false,
    }
}

/// Where an attempt is, now that time has passed and the queue is seen.
fn after(place: Place, now: Instant, queue: Option<Queue>) -> Place {
    match (place, queue) {
        // The queue was lost with it: there is nothing to wait for.
        (Place::Queued(offered), Some(queue)) if offered.epoch != queue.epoch => {
            Place::Gone(now.checked_sub(LOST_AFTER).unwrap_or(now))
        }
        (Place::Queued(offered), Some(queue)) if offered.place < queue.front => Place::Gone(now),
        (Place::Held(since), _) if since + LOST_AFTER <= now => Place::Gone(since),
        (
            Place::Backlog | Place::Offering | Place::Queued(_) | Place::Gone(_) | Place::Held(_),
            _,
        ) => place,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::id::{RunId, Shard, Tenant};
    use engine::time::Timestamp;

    fn attempt(run: u64, step: u32) -> AttemptKey {
        let id = RunId::new(Timestamp::from_millis(1), Shard(0), run);
        let key = RunKey {
            tenant: Tenant::default(),
            run: id,
        };
        AttemptKey {
            key,
            step: StepNo(step),
            attempt: Attempt(1),
        }
    }

    fn offered(attempts: &[AttemptKey]) -> Detector {
        let mut detector = Detector::default();
        for attempt in attempts {
            detector.add(attempt, Place::Offering, Pool::default());
        }
        let places = (5..).zip(attempts);
        let offered: Vec<_> = places
            .map(|(place, _)| Offered { epoch: 1, place })
            .collect();
        detector.offered(&Pool::default(), attempts, &offered);
        detector
    }

    fn seen(pool: &Pool, epoch: u64, front: u64) -> Option<(&Pool, Queue)> {
        let length = 0;
        let queue = Queue {
            epoch,
            front,
            length,
        };
        Some((pool, queue))
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_queued_is_not_lost_however_long_it_waits() {
        let start = Instant::now();
        let mut detector = offered(&[attempt(1, 0), attempt(1, 1)]);
        assert_eq!(
            detector.lost(start + 1000 * SECOND, seen(&Pool::default(), 1, 5)),
            []
        );
        assert_eq!(detector.lost(start + 2000 * SECOND, None), []);
        assert_eq!(detector.queued(&Pool::default()), 2);
    }

    #[test]
    fn what_left_the_queue_is_lost_after_ten_seconds_in_nobody_s_hands() {
        let start = Instant::now();
        let (first, second) = (attempt(1, 0), attempt(1, 1));
        let mut detector = offered(&[first.clone(), second.clone()]);
        assert_eq!(detector.lost(start, seen(&Pool::default(), 1, 6)), []);
        assert_eq!(
            detector.lost(start + 9 * SECOND, seen(&Pool::default(), 1, 6)),
            []
        );
        assert_eq!(
            detector.lost(start + LOST_AFTER, seen(&Pool::default(), 1, 6)),
            [first]
        );
        let queued = Place::Queued(Offered { epoch: 1, place: 6 });
        assert_eq!(detector.place(&second), Some(queued));
        assert_eq!(detector.queued(&Pool::default()), 1);
    }

    #[test]
    fn what_somebody_holds_is_lost_ten_seconds_after_they_last_said_so() {
        let start = Instant::now();
        let one = attempt(1, 0);
        let mut detector = offered(std::slice::from_ref(&one));
        assert!(detector.held(&one, start));
        assert!(detector.held(&one, start + 3 * SECOND));
        assert_eq!(
            detector.lost(start + 12 * SECOND, seen(&Pool::default(), 1, 9)),
            []
        );
        assert_eq!(
            detector.lost(start + 13 * SECOND, seen(&Pool::default(), 1, 9)),
            std::slice::from_ref(&one)
        );
        assert_eq!(
            detector.lost(start + 14 * SECOND, seen(&Pool::default(), 1, 9)),
            []
        );
        assert_eq!(
            detector.lost(start + 23 * SECOND, seen(&Pool::default(), 1, 9)),
            [one]
        );
    }

    #[test]
    fn a_queue_younger_than_the_offer_has_lost_it() {
        let start = Instant::now() + LOST_AFTER;
        let (first, second) = (attempt(1, 0), attempt(1, 1));
        let mut detector = offered(&[first.clone(), second.clone()]);
        detector.held(&second, start);
        assert_eq!(detector.lost(start, seen(&Pool::default(), 2, 0)), [first]);
    }

    #[test]
    fn an_offer_answered_after_the_job_was_taken_changes_nothing() {
        let now = Instant::now();
        let one = attempt(1, 0);
        let mut detector = Detector::default();
        detector.add(&one, Place::Offering, Pool::default());
        detector.held(&one, now);
        detector.offered(
            &Pool::default(),
            std::slice::from_ref(&one),
            &[Offered { epoch: 1, place: 0 }],
        );
        assert_eq!(detector.place(&one), Some(Place::Held(now)));
    }

    #[test]
    fn runs_are_told_apart_and_everything_is_counted() {
        let now = Instant::now();
        let mut detector = offered(&[attempt(1, 0), attempt(1, 1), attempt(2, 0)]);
        detector.add(&attempt(3, 0), Place::Backlog, Pool::default());
        detector.held(&attempt(1, 1), now);
        let key = attempt(1, 0).key;
        assert_eq!(detector.of(&key), [attempt(1, 0), attempt(1, 1)]);
        assert!(detector.is_held(&key) && !detector.is_held(&attempt(2, 0).key));
        assert!(!detector.held(&attempt(9, 0), now));
        let pool = Pool::default();
        let counts = Counts {
            backlog: 1,
            queued: 2,
            held: 1,
            gone: 0,
        };
        assert_eq!(detector.counts().get(&pool), Some(&counts));
        assert_eq!(detector.remove(&attempt(1, 1)), Some(Place::Held(now)));
        detector.remove(&attempt(1, 0));
        detector.remove(&attempt(2, 0));
        detector.remove(&attempt(3, 0));
        assert!(detector.is_idle() && detector.asks_queues().is_empty());
        assert_eq!(detector.counts().get(&pool), Some(&Counts::default()));
    }

    #[test]
    fn one_pool_s_queue_says_nothing_about_another_s() {
        let start = Instant::now();
        let [far, near] = ["far", "near"].map(|name| Pool::new(name).expect("a name"));
        let (one, two) = (attempt(1, 0), attempt(2, 0));
        let mut detector = Detector::default();
        for (attempt, pool) in [(&one, &far), (&two, &near)] {
            detector.add(attempt, Place::Offering, pool.clone());
            detector.offered(
                pool,
                std::slice::from_ref(attempt),
                &[Offered { epoch: 1, place: 5 }],
            );
        }
        assert_eq!(detector.asks_queues(), [far.clone(), near.clone()]);
        assert_eq!(detector.queued_in(&far), std::slice::from_ref(&one));
        // Both stand at place 5, and only the near one has left its queue.
        assert_eq!(detector.lost(start, seen(&near, 1, 6)), []);
        assert_eq!(detector.lost(start + LOST_AFTER, seen(&far, 1, 5)), [two]);
        assert_eq!(detector.queued(&far), 1);
        // The far one's queue was made anew.
        assert_eq!(detector.lost(start, seen(&near, 2, 0)), []);
        assert_eq!(detector.lost(start, seen(&far, 2, 0)), [one]);
    }
}
