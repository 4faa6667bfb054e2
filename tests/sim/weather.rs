//! How much goes wrong. Each seed has its own weather: some faults often, some not at all, so that no fault hides
//! behind another.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dice::Dice;

/// What befalls one call of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fault {
    /// It is done so much later.
    pub(crate) wait_ms: u64,
    /// It is not done, and nobody is told.
    pub(crate) not_done: bool,
    /// It is done twice.
    pub(crate) twice: bool,
    /// It is answered so much later.
    pub(crate) answer_ms: u64,
    /// It is done, and its answer is lost.
    pub(crate) not_answered: bool,
    /// Who makes it stands still for so long when it is done.
    pub(crate) stop_ms: u64,
    /// Who makes it dies when it is done.
    pub(crate) crash: bool,
}

/// How often which fault happens, in a million calls.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) not_done: u32,
    pub(crate) not_answered: u32,
    pub(crate) twice: u32,
    pub(crate) slow: u32,
    pub(crate) very_slow: u32,
    /// It is done once more, long after.
    pub(crate) late: u32,
    /// Who makes it is stopped for a while.
    pub(crate) stops: u32,
    /// The machine's clock is set while nothing runs, in a million starts.
    pub(crate) sets: u32,
}

#[derive(Debug)]
pub(crate) struct Weather {
    pub(crate) rates: Rates,
    dice: Mutex<Dice>,
    calm: AtomicBool,
}

impl Weather {
    pub(crate) fn new(mut dice: Dice) -> Self {
        let mut rate = |often: u32| match dice.between(0, 3) {
            0 => 0,
            1 => often / 4,
            2 => often,
            _ => often * 3,
        };
        let rates = Rates {
            not_done: rate(10_000),
            not_answered: rate(10_000),
            twice: rate(10_000),
            slow: rate(50_000),
            very_slow: rate(1_000),
            late: rate(20_000),
            stops: rate(300),
            sets: rate(100_000),
        };
        let (dice, calm) = (Mutex::new(dice), AtomicBool::new(false));
        Self { rates, dice, calm }
    }

    /// Weather in which nothing goes wrong but what somebody makes go wrong.
    pub(crate) fn still(dice: Dice) -> Self {
        let (dice, calm) = (Mutex::new(dice), AtomicBool::new(false));
        let rates = Rates::default();
        Self { rates, dice, calm }
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Whether a job that was taken can be taken once more.
    pub(crate) fn is_doubled(&self) -> bool {
        let mut dice = self.dice.lock().expect("nobody panics with them");
        !self.is_calm() && dice.chance(self.rates.twice * 5)
    }

    /// After how many milliseconds a request that was just made is done once more, if it is.
    pub(crate) fn late(&self) -> Option<u64> {
        if self.is_calm() {
            return None;
        }
        let mut dice = self.dice.lock().expect("nobody panics with them");
        let is_late = dice.chance(self.rates.late);
        is_late.then(|| dice.between(500, 90_000))
    }

    /// Which byte of a value in the memory is damaged, if one is.
    pub(crate) fn spoils(&self, length: usize) -> Option<usize> {
        let mut dice = self.dice.lock().expect("nobody panics with them");
        let spoils = length > 0 && !self.is_calm() && dice.chance(self.rates.stops * 300);
        spoils.then(|| dice.between(0, length as u64 - 1) as usize)
    }

    /// For how many milliseconds a worker stands still that was just granted leave.
    pub(crate) fn stop_granted(&self) -> u64 {
        let mut dice = self.dice.lock().expect("nobody panics with them");
        let stops = !self.is_calm() && dice.chance(self.rates.stops * 300);
        if stops {
            dice.between(5_000, 60_000)
        } else {
            0
        }
    }

    /// Whether the clock is set while nothing runs.
    pub(crate) fn sets_clock(&self) -> bool {
        let mut dice = self.dice.lock().expect("nobody panics with them");
        !self.is_calm() && dice.chance(self.rates.sets)
    }

    /// What befalls a call.
    pub(crate) fn fault(&self) -> Fault {
        if self.is_calm() {
            return Fault::default();
        }
        let rates = self.rates;
        let mut dice = self.dice.lock().expect("nobody panics with them");
        let (not_done, not_answered) =
            (dice.chance(rates.not_done), dice.chance(rates.not_answered));
        let twice = dice.chance(rates.twice);
        let mut late = || match (dice.chance(rates.slow), dice.chance(rates.very_slow)) {
            (_, true) => dice.between(1_000, 20_000),
            (true, false) => dice.between(1, 300),
            (false, false) => 0,
        };
        let (wait_ms, answer_ms) = (late(), late());
        let stop_ms = if dice.chance(rates.stops) {
            dice.between(1_000, 60_000)
        } else {
            0
        };
        let crash = false;
        Fault {
            wait_ms,
            not_done,
            twice,
            answer_ms,
            not_answered,
            stop_ms,
            crash,
        }
    }
}
