//! What can go wrong between us and the file, and what follows from it.

use rusqlite::ErrorCode;
use rusqlite::ffi;

use crate::Error;

/// Why one piece of work was not done.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It may not be done; nothing of it was written.
    Refused(Error),
    /// The database said no; nothing of its whole transaction may stay.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Fault> for Error {
    /// What a reader is told.
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => error,
            Fault::Sql(error) => reading(&error),
        }
    }
}

/// What follows from an error of the database while writing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The disk is full: nothing was written, and later it may be.
    Full(String),
    /// The disk did not take or give what it should: nothing after this can be trusted.
    Fatal(String),
    /// Something else: nothing was written.
    Other(String),
}

/// What follows from `error` while writing.
pub(crate) fn judge(error: &rusqlite::Error) -> Verdict {
    let what = error.to_string();
    let Some(cause) = error.sqlite_error() else {
        return Verdict::Other(what);
    };
    let what = format!("{what} (SQLite code {})", cause.extended_code);
    if cause.code == ErrorCode::DiskFull || cause.extended_code == ffi::SQLITE_IOERR_SHMSIZE {
        return Verdict::Full(what);
    }
    let fatal = [
        ErrorCode::SystemIoFailure,
        ErrorCode::DatabaseCorrupt,
        ErrorCode::NotADatabase,
        ErrorCode::ReadOnly,
        ErrorCode::CannotOpen,
        ErrorCode::InternalMalfunction,
    ];
    if fatal.contains(&cause.code) {
        return Verdict::Fatal(what);
    }
    Verdict::Other(what)
}

/// What a reader is told.
pub(crate) fn reading(error: &rusqlite::Error) -> Error {
    if is_damage(error) {
        return Error::Corrupt(error.to_string());
    }
    Error::Unavailable(error.to_string())
}

/// Whether the database says that the file is damaged, or a column holds what it cannot hold.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    is_bad_value(error)
        || code == Some(ErrorCode::DatabaseCorrupt)
        || code == Some(ErrorCode::NotADatabase)
}

/// Whether a column holds what it cannot hold: its row is damaged, and others may be whole.
pub(crate) fn is_bad_value(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::InvalidColumnType(..)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: std::ffi::c_int) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_full_disk_is_waited_for_and_a_disk_that_failed_is_not() {
        for full in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE] {
            assert!(matches!(judge(&failed(full)), Verdict::Full(_)));
        }
        let fatal = [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_CORRUPT,
            ffi::SQLITE_READONLY,
        ];
        for code in fatal {
            assert!(matches!(judge(&failed(code)), Verdict::Fatal(_)), "{code}");
        }
        assert!(matches!(
            judge(&failed(ffi::SQLITE_CONSTRAINT)),
            Verdict::Other(_)
        ));
    }
}
