//! Time as the simulation has it: the paused time of its runtime, and a process clock on top of it.

use std::sync::Mutex;

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
}

impl SimClock {
    /// Must be made inside the runtime whose time is paused.
    pub(crate) fn start() -> Self {
        Self {
            begin: Instant::now(),
        }
    }

    /// Milliseconds since the simulation began.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(BEGIN_MS + self.elapsed_ms())
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
