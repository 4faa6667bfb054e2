//! Attempts that workers hold and nobody waits for any more, so that the next "in hand" is answered without a look at
//! the journal.

use std::collections::{BTreeSet, VecDeque};

use engine::job::AttemptKey;

/// So many are remembered; of an older one its run is read again.
const KEPT_MAX: usize = 10_000;

/// The last attempts that were found unwanted.
#[derive(Debug, Default)]
pub(crate) struct Unwanted {
    attempts: BTreeSet<AttemptKey>,
    order: VecDeque<AttemptKey>,
}

impl Unwanted {
    pub(crate) fn insert(&mut self, attempt: AttemptKey) {
        if self.attempts.insert(attempt.clone()) {
            self.order.push_back(attempt);
        }
        if self.order.len() > KEPT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.attempts.remove(&oldest);
        }
    }

    pub(crate) fn contains(&self, attempt: &AttemptKey) -> bool {
        self.attempts.contains(attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::id::{Attempt, RunId, RunKey, Shard, StepNo, Tenant};
    use engine::time::Timestamp;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let run = RunId::new(Timestamp::from_millis(1), Shard(0), 1);
        let key = RunKey {
            tenant: Tenant::default(),
            run,
        };
        let attempt = |n: usize| AttemptKey {
            key: key.clone(),
            step: StepNo(u32::try_from(n).expect("small")),
            attempt: Attempt(1),
        };
        let mut unwanted = Unwanted::default();
        for n in 0..=KEPT_MAX {
            unwanted.insert(attempt(n));
            unwanted.insert(attempt(n));
        }
        assert!(!unwanted.contains(&attempt(0)));
        assert!(unwanted.contains(&attempt(1)) && unwanted.contains(&attempt(KEPT_MAX)));
        assert_eq!(unwanted.attempts.len(), KEPT_MAX);
    }
}
