//! Time and chance, injected, so that the simulation owns both.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use engine::id::Nonce;
use engine::time::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// What time it is. Sleeping goes through `tokio::time`, which the simulation pauses.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Where ids and nonces come from.
pub trait Random: Send + Sync {
    /// 64 random bits.
    fn bits(&self) -> u64;

    /// A new nonce.
    fn nonce(&self) -> Nonce {
        let mut bytes = [0u8; 16];
        bytes[..8].copy_from_slice(&self.bits().to_be_bytes());
        bytes[8..].copy_from_slice(&self.bits().to_be_bytes());
        Nonce(bytes)
    }
}

/// The clock of a process: the wall's time when it started, plus the time that has passed since, sleep of the machine
/// included (`CLOCK_BOOTTIME`). It never goes backwards, and a step of the wall's clock does not move it.
#[derive(Debug)]
pub struct ProcessClock {
    wall_at_start: u64,
    boot_at_start: u64,
    latest: AtomicU64,
}

impl ProcessClock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            wall_at_start: millis(ClockId::Realtime),
            boot_at_start: millis(ClockId::Boottime),
            latest: AtomicU64::new(0),
        }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        let passed = millis(ClockId::Boottime).saturating_sub(self.boot_at_start);
        let now = self.wall_at_start.saturating_add(passed);
        let before = self.latest.fetch_max(now, Ordering::Relaxed);
        Timestamp::from_millis(now.max(before))
    }
}

/// What two clocks of the machine say, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The wall's, since its epoch.
    pub wall: u64,
    /// Since the machine started, sleep included.
    pub boot: u64,
}

impl Reading {
    /// What they say now.
    fn now() -> Self {
        Self {
            wall: millis(ClockId::Realtime),
            boot: millis(ClockId::Boottime),
        }
    }

    /// The wall's time less the time that has passed since boot.
    fn offset(self) -> i64 {
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        signed(self.wall).saturating_sub(signed(self.boot))
    }
}

/// Notices when the wall's clock is set while the process runs, by how it moves against the time that passes.
pub struct Drift {
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    /// The wall's time less the time that has passed since boot: at the start, and when it was last looked at.
    at_start: i64,
    last: AtomicI64,
}

/// The wall's clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// What it would say now, had nobody set it.
    pub was: Timestamp,
    /// What it says now.
    pub is: Timestamp,
}

/// Both clocks are slewed alike, so that they part only when one is set; less than this is not worth a word.
const JUMP_MS: u64 = 1_000;

impl Default for Drift {
    fn default() -> Self {
        Self::of(Reading::now)
    }
}

impl Drift {
    /// Of the clocks that are read like this.
    pub fn of(read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let now = read().offset();
        Self {
            read: Box::new(read),
            at_start: now,
            last: AtomicI64::new(now),
        }
    }

    /// Whether the wall's clock was set since this was last asked.
    pub fn look(&self) -> Option<Jump> {
        let read = (self.read)();
        let now = read.offset();
        let before = self.last.swap(now, Ordering::Relaxed);
        let was = u64::try_from(before.saturating_add_unsigned(read.boot)).unwrap_or(0);
        (now.abs_diff(before) > JUMP_MS).then(|| Jump {
            was: Timestamp::from_millis(was),
            is: Timestamp::from_millis(read.wall),
        })
    }

    /// By how much the wall's clock was set since the start, in milliseconds; `None`: not at all.
    #[must_use]
    pub fn apart(&self) -> Option<i64> {
        let apart = (self.read)().offset().saturating_sub(self.at_start);
        (apart.unsigned_abs() > JUMP_MS).then_some(apart)
    }

    /// The time as this process counts it.
    #[must_use]
    pub fn ours(&self) -> Timestamp {
        let passed = self.at_start.saturating_add_unsigned((self.read)().boot);
        Timestamp::from_millis(u64::try_from(passed).unwrap_or(0))
    }
}

/// What the clock says in milliseconds; 0 for a time before its epoch.
fn millis(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000) + nanos / 1_000_000
}

/// The random numbers of the operating system's generator, stretched per thread (`rand`'s own).
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn bits(&self) -> u64 {
        rand::random()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn the_process_clock_starts_at_the_walls_time_and_never_goes_backwards() {
        let wall = millis(ClockId::Realtime);
        let clock = ProcessClock::start();
        let first = clock.now();
        assert!(first.millis() >= wall && first.millis() < wall + 60_000);
        assert!(clock.now() >= first);
        clock
            .latest
            .store(first.millis() + 5_000, Ordering::Relaxed);
        assert_eq!(clock.now().millis(), first.millis() + 5_000);
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_once_and_one_that_goes_is_not() {
        let says = |wall, boot| Reading { wall, boot };
        let now = Arc::new(Mutex::new(says(1_000_000, 0)));
        let read = now.clone();
        let drift = Drift::of(move || *read.lock().expect("no panic"));
        let looked = |wall, boot| {
            *now.lock().expect("no panic") = says(wall, boot);
            drift.look()
        };
        assert_eq!(looked(1_010_000, 10_000), None);
        assert_eq!(looked(1_020_900, 20_000), None, "it is slewed");
        let back = looked(500_000, 30_000);
        let jump = |was, is| Jump {
            was: Timestamp::from_millis(was),
            is: Timestamp::from_millis(is),
        };
        assert_eq!(back, Some(jump(1_030_900, 500_000)));
        assert_eq!(looked(510_000, 40_000), None, "it is told once");
        let forward = looked(2_000_000, 50_000);
        assert_eq!(forward, Some(jump(520_000, 2_000_000)));
        assert_eq!(Drift::default().apart(), None);
    }

    #[test]
    fn two_nonces_differ() {
        assert_ne!(SystemRandom.nonce(), SystemRandom.nonce());
    }
}
