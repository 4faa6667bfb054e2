//! No more deliveries than a hook's rate.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use engine::definition::Rate;
use engine::time::Timestamp;

/// A bucket for each hook: it holds `max`, and fills up in `per`.
#[derive(Default)]
pub(crate) struct Rates(Mutex<BTreeMap<String, Bucket>>);

struct Bucket {
    rate: Rate,
    /// In thousandths of a delivery.
    level: u64,
    at: Timestamp,
}

impl Rates {
    /// Takes one delivery, or says in how many seconds there is one.
    pub(crate) fn take(&self, hook: &str, rate: Rate, now: Timestamp) -> Result<(), u32> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket {
            rate,
            level: u64::from(rate.max) * 1_000,
            at: now,
        };
        let bucket = buckets.entry(hook.to_owned()).or_insert(full);
        if bucket.rate != rate {
            bucket.rate = rate;
            bucket.level = bucket.level.min(u64::from(rate.max) * 1_000);
        }
        bucket.fill(now);
        if bucket.level >= 1_000 {
            bucket.level -= 1_000;
            return Ok(());
        }
        Err(bucket.seconds_to_next())
    }
}

impl Bucket {
    fn fill(&mut self, now: Timestamp) {
        let max = u64::from(self.rate.max) * 1_000;
        let per = self.rate.per.millis().max(1);
        let passed = now.millis_since(self.at).min(per);
        let more = passed * max / per;
        // What is too little to count stays in the clock.
        if more > 0 {
            self.level = (self.level + more).min(max);
            self.at = now;
        }
    }

    fn seconds_to_next(&self) -> u32 {
        let max = u64::from(self.rate.max).max(1) * 1_000;
        let ms = (1_000 - self.level.min(1_000)) * self.rate.per.millis() / max;
        u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::duration::Duration;

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let rates = Rates::default();
        let rate = Rate {
            max: 2,
            per: Duration::from_secs(60),
        };
        let at = |seconds: u64| Timestamp::from_millis(1_000_000 + seconds * 1_000);
        assert_eq!(rates.take("a", rate, at(0)), Ok(()));
        assert_eq!(rates.take("a", rate, at(0)), Ok(()));
        assert_eq!(rates.take("a", rate, at(0)), Err(30));
        assert_eq!(
            rates.take("b", rate, at(0)),
            Ok(()),
            "each hook has its own"
        );
        assert!(rates.take("a", rate, at(29)).is_err());
        assert_eq!(rates.take("a", rate, at(31)), Ok(()));
        assert!(rates.take("a", rate, at(32)).is_err());
    }
}
