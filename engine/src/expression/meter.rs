//! What an evaluation may cost. Everything that takes time or memory is charged here before it is done, so that no
//! expression can stall or bloat whoever evaluates it.

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

/// Counts down what is left.
pub(super) struct Meter {
    steps: u64,
    read: usize,
    made: usize,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self {
            steps: STEPS_MAX,
            read: READ_BYTES_MAX,
            made: MADE_BYTES_MAX,
        }
    }

    /// `count` nodes are evaluated, or work of that size is done.
    pub(super) fn steps(&mut self, count: u64) -> Result<(), Fault> {
        match self.steps.checked_sub(count) {
            Some(rest) => self.steps = rest,
            None => return Err(Fault::Limit(format!("takes more than {STEPS_MAX} steps"))),
        }
        Ok(())
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
