//! One attempt at a time per idempotency key, and never an overtaken one.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Mutex as Turn;
use tokio_util::sync::CancellationToken;

/// How many keys are remembered. A key that is forgotten loses its protection here; the engine's own fence
/// remains.
const KEYS_MAX: usize = 20_000;

/// The highest fence seen for each key.
#[derive(Debug, Default)]
pub(crate) struct Fences(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    by_key: HashMap<String, Entry>,
    oldest_first: VecDeque<String>,
}

#[derive(Debug)]
struct Entry {
    fence: u64,
    turn: Arc<Turn<()>>,
    current: CancellationToken,
}

impl Fences {
    /// Lets an attempt in and cancels the ones that it overtakes; the attempt then waits for its turn.
    /// The error is the higher fence that was seen.
    pub(crate) fn enter(
        &self,
        key: &str,
        fence: u64,
        cancelled: &CancellationToken,
    ) -> Result<Arc<Turn<()>>, u64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = seen.by_key.get_mut(key) {
            if fence < entry.fence {
                return Err(entry.fence);
            }
            if fence > entry.fence {
                entry.current.cancel();
                entry.fence = fence;
            }
            entry.current = cancelled.clone();
            return Ok(Arc::clone(&entry.turn));
        }
        seen.forget();
        let turn = Arc::new(Turn::new(()));
        let entry = Entry {
            fence,
            turn: Arc::clone(&turn),
            current: cancelled.clone(),
        };
        seen.by_key.insert(key.to_owned(), entry);
        seen.oldest_first.push_back(key.to_owned());
        Ok(turn)
    }

    /// Whether an attempt was overtaken, by which fence.
    pub(crate) fn overtaken(&self, key: &str, fence: u64) -> Option<u64> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.by_key
            .get(key)
            .map(|entry| entry.fence)
            .filter(|highest| fence < *highest)
    }

    /// The turn of a key, if an attempt of it came by.
    pub(crate) fn turn(&self, key: &str) -> Option<Arc<Turn<()>>> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.by_key.get(key).map(|entry| Arc::clone(&entry.turn))
    }
}

impl Seen {
    /// Makes room for one key. Running attempts hold their turn and are kept.
    fn forget(&mut self) {
        for _ in 0..self.oldest_first.len() {
            if self.by_key.len() < KEYS_MAX {
                return;
            }
            let Some(key) = self.oldest_first.pop_front() else {
                return;
            };
            if self
                .by_key
                .get(&key)
                .is_some_and(|entry| Arc::strong_count(&entry.turn) > 1)
            {
                self.oldest_first.push_back(key);
            } else {
                self.by_key.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_fence_is_refused_and_a_higher_one_cancels() {
        let fences = Fences::default();
        let (first, second) = (CancellationToken::new(), CancellationToken::new());
        fences.enter("k", 3, &first).expect("the first");
        assert_eq!(
            fences.enter("k", 2, &CancellationToken::new()).err(),
            Some(3)
        );
        assert!(!first.is_cancelled());
        fences.enter("k", 4, &second).expect("a later attempt");
        assert!(first.is_cancelled() && !second.is_cancelled());
        assert_eq!(
            (fences.overtaken("k", 3), fences.overtaken("k", 4)),
            (Some(4), None)
        );
    }

    #[test]
    fn attempts_of_one_key_share_a_turn() {
        let fences = Fences::default();
        let one = fences
            .enter("k", 1, &CancellationToken::new())
            .expect("the first");
        let two = fences
            .enter("k", 1, &CancellationToken::new())
            .expect("the same again");
        let other = fences
            .enter("other", 1, &CancellationToken::new())
            .expect("another key");
        let _running = one.try_lock().expect("free");
        assert!(two.try_lock().is_err() && other.try_lock().is_ok());
    }

    #[test]
    fn the_oldest_idle_keys_are_forgotten() {
        let fences = Fences::default();
        let running = fences
            .enter("running", 9, &CancellationToken::new())
            .expect("the first");
        for n in 0..=KEYS_MAX {
            fences
                .enter(&format!("idle-{n}"), 9, &CancellationToken::new())
                .expect("new");
        }
        assert_eq!(
            fences.overtaken("running", 1),
            Some(9),
            "a running attempt keeps its fence"
        );
        assert_eq!(fences.overtaken("idle-0", 1), None);
        assert_eq!(fences.0.lock().expect("no panic").by_key.len(), KEYS_MAX);
        drop(running);
    }
}
