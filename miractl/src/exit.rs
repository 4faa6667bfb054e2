//! How a command ends: its exit code, and what it says when it fails.
//!
//! The codes are part of the contract with scripts and CI; none of them changes its meaning.

use std::process::ExitCode;

/// What a failed command returns; boxed, so that the good path stays small.
pub(crate) type Result<T> = std::result::Result<T, Box<Failure>>;

/// The exit codes of `miractl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It worked.
    Ok,
    /// The run failed, or a check found something wrong.
    RunFailed,
    /// Wrong usage or an invalid document.
    Usage,
    /// The run was rejected by a person.
    Rejected,
    /// Nobody is logged in, or the credentials do not hold.
    NotAuthenticated,
    /// There is no such thing.
    NotFound,
    /// Something else happened first.
    Conflict,
    /// The principal lacks the right.
    Denied,
    /// The run waits for an approval.
    WaitingApproval,
    /// The run was cancelled.
    Cancelled,
    /// The run timed out.
    RunTimedOut,
    /// A step is in doubt or the run is parked: a person has to settle it.
    NeedsPerson,
    /// The server cannot be reached or answers 5xx; the run's state is not known.
    Unreachable,
    /// A bug in this program.
    Bug,
    /// `--timeout` passed; the run goes on.
    WaitTimedOut,
    /// SIGINT; the run goes on.
    Interrupted,
    /// SIGTERM; the run goes on.
    Terminated,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::RunFailed => 1,
            Self::Usage => 2,
            Self::Rejected => 3,
            Self::NotAuthenticated => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::Denied => 7,
            Self::WaitingApproval => 8,
            Self::Cancelled => 9,
            Self::RunTimedOut => 10,
            Self::NeedsPerson => 11,
            Self::Unreachable => 69,
            Self::Bug => 70,
            Self::WaitTimedOut => 124,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// One place in a document or request that is wrong, as the server names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spot {
    /// JSON pointer into the document.
    pub(crate) pointer: String,
    /// Line, from 1; 0 when not known.
    pub(crate) line: usize,
    /// Column in characters, from 1; 0 when not known.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

/// The text that spots point into.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file's name as the user gave it.
    pub(crate) name: String,
    /// The whole file, so that line numbers are those of the user's editor.
    pub(crate) text: String,
    /// Lines of the file before the document that was sent.
    pub(crate) lines_before: usize,
}

/// Why a command failed: for people, and for the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// What happened.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// The server's stable code, if it is the server that refused.
    pub(crate) code: Option<String>,
    /// The server's id of the request, for its logs.
    pub(crate) request_id: Option<String>,
    /// It is not known whether the server has done what was asked.
    pub(crate) maybe_done: bool,
    /// Where it is wrong.
    pub(crate) spots: Vec<Spot>,
    /// The text the spots point into.
    pub(crate) source: Option<Source>,
}

impl Failure {
    /// A failure that ends with `exit`.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            exit,
            message: message.into(),
            hint: None,
            code: None,
            request_id: None,
            maybe_done: false,
            spots: Vec::new(),
            source: None,
        })
    }

    /// Wrong usage or an invalid document: exit 2.
    pub(crate) fn usage(message: impl Into<String>) -> Box<Self> {
        Self::new(Exit::Usage, message)
    }

    /// Something does not exist: exit 5.
    pub(crate) fn not_found(message: impl Into<String>) -> Box<Self> {
        Self::new(Exit::NotFound, message)
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the text that the spots point into.
    pub(crate) fn within(mut self: Box<Self>, source: Source) -> Box<Self> {
        self.source = Some(source);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_codes_are_those_of_the_contract() {
        let codes = [
            (Exit::Ok, 0),
            (Exit::RunFailed, 1),
            (Exit::Usage, 2),
            (Exit::Rejected, 3),
            (Exit::NotAuthenticated, 4),
            (Exit::NotFound, 5),
            (Exit::Conflict, 6),
            (Exit::Denied, 7),
            (Exit::WaitingApproval, 8),
            (Exit::Cancelled, 9),
            (Exit::RunTimedOut, 10),
            (Exit::NeedsPerson, 11),
            (Exit::Unreachable, 69),
            (Exit::Bug, 70),
            (Exit::WaitTimedOut, 124),
            (Exit::Interrupted, 130),
            (Exit::Terminated, 143),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code, "{exit:?}");
        }
    }
}
