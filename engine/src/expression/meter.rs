//! What an evaluation may cost. Everything that takes time or memory is charged here before it is done, so that no
//! expression can stall or bloat whoever evaluates it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{MADE_BYTES_MAX, READ_BYTES_MAX, RESULT_BYTES_MAX, STEPS_MAX};

/// Why an evaluation ended without a value.
#[derive(Debug)]
pub(super) enum Fault {
    /// The expression does not fit the values.
    Failed(String),
    /// It would cost too much.
    Limit(String),
    /// A value must be fetched first.
    Missing(String),
}

impl Fault {
    pub(super) fn failed<T>(message: impl Into<String>) -> Result<T, Self> {
        Err(Self::Failed(message.into()))
    }
}

/// The steps that several evaluations may take together: counted down by each.
#[derive(Debug)]
pub struct Budget(AtomicU64);

impl Budget {
    /// So many steps.
    #[must_use]
    pub fn new(steps: u64) -> Self {
        Self(AtomicU64::new(steps))
    }

    /// How many are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn spend(&self, steps: u64) {
        let left = self.left().saturating_sub(steps);
        self.0.store(left, Ordering::Relaxed);
    }
}

/// Counts down what is left.
pub(super) struct Meter {
    /// How many steps there were.
    all: u64,
    steps: u64,
    read: usize,
    made: usize,
}

impl Meter {
    pub(super) fn new(budget: Option<&Budget>) -> Self {
        let steps = budget.map_or(STEPS_MAX, |b| b.left().min(STEPS_MAX));
        Self {
            all: steps,
            steps,
            read: READ_BYTES_MAX,
            made: MADE_BYTES_MAX,
        }
    }

    /// `count` nodes are evaluated, or work of that size is done.
    pub(super) fn steps(&mut self, count: u64) -> Result<(), Fault> {
        match self.steps.checked_sub(count) {
            Some(rest) => self.steps = rest,
            None if self.all < STEPS_MAX => {
                let message = "takes, with those that belong to it, more steps than they have";
                return Err(Fault::Limit(message.to_owned()));
            }
            None => return Err(Fault::Limit(format!("takes more than {STEPS_MAX} steps"))),
        }
        Ok(())
    }

    /// How many steps were taken.
    pub(super) fn spent(&self) -> u64 {
        self.all - self.steps
    }

    /// `bytes` of values are looked at.
    pub(super) fn read(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.read.checked_sub(bytes) {
            Some(rest) => self.read = rest,
            None => return Err(over("reads more than", READ_BYTES_MAX)),
        }
        Ok(())
    }

    /// Memory for `bytes` of a new value is taken.
    pub(super) fn make(&mut self, bytes: usize) -> Result<(), Fault> {
        if bytes > RESULT_BYTES_MAX {
            return Err(over("makes a value of more than", RESULT_BYTES_MAX));
        }
        match self.made.checked_sub(bytes) {
            Some(rest) => self.made = rest,
            None => return Err(over("makes values of more than", MADE_BYTES_MAX)),
        }
        Ok(())
    }
}

pub(super) fn over(what: &str, limit: usize) -> Fault {
    Fault::Limit(format!("{what} {} MiB", limit / 1024 / 1024))
}
