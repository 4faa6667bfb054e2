//! Colours, as meanings: what is good, bad, busy or wants a person.

use std::fmt::Display;

use comfy_table::Color;

/// What a text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// It worked.
    Good,
    /// It did not.
    Bad,
    /// Somebody should look.
    Attention,
    /// Under way.
    Busy,
    /// Of little interest.
    Dim,
    /// A heading or a name.
    Strong,
}

impl Tone {
    /// The tone of a status word, of runs, steps, approvals, agents and deliveries alike.
    pub(crate) fn of(status: &str) -> Self {
        match status {
            "succeeded" | "approved" | "used" | "healthy" | "ready" | "ok" | "accepted"
            | "created" | "done" => Self::Good,
            "failed" | "rejected" | "timed_out" | "unhealthy" | "error" | "refused"
            | "not_done" => Self::Bad,
            "waiting" | "in_doubt" | "parked" | "backoff" | "pending_approval" | "degraded"
            | "expired" => Self::Attention,
            "running" | "starting" | "updated" => Self::Busy,
            "cancelled" | "skipped" | "pending" | "queued" | "withdrawn" | "unchanged"
            | "duplicate" | "stopped" | "unmatched" => Self::Dim,
            _ => Self::Plain,
        }
    }

    /// The same for the table library.
    pub(crate) fn color(self) -> Option<Color> {
        match self {
            Self::Plain | Self::Strong => None,
            Self::Good => Some(Color::Green),
            Self::Bad => Some(Color::Red),
            Self::Attention => Some(Color::Yellow),
            Self::Busy => Some(Color::Cyan),
            Self::Dim => Some(Color::DarkGrey),
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Plain => "0",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Attention => "33",
            Self::Busy => "36",
            Self::Dim => "90",
            Self::Strong => "1",
        }
    }
}

/// Whether colours are used on one of the streams.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    /// `text` in the colour of `tone`.
    pub(crate) fn tone(self, tone: Tone, text: impl Display) -> String {
        if !self.0 || tone == Tone::Plain {
            return text.to_string();
        }
        format!("\x1b[{}m{text}\x1b[0m", tone.code())
    }

    /// A status word in its own colour.
    pub(crate) fn status(self, status: &str) -> String {
        self.tone(Tone::of(status), status)
    }

    /// A heading or a name.
    pub(crate) fn strong(self, text: impl Display) -> String {
        self.tone(Tone::Strong, text)
    }

    /// Something of little interest.
    pub(crate) fn dim(self, text: impl Display) -> String {
        self.tone(Tone::Dim, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_a_text_stays_as_it_is() {
        assert_eq!(Paint(false).status("failed"), "failed");
        assert_eq!(Paint(true).status("failed"), "\x1b[31mfailed\x1b[0m");
    }
}
