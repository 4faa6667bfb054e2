//! What is said when a call did not come back with an answer.

use std::{error::Error, fmt};
use tonic::{Code, Status};

/// A call that ended without a readable answer.
#[derive(Debug)]
pub struct CallFailure {
    /// Whether the plugin may have begun the call. `false` only where it is certain that nothing was sent.
    pub sent: bool,
    /// The gRPC code that the failure amounts to.
    pub code: Code,
    /// What happened, for people.
    pub message: String,
}

impl CallFailure {
    /// A failure that the plugin may have seen the call of.
    #[must_use]
    pub fn sent(code: Code, message: impl Into<String>) -> Self {
        Self {
            sent: true,
            code,
            message: message.into(),
        }
    }
}

impl From<Status> for CallFailure {
    fn from(status: Status) -> Self {
        let sent = !not_sent(&status);
        Self {
            sent,
            code: if sent {
                status.code()
            } else {
                Code::Unavailable
            },
            message: describe(&status),
        }
    }
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({:?}{})",
            self.message,
            self.code,
            if self.sent { "" } else { ", not sent" }
        )
    }
}

impl Error for CallFailure {}

/// The connection was gone before the request was written to it.
#[derive(Debug, thiserror::Error)]
#[error("the connection to the plugin is closed")]
pub(crate) struct NotSent;

fn not_sent(status: &Status) -> bool {
    sources(status).any(|cause| cause.is::<NotSent>())
}

fn describe(status: &Status) -> String {
    match sources(status).last() {
        Some(cause) if !status.message().contains(&cause.to_string()) => {
            format!("{}: {cause}", status.message())
        }
        Some(_) | None => status.message().to_owned(),
    }
}

fn sources<'a>(status: &'a Status) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(status.source(), |cause| {
        let cause: &'a (dyn Error + 'static) = *cause;
        cause.source()
    })
}
