//! Lists and searches, in tables of SQLite.
//!
//! A list is walked along the one index that leaves the least to look at, newest first, once for each value that is asked
//! for; the other filters are applied on the way.

pub(crate) mod approvals;
pub(crate) mod deliveries;
pub(crate) mod runs;
pub(crate) mod write;

pub(crate) use self::deliveries::Ring;
pub(crate) use self::runs::Version;

use crate::Error;
use crate::port::{Page, Paged};
use crate::sqlite::fault::is_bad_value;

/// The tables.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// Rows in one part of a list.
const PAGE_MAX: usize = 1_000;

/// How many rows a page shows.
fn limit(page: &Page) -> usize {
    page.limit.clamp(1, PAGE_MAX)
}

/// The first `limit` of `items`, of which there is one more when another part follows; `cursor` names a row.
fn paged<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Paged<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    Paged {
        next: items.last().filter(|_| more).map(cursor),
        items,
        incomplete: false,
    }
}

/// The rows that can be read, at most `max`. One that cannot is left out and noted in `damaged`: it must not take the
/// others along.
fn readable<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    max: usize,
    damaged: &mut bool,
) -> rusqlite::Result<Vec<T>> {
    let mut found = Vec::new();
    for row in rows {
        match row {
            Ok(row) => found.push(row),
            Err(error) if is_bad_value(&error) => {
                tracing::warn!(%error, "a row of a list is damaged and left out");
                *damaged = true;
            }
            Err(error) => return Err(error),
        }
        if found.len() == max {
            break;
        }
    }
    Ok(found)
}

fn no_cursor(after: &str) -> Error {
    Error::Conflict(format!(
        "{after:?} is no cursor of this list: begin without one"
    ))
}
