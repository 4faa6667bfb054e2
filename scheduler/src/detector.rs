//! The failure detector: where each attempt is that the runs owe, and which of them are lost.
//!
//! There is no other one. An attempt is lost when it is no longer queued and has been in nobody's hands for
//! [`LOST_AFTER`], or when the queue is younger than its offer. What is lost and what that means is then decided by the
//! engine; here nobody decides, and nothing is remembered that a restart could not do without.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::id::{Attempt, RunKey, StepNo};
use engine::job::AttemptKey;
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

/// The attempts that are owed, and where they are.
#[derive(Default)]
pub(crate) struct Detector {
    all: BTreeMap<AttemptKey, Place>,
    /// Those outside the backlog: what [`Self::lost`] looks at.
    out: BTreeSet<AttemptKey>,
    queued: usize,
    held: usize,
}

impl Detector {
    /// Where the attempt is; `None` when it is not owed.
    pub(crate) fn place(&self, attempt: &AttemptKey) -> Option<Place> {
        self.all.get(attempt).copied()
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
        self.held > 0 && self.of(run).iter().any(held)
    }

    /// From now on the attempt is there.
    pub(crate) fn put(&mut self, attempt: &AttemptKey, place: Place) {
        self.uncount(attempt);
        match place {
            Place::Backlog => {
                self.out.remove(attempt);
            }
            Place::Offering | Place::Queued(_) | Place::Gone(_) | Place::Held(_) => {
                self.out.insert(attempt.clone());
            }
        }
        self.queued += usize::from(is_queued(place));
        self.held += usize::from(matches!(place, Place::Held(_)));
        self.all.insert(attempt.clone(), place);
    }

    /// The attempt is not owed any more; answers where it was.
    pub(crate) fn remove(&mut self, attempt: &AttemptKey) -> Option<Place> {
        self.uncount(attempt);
        self.out.remove(attempt);
        self.all.remove(attempt)
    }

    fn uncount(&mut self, attempt: &AttemptKey) {
        if let Some(place) = self.place(attempt) {
            self.queued -= usize::from(is_queued(place));
            self.held -= usize::from(matches!(place, Place::Held(_)));
        }
    }

    /// The attempts were queued at these places. What somebody has in hand already stays so.
    pub(crate) fn offered(&mut self, attempts: &[AttemptKey], offered: &[Offered]) {
        for (attempt, offered) in attempts.iter().zip(offered) {
            if self.place(attempt) == Some(Place::Offering) {
                self.put(attempt, Place::Queued(*offered));
            }
        }
    }

    /// Somebody has the attempt in hand; answers whether it is owed.
    pub(crate) fn held(&mut self, attempt: &AttemptKey, now: Instant) -> bool {
        let owed = self.all.contains_key(attempt);
        if owed {
            self.put(attempt, Place::Held(now));
        }
        owed
    }

    /// Whether anything hangs on the state of the queue.
    pub(crate) fn asks_queue(&self) -> bool {
        self.queued > 0
    }

    /// How many attempts are queued or on their way there.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// How many attempts are in somebody's hands.
    pub(crate) fn busy(&self) -> usize {
        self.held
    }

    /// How many attempts wait in the journal alone.
    pub(crate) fn backlog(&self) -> usize {
        self.all.len() - self.out.len()
    }

    /// Whether no attempt is outside the backlog: then there is nothing to look after.
    pub(crate) fn is_idle(&self) -> bool {
        self.out.is_empty()
    }

    /// The attempts that are lost at `now`, as `queue` stands. Each is told again after another [`LOST_AFTER`], unless it
    /// was settled meanwhile.
    pub(crate) fn lost(&mut self, now: Instant, queue: Option<Queue>) -> Vec<AttemptKey> {
        let mut lost = Vec::new();
        for attempt in self.out.clone() {
            let Some(place) = self.place(&attempt) else {
                continue;
            };
            let next = after(place, now, queue);
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

fn is_queued(place: Place) -> bool {
    match place {
        Place::Offering | Place::Queued(_) => true,
        Place::Backlog | Place::Gone(_) | Place::Held(_) => false,
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
            detector.put(attempt, Place::Offering);
        }
        let places = (5..).zip(attempts);
        let offered: Vec<_> = places
            .map(|(place, _)| Offered { epoch: 1, place })
            .collect();
        detector.offered(attempts, &offered);
        detector
    }

    fn queue(epoch: u64, front: u64) -> Option<Queue> {
        let length = 0;
        Some(Queue {
            epoch,
            front,
            length,
        })
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_queued_is_not_lost_however_long_it_waits() {
        let start = Instant::now();
        let mut detector = offered(&[attempt(1, 0), attempt(1, 1)]);
        assert_eq!(detector.lost(start + 1000 * SECOND, queue(1, 5)), []);
        assert_eq!(detector.lost(start + 2000 * SECOND, None), []);
        assert_eq!(detector.queued(), 2);
    }

    #[test]
    fn what_left_the_queue_is_lost_after_ten_seconds_in_nobody_s_hands() {
        let start = Instant::now();
        let (first, second) = (attempt(1, 0), attempt(1, 1));
        let mut detector = offered(&[first.clone(), second.clone()]);
        assert_eq!(detector.lost(start, queue(1, 6)), []);
        assert_eq!(detector.lost(start + 9 * SECOND, queue(1, 6)), []);
        assert_eq!(detector.lost(start + LOST_AFTER, queue(1, 6)), [first]);
        let queued = Place::Queued(Offered { epoch: 1, place: 6 });
        assert_eq!(detector.place(&second), Some(queued));
        assert_eq!(detector.queued(), 1);
    }

    #[test]
    fn what_somebody_holds_is_lost_ten_seconds_after_they_last_said_so() {
        let start = Instant::now();
        let one = attempt(1, 0);
        let mut detector = offered(std::slice::from_ref(&one));
        assert!(detector.held(&one, start));
        assert!(detector.held(&one, start + 3 * SECOND));
        assert_eq!(detector.lost(start + 12 * SECOND, queue(1, 9)), []);
        assert_eq!(
            detector.lost(start + 13 * SECOND, queue(1, 9)),
            std::slice::from_ref(&one)
        );
        assert_eq!(detector.lost(start + 14 * SECOND, queue(1, 9)), []);
        assert_eq!(detector.lost(start + 23 * SECOND, queue(1, 9)), [one]);
    }

    #[test]
    fn a_queue_younger_than_the_offer_has_lost_it() {
        let start = Instant::now() + LOST_AFTER;
        let (first, second) = (attempt(1, 0), attempt(1, 1));
        let mut detector = offered(&[first.clone(), second.clone()]);
        detector.held(&second, start);
        assert_eq!(detector.lost(start, queue(2, 0)), [first]);
    }

    #[test]
    fn an_offer_answered_after_the_job_was_taken_changes_nothing() {
        let now = Instant::now();
        let one = attempt(1, 0);
        let mut detector = Detector::default();
        detector.put(&one, Place::Offering);
        detector.held(&one, now);
        detector.offered(
            std::slice::from_ref(&one),
            &[Offered { epoch: 1, place: 0 }],
        );
        assert_eq!(detector.place(&one), Some(Place::Held(now)));
    }

    #[test]
    fn runs_are_told_apart_and_everything_is_counted() {
        let now = Instant::now();
        let mut detector = offered(&[attempt(1, 0), attempt(1, 1), attempt(2, 0)]);
        detector.put(&attempt(3, 0), Place::Backlog);
        detector.held(&attempt(1, 1), now);
        let key = attempt(1, 0).key;
        assert_eq!(detector.of(&key), [attempt(1, 0), attempt(1, 1)]);
        assert!(detector.is_held(&key) && !detector.is_held(&attempt(2, 0).key));
        assert!(!detector.held(&attempt(9, 0), now));
        let counts = (detector.queued(), detector.busy(), detector.backlog());
        assert_eq!(counts, (2, 1, 1));
        assert_eq!(detector.remove(&attempt(1, 1)), Some(Place::Held(now)));
        detector.remove(&attempt(1, 0));
        detector.remove(&attempt(2, 0));
        detector.remove(&attempt(3, 0));
        assert!(detector.is_idle() && !detector.asks_queue());
        assert_eq!((detector.busy(), detector.backlog()), (0, 0));
    }
}
