//! Failures as they stand in a journal, and what is tried again before there is one.

use std::future::Future;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use engine::code::Code;
use engine::event::Failure;

/// The longest message of a failure, in bytes; the rest is cut.
const MESSAGE_MAX: usize = 8 * 1024;

/// A failure before anything was sent: nothing was changed, and trying again does not help.
pub(crate) fn made(code: Code, message: impl Into<String>) -> Failure {
    Failure {
        code: code.as_str().to_owned(),
        message: message.into(),
        retryable: false,
        not_made: true,
        step: None,
    }
}

/// What the store's "no" means for a step: nothing was sent.
pub(crate) fn of_store(error: &store::Error) -> Failure {
    match error {
        store::Error::Corrupt(_) => made(Code::RecordDamaged, error.to_string()),
        store::Error::Unavailable(_) | store::Error::Conflict(_) => Failure {
            retryable: true,
            ..made(Code::Unavailable, error.to_string())
        },
    }
}

/// Somebody else's text as people may be shown it: at most [`MESSAGE_MAX`] bytes of it, ending at a whole character,
/// with control characters and those that turn the direction of writing made visible, for it may end in a terminal.
pub(crate) fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE_MAX));
    if text.chars().any(is_wild) {
        text = text.chars().map(visible).collect();
        text.truncate(text.floor_char_boundary(MESSAGE_MAX));
    }
    text
}

/// The whole of it, however long.
pub(crate) fn show(text: &str) -> String {
    text.chars().map(visible).collect()
}

fn is_wild(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn visible(c: char) -> String {
    if is_wild(c) {
        c.escape_unicode().to_string()
    } else {
        c.to_string()
    }
}

/// Asks the store until it answers. Every call of a port is safe to repeat, and whoever waits here can be dropped.
pub(crate) async fn patiently<T, F, W>(ask: F) -> Result<T, store::Error>
where
    F: FnMut() -> W,
    W: Future<Output = Result<T, store::Error>>,
{
    let unavailable = |e: &store::Error| match e {
        store::Error::Unavailable(_) => true,
        store::Error::Conflict(_) | store::Error::Corrupt(_) => false,
    };
    ask.retry(waits()).when(unavailable).await
}

/// 20 ms, 40 ms … 2 s, without end.
pub(crate) fn waits() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_secs(2))
        .with_factor(2.0)
        .without_max_times()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_does_nothing_to_a_terminal() {
        assert_eq!(cut("a\tb\né\r".to_owned()), "a\tb\né\\u{d}");
        assert_eq!(
            cut("\u{1b}[2J\u{202e}x\u{9b}".to_owned()),
            "\\u{1b}[2J\\u{202e}x\\u{9b}"
        );
        for text in ["é".repeat(MESSAGE_MAX), "\u{7}".repeat(MESSAGE_MAX)] {
            assert!(cut(text).len() <= MESSAGE_MAX);
        }
    }
}
