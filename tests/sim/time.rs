//! Time as the simulation has it: the paused time of its runtime, and a process clock on top of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use engine::time::Timestamp;
use store::clock::{Clock, Random};
use tokio::time::Instant;

use crate::dice::Dice;

/// When every simulation begins: 2026-01-01T00:00:00Z.
const BEGIN_MS: u64 = 1_767_225_600_000;

/// What the simulated machine's clock says.
#[derive(Debug)]
pub(crate) struct SimClock {
    begin: Instant,
    /// What it says more than time has passed, in milliseconds: somebody sets it while no process runs.
    ahead_ms: AtomicI64,
    only_forward: AtomicBool,
}

impl SimClock {
    /// Must be made inside the runtime whose time is paused.
    pub(crate) fn start() -> Self {
        Self {
            begin: Instant::now(),
            ahead_ms: AtomicI64::new(0),
            only_forward: AtomicBool::new(false),
        }
    }

    /// From now on nobody sets it back.
    pub(crate) fn go_forward(&self) {
        self.only_forward.store(true, Ordering::Relaxed);
    }

    /// Somebody sets it to another time.
    pub(crate) fn set(&self, to: Timestamp) {
        if to < self.now() && self.only_forward.load(Ordering::Relaxed) {
            return;
        }
        let (to, now) = (to.millis().cast_signed(), self.now().millis().cast_signed());
        self.ahead_ms.fetch_add(to - now, Ordering::Relaxed);
    }

    /// Milliseconds that have passed since the simulation began.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        let now = (BEGIN_MS + self.elapsed_ms()).saturating_add_signed(ahead);
        Timestamp::from_millis(now)
    }
}

/// Ids and nonces.
#[derive(Debug)]
pub(crate) struct SimRandom(Mutex<Dice>);

impl SimRandom {
    pub(crate) fn new(dice: Dice) -> Self {
        Self(Mutex::new(dice))
    }
}

impl Random for SimRandom {
    fn bits(&self) -> u64 {
        self.0.lock().expect("nobody panics with it").bits()
    }
}
