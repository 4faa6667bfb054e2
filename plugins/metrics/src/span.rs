//! The span of time that is asked about.

use jiff::{SignedDuration, Timestamp};
use mirastack_sdk::{ActionError, Context};

use crate::time;

/// The span when none is given.
const DEFAULT: SignedDuration = SignedDuration::from_hours(1);

/// From one moment to another that is not earlier.
pub(crate) struct Span {
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl Span {
    /// The call's time range; without one, what the parameters `start` and `end` say.
    pub(crate) fn of(
        context: &Context,
        (start, end): (Option<&str>, Option<&str>),
    ) -> Result<Self, ActionError> {
        let given =
            |name: &str, text: Option<&str>| text.map(|text| time::parse(name, text)).transpose();
        let span = match context.time_range() {
            Some(range) => Self {
                start: time::from_ms("start", range.start_epoch_ms)?,
                end: time::from_ms("end", range.end_epoch_ms)?,
            },
            None => {
                let end = given("end", end)?.unwrap_or_else(Timestamp::now);
                let start = match given("start", start)? {
                    Some(start) => start,
                    None => end
                        .checked_sub(DEFAULT)
                        .map_err(|e| invalid(format!("`end`: {e}")))?,
                };
                Self { start, end }
            }
        };
        if span.start > span.end {
            return Err(invalid(format!(
                "the span ends at {}, before it begins at {}",
                span.end, span.start
            )));
        }
        Ok(span)
    }
}

/// A parameter that cannot be.
pub(crate) fn invalid(message: String) -> ActionError {
    ActionError::failed("invalid_input", message)
}
