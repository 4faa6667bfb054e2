//! Time and chance, injected, so that the simulation owns both.

use std::sync::atomic::{AtomicU64, Ordering};

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
    fn two_nonces_differ() {
        assert_ne!(SystemRandom.nonce(), SystemRandom.nonce());
    }
}
