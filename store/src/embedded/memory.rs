//! What may be lost: a map with an end for each entry and a bound over all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::time::Timestamp;

use crate::Error;
use crate::clock::Clock;
use crate::lock;
use crate::port::Memory;

/// What an entry costs beside its bytes.
const ENTRY_BYTES: usize = 128;

pub(super) struct Cache {
    clock: Arc<dyn Clock>,
    bytes_max: usize,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    by_key: BTreeMap<String, Entry>,
    /// Keys in the order of their last writing, each with the number of that writing.
    order: VecDeque<(u64, String)>,
    written: u64,
    bytes: usize,
}

struct Entry {
    value: Vec<u8>,
    expires: Timestamp,
    written: u64,
}

impl Cache {
    pub(super) fn new(clock: Arc<dyn Clock>, bytes_max: usize) -> Self {
        let entries = Mutex::default();
        Self {
            clock,
            bytes_max,
            entries,
        }
    }
}

#[async_trait]
impl Memory for Cache {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let now = self.clock.now();
        let entries = lock(&self.entries);
        let entry = entries.by_key.get(key).filter(|entry| entry.expires > now);
        Ok(entry.map(|entry| entry.value.clone()))
    }

    async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), Error> {
        let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let now = self.clock.now().millis();
        let expires = Timestamp::from_millis(now.saturating_add(ms));
        let mut entries = lock(&self.entries);
        entries.remove(key);
        entries.insert(key, value, expires);
        entries.shrink_to(self.bytes_max);
        Ok(())
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        lock(&self.entries).remove(key);
        Ok(())
    }
}

impl Entries {
    fn insert(&mut self, key: &str, value: &[u8], expires: Timestamp) {
        self.written += 1;
        self.bytes += weight(key, value);
        self.order.push_back((self.written, key.to_owned()));
        let (value, written) = (value.to_vec(), self.written);
        let entry = Entry {
            value,
            expires,
            written,
        };
        self.by_key.insert(key.to_owned(), entry);
    }

    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.by_key.remove(key) {
            self.bytes -= weight(key, &entry.value);
        }
        // Removed ones stay in the order until their turn comes; that is at most as many as there are entries.
        if self.order.len() > 2 * self.by_key.len() + 64 {
            let by_key = &self.by_key;
            let is_current = |(written, key): &(u64, String)| {
                by_key
                    .get(key)
                    .is_some_and(|entry| entry.written == *written)
            };
            self.order.retain(is_current);
        }
    }

    /// The oldest goes first, expired or not.
    fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some((written, key)) = self.order.pop_front() else {
                return;
            };
            if self
                .by_key
                .get(&key)
                .is_some_and(|entry| entry.written == written)
            {
                self.remove(&key);
            }
        }
    }
}

fn weight(key: &str, value: &[u8]) -> usize {
    2 * key.len() + value.len() + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(1)
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn over_its_bound_the_oldest_goes() -> Result<(), Error> {
        let cache = Cache::new(Arc::new(Fixed), 3_000);
        for i in 0..100 {
            cache
                .put(&format!("k{i}"), &[7; 500], Duration::from_secs(9))
                .await?;
            cache.put("same", &[i; 100], Duration::from_secs(9)).await?;
        }
        assert_eq!(cache.get("k99").await?, Some(vec![7; 500]));
        assert_eq!(cache.get("same").await?, Some(vec![99; 100]));
        assert_eq!(cache.get("k0").await?, None);
        let entries = lock(&cache.entries);
        assert!(entries.bytes <= 3_000, "{}", entries.bytes);
        assert!(entries.order.len() <= 80, "{}", entries.order.len());
        Ok(())
    }
}
