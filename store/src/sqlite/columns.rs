//! Values as columns hold them.

use engine::event::RunStatus;
use rusqlite::Row;
use rusqlite::types::Type;

/// The number of a status, as it is stored.
pub(crate) fn status_no(status: RunStatus) -> i64 {
    status as i64
}

/// The status with this number.
pub(crate) fn status(no: i64) -> Option<RunStatus> {
    usize::try_from(no)
        .ok()
        .and_then(|no| RunStatus::ALL.get(no).copied())
}

/// A value that the database cannot have from us.
pub(crate) fn out_of_range(column: usize) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(
        column,
        Type::Integer,
        "not a value of this column".into(),
    )
}

/// The text in a column, as far as it is one: names what is damaged.
pub(crate) fn text(row: &Row<'_>, column: usize) -> String {
    let bytes = row.get_ref(column).ok();
    let bytes = bytes.as_ref().and_then(|value| value.as_bytes().ok());
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// A number as the database has it. None of ours comes near the end.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
