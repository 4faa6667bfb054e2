//! The file of a gateway's lists: it can be lost, and is made again from the streams.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use engine::id::RunKey;
use rusqlite::{Connection, OptionalExtension};

use crate::Error;
use crate::lists::{self, write};
use crate::sqlite::fault::reading;
use crate::view::ViewChange;

/// The form of the file; one of another form is made again.
const FORM: i64 = 1;
/// So many removed runs are remembered: what is still on its way of them is passed over.
const GONE_KEPT: u64 = 100_000;
const TABLES: &str = "
    CREATE TABLE place (
        stream TEXT PRIMARY KEY, made TEXT NOT NULL, sequence INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE gone (
        tenant TEXT NOT NULL, id BLOB NOT NULL, sequence INTEGER NOT NULL, PRIMARY KEY (tenant, id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX gone_sequence ON gone (sequence);
    CREATE TABLE damaged (
        tenant TEXT NOT NULL, id BLOB NOT NULL, PRIMARY KEY (tenant, id)
    ) STRICT, WITHOUT ROWID;";

/// The connection that writes.
pub(super) struct File {
    conn: Connection,
}

/// Up to where a stream is in the lists, and which stream that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// When it was made: another one of its name begins anew.
    pub(super) made: String,
    pub(super) sequence: u64,
}

/// What a message changes.
pub(super) enum Change {
    /// Record number `n` of a run.
    Record(RunKey, u64, Box<ViewChange>),
    /// All records of an ended run.
    Whole(RunKey, Vec<ViewChange>),
    /// The run is removed.
    Removed(RunKey),
    /// The run is damaged, and parked.
    Damaged(RunKey),
    /// Nothing that lists show.
    Nothing,
}

impl File {
    /// Opens the file, or makes it; one that cannot be read is made again.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let conn = match connect(path).and_then(|conn| is_ours(&conn).map(|ours| (conn, ours))) {
            Ok((conn, true)) => conn,
            Ok((conn, false)) => {
                drop(conn);
                anew(path)?
            }
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "the lists cannot be read, and are made again");
                anew(path)?
            }
        };
        Ok(Self { conn })
    }

    /// Empties it in its place: whoever reads has it open.
    pub(super) fn begin_anew(&mut self) -> Result<(), Error> {
        let empty =
            "BEGIN; DELETE FROM view_run; DELETE FROM view_label; DELETE FROM view_approval;
            DELETE FROM place; DELETE FROM gone; DELETE FROM damaged; COMMIT";
        self.conn.execute_batch(empty).map_err(|e| reading(&e))
    }

    /// Up to where each stream is in the lists.
    pub(super) fn places(&self) -> Result<HashMap<String, Place>, Error> {
        let read = || -> rusqlite::Result<_> {
            let sql = "SELECT stream, made, sequence FROM place";
            let mut statement = self.conn.prepare_cached(sql)?;
            let rows = statement.query_map([], |row| {
                let made = row.get(1)?;
                let sequence = row.get(2)?;
                Ok((row.get(0)?, Place { made, sequence }))
            })?;
            rows.collect()
        };
        read().map_err(|e| reading(&e))
    }

    /// Writes what messages change, and up to where the lists are then.
    pub(super) fn apply(
        &mut self,
        changes: &[(u64, Change)],
        places: &[(String, Place)],
    ) -> Result<(), Error> {
        let mut write = || -> rusqlite::Result<()> {
            let transaction = self.conn.transaction()?;
            for (sequence, change) in changes {
                apply_one(&transaction, *sequence, change)?;
            }
            for (stream, place) in places {
                let sql =
                    "INSERT OR REPLACE INTO place (stream, made, sequence) VALUES (?1, ?2, ?3)";
                let row = (stream, &place.made, place.sequence);
                transaction.prepare_cached(sql)?.execute(row)?;
            }
            transaction.commit()
        };
        write().map_err(|e| reading(&e))
    }
}

/// A connection to the file.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    // After a crash the lists are at an earlier place, and whole.
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn is_ours(conn: &Connection) -> rusqlite::Result<bool> {
    let form: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(form == FORM)
}

fn anew(path: &Path) -> Result<Connection, Error> {
    for end in ["", "-wal", "-shm"] {
        let mut file = path.as_os_str().to_owned();
        file.push(end);
        // It may not be there; where it cannot be removed, opening it says so.
        let _ = fs::remove_file(file);
    }
    let make = || -> rusqlite::Result<Connection> {
        let mut conn = connect(path)?;
        let transaction = conn.transaction()?;
        transaction.execute_batch(lists::SCHEMA)?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", FORM)?;
        transaction.commit()?;
        Ok(conn)
    };
    make().map_err(|e| reading(&e))
}

fn apply_one(conn: &Connection, sequence: u64, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Record(key, n, change) => {
            // The streams are followed beside each other: what is older than the row changes nothing, and where a part
            // is missing, the whole run will come when it is archived.
            if !holds(conn, "gone", key)? && version(conn, key)? + 1 == *n {
                one_record(conn, key, change)?;
            }
            Ok(())
        }
        Change::Whole(key, changes) => {
            let n = changes.last().map_or(0, |last| last.row.version);
            if holds(conn, "gone", key)? || version(conn, key)? >= n {
                return Ok(());
            }
            write::removed(conn, key)?;
            changes
                .iter()
                .try_for_each(|change| one_record(conn, key, change))
        }
        Change::Removed(key) => {
            let sql = "INSERT OR REPLACE INTO gone (tenant, id, sequence) VALUES (?1, ?2, ?3)";
            let row = (key.tenant.as_str(), key.run.as_bytes(), sequence);
            conn.prepare_cached(sql)?.execute(row)?;
            conn.prepare_cached("DELETE FROM gone WHERE sequence < ?1")?
                .execute([sequence.saturating_sub(GONE_KEPT)])?;
            conn.prepare_cached("DELETE FROM damaged WHERE tenant = ?1 AND id = ?2")?
                .execute((key.tenant.as_str(), key.run.as_bytes()))?;
            write::removed(conn, key)
        }
        Change::Damaged(key) => {
            conn.prepare_cached("INSERT OR IGNORE INTO damaged (tenant, id) VALUES (?1, ?2)")?
                .execute((key.tenant.as_str(), key.run.as_bytes()))?;
            write::damaged(conn, key)
        }
        Change::Nothing => Ok(()),
    }
}

fn one_record(conn: &Connection, key: &RunKey, change: &ViewChange) -> rusqlite::Result<()> {
    write::approvals(conn, key, change)?;
    write::row(conn, key, &change.row)?;
    // What is known of it from elsewhere counts, whichever comes first.
    if holds(conn, "damaged", key)? {
        write::damaged(conn, key)?;
    }
    Ok(())
}

/// The number of the last record in a run's row; 0 when there is none.
fn version(conn: &Connection, key: &RunKey) -> rusqlite::Result<u64> {
    let sql = "SELECT version FROM view_run WHERE tenant = ?1 AND id = ?2";
    let found = conn
        .prepare_cached(sql)?
        .query_row((key.tenant.as_str(), key.run.as_bytes()), |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

fn holds(conn: &Connection, table: &str, key: &RunKey) -> rusqlite::Result<bool> {
    let sql = format!("SELECT 1 FROM {table} WHERE tenant = ?1 AND id = ?2");
    conn.prepare_cached(&sql)?
        .exists((key.tenant.as_str(), key.run.as_bytes()))
}
