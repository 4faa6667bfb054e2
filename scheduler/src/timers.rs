//! When which run must be looked at: an index, so that a million waiting runs cost memory and nothing else.

use std::collections::{BTreeSet, HashMap};

use engine::id::RunKey;
use engine::time::Timestamp;

/// Runs by the time at which they are due. A timer is no message: what is lost here comes back with the summaries.
#[derive(Default)]
pub(crate) struct Timers {
    by_due: BTreeSet<(Timestamp, RunKey)>,
    of: HashMap<RunKey, Timestamp>,
}

impl Timers {
    /// From now on `key` is due at `due`, or never.
    pub(crate) fn set(&mut self, key: &RunKey, due: Option<Timestamp>) {
        if self.of(key) == due {
            return;
        }
        if let Some(old) = self.of.remove(key) {
            self.by_due.remove(&(old, key.clone()));
        }
        if let Some(due) = due {
            self.of.insert(key.clone(), due);
            self.by_due.insert((due, key.clone()));
        }
    }

    /// When the next run is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// When this run is due.
    pub(crate) fn of(&self, key: &RunKey) -> Option<Timestamp> {
        self.of.get(key).copied()
    }

    /// Takes up to `max` runs that are due at `now`, in the order in which they became due. Whoever looks at such a run
    /// sets its next time.
    pub(crate) fn take_due(&mut self, now: Timestamp, max: usize) -> Vec<RunKey> {
        let mut taken = Vec::new();
        while taken.len() < max && self.next().is_some_and(|due| due <= now) {
            if let Some((_, key)) = self.by_due.pop_first() {
                self.of.remove(&key);
                taken.push(key);
            }
        }
        taken
    }

    /// How many runs wait for a time.
    pub(crate) fn len(&self) -> usize {
        self.by_due.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::id::{RunId, Shard, Tenant};

    fn key(n: u64) -> RunKey {
        let run = RunId::new(Timestamp::from_millis(1), Shard(0), n);
        RunKey {
            tenant: Tenant::default(),
            run,
        }
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn runs_come_in_the_order_in_which_they_are_due_and_once() {
        let mut timers = Timers::default();
        timers.set(&key(1), Some(at(30)));
        timers.set(&key(2), Some(at(10)));
        timers.set(&key(3), Some(at(20)));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.take_due(at(9), 10), []);
        assert_eq!(timers.take_due(at(25), 10), [key(2), key(3)]);
        assert_eq!(timers.take_due(at(25), 10), []);
        assert_eq!(timers.take_due(at(30), 10), [key(1)]);
        assert_eq!((timers.next(), timers.len()), (None, 0));
    }

    #[test]
    fn no_more_are_taken_than_asked_for() {
        let mut timers = Timers::default();
        for n in 0..5 {
            timers.set(&key(n), Some(at(n)));
        }
        assert_eq!(timers.take_due(at(9), 2), [key(0), key(1)]);
        assert_eq!(timers.len(), 3);
    }

    #[test]
    fn a_new_time_replaces_the_old_one() {
        let mut timers = Timers::default();
        timers.set(&key(1), Some(at(10)));
        timers.set(&key(1), Some(at(50)));
        assert_eq!(timers.take_due(at(49), 10), []);
        assert_eq!(timers.next(), Some(at(50)));
        timers.set(&key(1), None);
        assert_eq!((timers.next(), timers.len()), (None, 0));
    }
}
