//! How an action fails.

use std::fmt;

/// The longest message of a failure, in bytes; the rest is cut.
const MESSAGE_MAX: usize = 8 * 1024;

/// Whether a failed action changed something. What the engine does next hangs on it: after
/// [`Change::NotMade`] it may try again; after [`Change::Unknown`] it looks, and where it cannot look, a
/// person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The failure does not say. For a READ action there is nothing to say; for an action that changes
    /// systems it counts as [`Change::Unknown`].
    Unstated,
    /// Nothing was changed, and nothing is under way.
    NotMade,
    /// It may have been made.
    Unknown,
    /// It was made, and stands; what failed came after it.
    Made,
}

/// A failed action: a `code` for programs, a `message` for people, whether the change was made, and whether a
/// later attempt may go better.
///
/// Any error turns into one by `?`, with the code `internal` and [`Change::Unstated`]. It is no
/// `std::error::Error` itself, for that would forbid this conversion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) change: Change,
    pub(crate) retryable: bool,
}

impl ActionError {
    /// A failure that says nothing about a change: right for READ actions.
    #[must_use]
    pub fn failed(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message, Change::Unstated)
    }

    /// A failure before anything was changed.
    #[must_use]
    pub fn not_made(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message, Change::NotMade)
    }

    /// A failure after which nobody knows whether the change was made, such as a lost answer.
    #[must_use]
    pub fn unknown(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message, Change::Unknown)
    }

    /// A failure after the change was made.
    #[must_use]
    pub fn made(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, message, Change::Made)
    }

    fn new(code: &str, message: impl Into<String>, change: Change) -> Self {
        Self {
            code: code.to_owned(),
            message: cut(message.into(), MESSAGE_MAX),
            change,
            retryable: false,
        }
    }

    /// Says that a later attempt may go better. Without this the engine does not try again.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// A word for programs, `lower_snake_case`.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether the change was made.
    #[must_use]
    pub fn change(&self) -> Change {
        self.change
    }

    /// Whether a later attempt may go better.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl<E: std::error::Error> From<E> for ActionError {
    fn from(error: E) -> Self {
        Self::failed("internal", error.to_string())
    }
}

/// At most `max` bytes of a text, ending at a whole character.
pub(crate) fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        text.truncate(text.floor_char_boundary(max));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_error_becomes_a_failure_that_says_nothing_about_the_change() {
        let failure = "x"
            .parse::<u8>()
            .map_err(ActionError::from)
            .expect_err("x is no number");
        assert_eq!(
            (failure.code(), failure.change(), failure.is_retryable()),
            ("internal", Change::Unstated, false)
        );
    }

    #[test]
    fn a_message_is_cut_at_a_whole_character() {
        let failure = ActionError::failed("long", "é".repeat(MESSAGE_MAX));
        assert_eq!(failure.message.len(), MESSAGE_MAX);
        assert_eq!(cut("aé".to_owned(), 2), "a");
    }
}
