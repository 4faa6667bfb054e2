//! The database's form, and what is checked before anything is trusted to it.

use std::path::Path;
use std::time::Duration;

use engine::time::Timestamp;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::counters::Counters;
use super::options::{OpenError, Options};
use super::runs::{self, HEAD};
use super::{archive, inbox, keys, registry};
use crate::sqlite::fault::is_damage;

/// The version of the schema that this program writes, and the highest that it reads.
const SCHEMA: i64 = 1;
/// `Mira`, in the header of the file: tells it from other databases.
const APPLICATION: i64 = 0x4d69_7261;
/// The clock may be so far behind the newest record, in milliseconds: two processors' clocks may differ that much.
const CLOCK_BEHIND_MS_MAX: u64 = 1_000;
/// How many of the last records tell what time it was.
const LAST_RECORDS: u32 = 1_000;
/// What is answered is on the disk. The other value is a planted defect, which cuts of the power must catch.
const SYNCHRONOUS: &str = if cfg!(planted = "synchronous_off") {
    "OFF"
} else {
    "FULL"
};
/// Statements that a connection keeps prepared: all there are.
const STATEMENTS: usize = 128;

/// A connection to a file, or to memory.
pub(super) fn connect(file: Option<&Path>, cache_bytes: usize) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = match file {
        Some(file) => Connection::open_with_flags(file, flags)?,
        None => Connection::open_in_memory()?,
    };
    // A damaged database is to be left as it is, and a crash must look like one: only a clean end folds the log.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // A statement is planned once, not again for each value that it is bound to: there are no statistics that a value
    // could be held against.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.busy_timeout(Duration::from_secs(5))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let kib = i64::try_from(cache_bytes / 1024).unwrap_or(i64::MAX);
    conn.pragma_update(None, "cache_size", -kib)?;
    conn.pragma_update(None, "synchronous", SYNCHRONOUS)?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "cell_size_check", true)?;
    Ok(conn)
}

/// Makes the schema in an empty database, checks the version of another, and verifies what must not be damaged.
pub(super) fn prepare(
    conn: &Connection,
    file: &Path,
    options: &Options,
) -> Result<Counters, OpenError> {
    let sql = |error: rusqlite::Error| failed(file, &error);
    let version = check_version(conn, file)?;
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(sql)?;
    if version == 0 && tables == 0 {
        create(conn).map_err(sql)?;
    } else {
        check_form(conn, file, version)?;
    }
    let counters = verify(conn, file)?;
    check_clock(conn, options).map_err(sql)??;
    Ok(counters)
}

/// The version of the data; of a newer one nothing is read here.
pub(super) fn check_version(conn: &Connection, file: &Path) -> Result<i64, OpenError> {
    let version: i64 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|e| failed(file, &e))?;
    if version > SCHEMA {
        let (path, found, known) = (file.to_owned(), version, SCHEMA);
        return Err(OpenError::Newer { path, found, known });
    }
    Ok(version)
}

fn create(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "application_id", APPLICATION)?;
    let transaction = conn.unchecked_transaction()?;
    transaction.execute_batch(include_str!("schema.sql"))?;
    transaction.execute_batch(crate::lists::SCHEMA)?;
    transaction.execute(
        "INSERT INTO meta (name, value) VALUES ('schema', ?1)",
        [SCHEMA.to_string()],
    )?;
    Counters::default().store(&transaction)?;
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    transaction.commit()
}

fn check_form(conn: &Connection, file: &Path, version: i64) -> Result<(), OpenError> {
    let sql = |error: rusqlite::Error| failed(file, &error);
    let application: i64 = conn
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(sql)?;
    if version != SCHEMA || application != APPLICATION {
        return Err(damaged(file, "it is no database of Mirastack"));
    }
    let quick: String = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(sql)?;
    if quick != "ok" {
        return Err(damaged(file, &quick));
    }
    let meta: String = conn
        .query_row("SELECT value FROM meta WHERE name = 'schema'", [], |row| {
            row.get(0)
        })
        .map_err(sql)?;
    if meta != SCHEMA.to_string() {
        return Err(damaged(file, "its two schema versions differ"));
    }
    Ok(())
}

/// One pass over what stops the start when it is damaged. Runs are verified as they are read.
fn verify(conn: &Connection, file: &Path) -> Result<Counters, OpenError> {
    let sql = |error: rusqlite::Error| failed(file, &error);
    let bad = [
        ("key", keys::first_damaged(conn).map_err(sql)?),
        (
            "message of the inbox",
            inbox::first_damaged(conn).map_err(sql)?,
        ),
        (
            "item of the registry",
            registry::first_damaged(conn).map_err(sql)?,
        ),
    ];
    for (what, name) in bad {
        if let Some(name) = name {
            return Err(damaged(
                file,
                &format!("the checksum of the {what} {name} does not fit"),
            ));
        }
    }
    let counters = Counters::load(conn).map_err(sql)?;
    counters.ok_or_else(|| damaged(file, "the checksum of the counters does not fit"))
}

fn check_clock(conn: &Connection, options: &Options) -> rusqlite::Result<Result<(), OpenError>> {
    let last = format!(
        "WHERE seq IN (SELECT run FROM record ORDER BY pos DESC LIMIT {LAST_RECORDS})
            ORDER BY at DESC"
    );
    let ended = "WHERE status BETWEEN 3 AND 7 ORDER BY at DESC";
    let newest = [
        newest_run(conn, &last)?,
        newest_run(conn, ended)?,
        archive::newest(conn)?,
    ];
    let newest = newest.into_iter().flatten().max();
    let newest = newest.unwrap_or(Timestamp::from_millis(0));
    let now = options.clock.now();
    if newest.millis_since(now) > CLOCK_BEHIND_MS_MAX {
        return Ok(Err(OpenError::Clock { now, newest }));
    }
    Ok(Ok(()))
}

/// When the first of these runs was changed whose row is whole: a damaged time tells nothing about the clock.
fn newest_run(conn: &Connection, which: &str) -> rusqlite::Result<Option<Timestamp>> {
    let mut statement = conn.prepare(&format!("SELECT {HEAD} FROM run {which}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some((_, head)) = runs::whole(row) {
            return Ok(Some(head.at));
        }
    }
    Ok(None)
}

/// An error of the database while opening.
pub(super) fn failed(file: &Path, error: &rusqlite::Error) -> OpenError {
    if is_damage(error) {
        return damaged(file, &error.to_string());
    }
    OpenError::Io {
        path: file.to_owned(),
        what: error.to_string(),
    }
}

fn damaged(file: &Path, what: &str) -> OpenError {
    OpenError::Damaged {
        path: file.to_owned(),
        what: what.to_owned(),
    }
}
