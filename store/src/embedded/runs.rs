//! The rows of runs and records, below the ports.

use engine::digest::Digest;
use engine::id::{RunId, RunKey, Tenant};
use engine::record::{BadRecord, Record, Summary, check_chain};
use engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::sum::Sum;
use crate::Error;
use crate::port::Entry;
use crate::sqlite::columns::{int, out_of_range, status, status_no};
use crate::sqlite::fault::Fault;

/// What is known of a run without its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its place among all creations.
    pub(super) seq: u64,
    /// The number of its last record.
    pub(super) n: u64,
    /// When that was decided.
    pub(super) at: Timestamp,
    /// Its summary.
    pub(super) summary: Summary,
    /// Its hash.
    pub(super) hash: Digest,
}

/// A record as its row has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) n: u64,
    pub(super) sum: i64,
    pub(super) bytes: Vec<u8>,
}

impl Head {
    pub(super) fn sum(&self, tenant: &str, id: &[u8]) -> i64 {
        let due = self.summary.due.map(|due| int(due.millis()));
        Sum::of("run")
            .int(int(self.seq))
            .bytes(tenant.as_bytes())
            .bytes(id)
            .int(int(self.n))
            .int(int(self.at.millis()))
            .int(status_no(self.summary.status))
            .opt(due)
            .int(i64::from(self.summary.owes))
            .bytes(self.hash.as_bytes())
            .done()
    }

    /// From the columns `seq, n, at, status, due, owes, hash`, in this order from column `first`.
    pub(super) fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        let due: Option<u64> = row.get(first + 4)?;
        Ok(Self {
            seq: row.get(first)?,
            n: row.get(first + 1)?,
            at: Timestamp::from_millis(row.get(first + 2)?),
            summary: Summary {
                status: status(row.get(first + 3)?).ok_or_else(|| out_of_range(first + 3))?,
                due: due.map(Timestamp::from_millis),
                owes: row.get(first + 5)?,
            },
            hash: Digest::from_bytes(row.get(first + 6)?),
        })
    }
}

/// The head of a run that is not archived.
pub(super) fn head(conn: &Connection, key: &RunKey) -> Result<Option<Head>, Fault> {
    let sql =
        "SELECT seq, n, at, status, due, owes, hash, sum FROM run WHERE tenant = ?1 AND id = ?2";
    let (tenant, id) = (key.tenant.as_str(), key.run.as_bytes());
    let found = conn
        .prepare_cached(sql)?
        .query_row((tenant, id), |row| {
            Ok((Head::from_row(row, 0)?, row.get::<_, i64>(7)?))
        })
        .optional()?;
    match found {
        Some((head, sum)) if head.sum(tenant, id) != sum => {
            let what = format!("the checksum of the row of run {} does not fit", key.run);
            Err(Error::Corrupt(what).into())
        }
        Some((head, _)) => Ok(Some(head)),
        None => Ok(None),
    }
}

/// The columns that [`whole`] reads.
pub(super) const HEAD: &str = "tenant, id, seq, n, at, status, due, owes, hash, sum";

/// A run's key and head from the columns of [`HEAD`], if the row is as it was written.
pub(super) fn whole(row: &Row<'_>) -> Option<(RunKey, Head)> {
    let read = || -> rusqlite::Result<_> {
        let (tenant, id): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        Ok((tenant, id, Head::from_row(row, 2)?, row.get::<_, i64>(9)?))
    };
    let (tenant, id, head, sum) = read().ok()?;
    let sound = head.sum(&tenant, &id) == sum;
    key_of(&tenant, &id)
        .filter(|_| sound)
        .map(|key| (key, head))
}

/// The checksum of a record's row.
pub(super) fn record_sum(run: u64, n: u64, bytes: &[u8]) -> i64 {
    Sum::of("record")
        .int(int(run))
        .int(int(n))
        .bytes(bytes)
        .done()
}

/// The stored records of a run after number `after`, in order, as they are.
pub(super) fn records(conn: &Connection, run: u64, after: u64) -> rusqlite::Result<Vec<Raw>> {
    let sql = "SELECT n, sum, bytes FROM record WHERE run = ?1 AND n > ?2 ORDER BY n";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map((run, after), |row| {
        Ok(Raw {
            n: row.get(0)?,
            sum: row.get(1)?,
            bytes: row.get(2)?,
        })
    })?;
    rows.collect()
}

/// The records after number `after`, each checked: its row, its place, its chain, and that the last is the head's.
pub(super) fn verified(
    key: &RunKey,
    head: &Head,
    after: u64,
    raw: Vec<Raw>,
) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::with_capacity(raw.len());
    let mut n = after;
    for raw in raw {
        let entry = verified_row(key, head.seq, &raw)?;
        // The record before the first that was asked for is not at hand: its hash is taken at its word.
        let before = entries
            .last()
            .map_or(entry.record.prev_hash, |last| last.hash);
        let before = if n == 0 { Digest::ZERO } else { before };
        check_chain(&entry.record, key, n, before).map_err(|e| unreadable(key, raw.n, &e))?;
        n = raw.n;
        entries.push(entry);
    }
    let whole = match entries.last() {
        Some(last) => n == head.n && last.hash == head.hash,
        None => after >= head.n,
    };
    if whole {
        return Ok(entries);
    }
    let what = format!(
        "run {} has {} records, and they end at {n}",
        key.run, head.n
    );
    Err(Error::Corrupt(what))
}

/// One record, checked by itself.
pub(super) fn verified_row(key: &RunKey, run: u64, raw: &Raw) -> Result<Entry, Error> {
    if record_sum(run, raw.n, &raw.bytes) != raw.sum {
        let what = format!(
            "the checksum of record {} of run {} does not fit",
            raw.n, key.run
        );
        return Err(Error::Corrupt(what));
    }
    let record = Record::decode(&raw.bytes).map_err(|e| unreadable(key, raw.n, &e))?;
    let hash = Digest::of(&raw.bytes);
    Ok(Entry { record, hash })
}

fn unreadable(key: &RunKey, n: u64, error: &BadRecord) -> Error {
    let what = format!("record {n} of run {}: {error}", key.run);
    match error {
        // Not damage: parking the run would be wrong, and this version can do nothing else with it.
        BadRecord::Newer(_) => Error::Unavailable(what),
        BadRecord::Garbage(_) | BadRecord::Chain { .. } => Error::Corrupt(what),
    }
}

/// The key in the columns `tenant, id`, if they hold one.
pub(super) fn key_of(tenant: &str, id: &[u8]) -> Option<RunKey> {
    let run = RunId::from_bytes(id.try_into().ok()?)?;
    let tenant = Tenant::new(tenant)?;
    Some(RunKey { tenant, run })
}

/// Whose records these are, for a run whose row cannot be trusted: its first sound record says it.
pub(super) fn key_in_records(conn: &Connection, run: u64) -> rusqlite::Result<Option<RunKey>> {
    let sound = records(conn, run, 0)?
        .into_iter()
        .filter(|raw| record_sum(run, raw.n, &raw.bytes) == raw.sum)
        .find_map(|raw| Record::decode(&raw.bytes).ok());
    Ok(sound.map(|record| record.key))
}
