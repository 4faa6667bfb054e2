//! The end of a run's life: its records in one compressed body, then nothing.
//!
//! The body is a list of `[n, sum, bytes]`, as the rows had them and damaged ones too. So the hashes stay verifiable, and
//! reads go through the same checks.

use std::sync::Arc;

use async_trait::async_trait;
use engine::id::RunKey;
use engine::time::Timestamp;
use minicbor::bytes::ByteVec;
use rusqlite::{Connection, OptionalExtension};

use super::blobs;
use super::commit::Writer;
use super::core::Core;
use super::runs::{self, HEAD, Head, Raw, key_of};
use super::sum::Sum;
use crate::lists::write;
use crate::port::{Archive, Retention};
use crate::sqlite::columns::{int, status_no};
use crate::sqlite::fault::Fault;
use crate::{Error, packed};

/// Runs that are moved or removed in one piece of work: commits must not wait long for it.
const RUNS_AT_ONCE: usize = 32;
/// A removed id is remembered until it is so old that nobody creates it any more, in milliseconds: twice the five minutes
/// for which a run may be created after the time in its id.
const REMEMBERED_MS: u64 = 10 * 60 * 1_000;

pub(super) struct Archived(pub(super) Arc<Core>);

#[async_trait]
impl Archive for Archived {
    async fn ended(&self, before: Timestamp, max: usize) -> Result<Vec<RunKey>, Error> {
        self.0.read(move |conn| Ok(ended(conn, before, max)?)).await
    }

    async fn archive(&self, runs: &[RunKey]) -> Result<(), Error> {
        for some in runs.chunks(RUNS_AT_ONCE) {
            let keys = some.to_vec();
            let packed = self.0.read(move |conn| Ok(pack_all(conn, &keys)?));
            let packed = packed.await?;
            let work = move |writer: &mut Writer| {
                // What is packed is not read for lists again.
                writer.show()?;
                for run in &packed {
                    run.store(&writer.conn)?;
                }
                Ok(())
            };
            self.0.write(work, |()| ()).await?;
        }
        Ok(())
    }

    async fn expired(&self, retention: Retention, max: usize) -> Result<Vec<RunKey>, Error> {
        self.0
            .read(move |conn| Ok(expired(conn, retention, max)?))
            .await
    }

    async fn remove(&self, runs: &[RunKey]) -> Result<(), Error> {
        for some in runs.chunks(RUNS_AT_ONCE) {
            let keys = some.to_vec();
            let now = self.0.options.clock.now();
            let work = move |writer: &mut Writer| {
                for key in &keys {
                    remove(&writer.conn, key, now)?;
                }
                Ok(forget_old_ids(&writer.conn, now)?)
            };
            self.0.write(work, |()| ()).await?;
        }
        Ok(())
    }
}

/// A record in the body: its number, the checksum of its row, its bytes.
type Row = (u64, i64, ByteVec);

/// A run in its archived form.
struct Packed {
    key: RunKey,
    head: Head,
    body: Vec<u8>,
}

impl Packed {
    /// Puts it in the place of its records, unless it has changed since it was packed.
    fn store(&self, conn: &Connection) -> rusqlite::Result<()> {
        let (tenant, id) = (self.key.tenant.as_str(), self.key.run.as_bytes());
        let head = &self.head;
        let gone = conn
            .prepare_cached("DELETE FROM run WHERE seq = ?1 AND n = ?2")?
            .execute((head.seq, head.n))?;
        if gone == 0 {
            return Ok(());
        }
        conn.prepare_cached("DELETE FROM record WHERE run = ?1")?
            .execute([head.seq])?;
        let sql = "INSERT INTO archive (seq, tenant, id, n, at, status, hash, sum, body)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        conn.prepare_cached(sql)?.execute((
            head.seq,
            tenant,
            id,
            head.n,
            head.at.millis(),
            status_no(head.summary.status),
            head.hash.as_bytes(),
            sum(&self.key, head, &self.body),
            &self.body,
        ))?;
        Ok(())
    }
}

fn sum(key: &RunKey, head: &Head, body: &[u8]) -> i64 {
    Sum::of("archive")
        .int(int(head.seq))
        .bytes(key.tenant.as_str().as_bytes())
        .bytes(key.run.as_bytes())
        .int(int(head.n))
        .int(int(head.at.millis()))
        .int(status_no(head.summary.status))
        .bytes(head.hash.as_bytes())
        .bytes(body)
        .done()
}

/// Ended runs, the oldest first. A damaged one is passed over: it stays as it is, and keeps nobody back.
fn ended(conn: &Connection, before: Timestamp, max: usize) -> rusqlite::Result<Vec<RunKey>> {
    let sql = format!(
        "SELECT {HEAD} FROM run WHERE status BETWEEN 3 AND 7 AND at <= ?1 ORDER BY at, seq"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query([before.millis()])?;
    let mut found = Vec::new();
    while found.len() < max
        && let Some(row) = rows.next()?
    {
        match runs::whole(row) {
            Some((key, _)) => found.push(key),
            None => tracing::warn!(
                row = row.get(2).unwrap_or(0_i64),
                "an ended run is damaged and not archived"
            ),
        }
    }
    Ok(found)
}

/// Packs those of the runs that have ended, are not archived and are not damaged.
fn pack_all(conn: &Connection, keys: &[RunKey]) -> Result<Vec<Packed>, Error> {
    let mut packed = Vec::with_capacity(keys.len());
    for key in keys {
        match pack_one(conn, key).map_err(Error::from) {
            Ok(run) => packed.extend(run),
            Err(Error::Corrupt(what)) => {
                tracing::warn!(run = %key.run, what, "a damaged run is not archived");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(packed)
}

fn pack_one(conn: &Connection, key: &RunKey) -> Result<Option<Packed>, Fault> {
    let Some(head) = runs::head(conn, key)?.filter(|head| head.summary.status.is_end()) else {
        return Ok(None);
    };
    let body = pack(&runs::records(conn, head.seq, 0)?)?;
    let key = key.clone();
    Ok(Some(Packed { key, head, body }))
}

fn pack(records: &[Raw]) -> Result<Vec<u8>, Error> {
    let rows: Vec<Row> = records
        .iter()
        .map(|raw| (raw.n, raw.sum, ByteVec::from(raw.bytes.clone())))
        .collect();
    packed::pack(&rows)
}

fn unpack(body: &[u8]) -> Option<Vec<Raw>> {
    let rows: Vec<Row> = packed::unpack(body)?;
    let planted = engine::planted!("fuzz_archive");
    let is_odd = rows.len() == 5 && rows[3].2.len() > rows[4].2.len();
    assert!(!(planted && is_odd), "planted: archive");
    let raw = rows.into_iter().map(|(n, sum, bytes)| Raw {
        n,
        sum,
        bytes: bytes.into(),
    });
    Some(raw.collect())
}

/// An archived run's head and records.
pub(super) fn load(conn: &Connection, key: &RunKey) -> Result<Option<(Head, Vec<Raw>)>, Fault> {
    let sql = "SELECT seq, n, at, status, NULL, 0, hash, sum, body FROM archive
        WHERE tenant = ?1 AND id = ?2";
    let found = conn
        .prepare_cached(sql)?
        .query_row((key.tenant.as_str(), key.run.as_bytes()), |row| {
            let body: Vec<u8> = row.get(8)?;
            Ok((Head::from_row(row, 0)?, row.get::<_, i64>(7)?, body))
        })
        .optional()?;
    let Some((head, stored, body)) = found else {
        return Ok(None);
    };
    let whole = sum(key, &head, &body) == stored;
    match unpack(&body).filter(|_| whole) {
        Some(raw) => Ok(Some((head, raw))),
        None => {
            let what = format!("the archived form of run {} is damaged", key.run);
            Err(Error::Corrupt(what).into())
        }
    }
}

/// When the newest archived run ended whose body is whole.
pub(super) fn newest(conn: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT tenant, id FROM archive ORDER BY at DESC, seq DESC";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Ok(Some(key)) = key_row(row) else {
            continue;
        };
        match load(conn, &key).map_err(Error::from) {
            Ok(Some((head, _))) => return Ok(Some(head.at)),
            Ok(None) | Err(Error::Corrupt(_)) => {}
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}

fn expired(conn: &Connection, keep: Retention, max: usize) -> rusqlite::Result<Vec<RunKey>> {
    let sql = "SELECT count(*) FROM archive WHERE at >= ?1";
    let rest: u64 = conn
        .prepare_cached(sql)?
        .query_row([keep.before.millis()], |row| row.get(0))?;
    let too_many = rest.saturating_sub(keep.number);
    // The oldest of the rest come right after those that are too old.
    let sql = "SELECT tenant, id FROM archive ORDER BY at, seq
        LIMIT min(?1, ?2 + (SELECT count(*) FROM archive WHERE at < ?3))";
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map((max, too_many, keep.before.millis()), key_row)?;
    rows.flatten_ok().collect()
}

fn remove(conn: &Connection, key: &RunKey, now: Timestamp) -> rusqlite::Result<()> {
    let named = (key.tenant.as_str(), key.run.as_bytes());
    let gone = conn
        .prepare_cached("DELETE FROM archive WHERE tenant = ?1 AND id = ?2")?
        .execute(named)?;
    if gone == 0 {
        return Ok(());
    }
    if now.millis_since(key.run.created_at()) < REMEMBERED_MS {
        conn.prepare_cached("INSERT OR IGNORE INTO removed (tenant, id) VALUES (?1, ?2)")?
            .execute(named)?;
    }
    blobs::remove(conn, key)?;
    write::removed(conn, key)
}

fn forget_old_ids(conn: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let horizon = Timestamp::from_millis(now.millis().saturating_sub(REMEMBERED_MS));
    let oldest = engine::id::RunId::new(horizon, engine::id::Shard(0), 0);
    conn.prepare_cached("DELETE FROM removed WHERE id < ?1")?
        .execute([oldest.as_bytes()])?;
    Ok(())
}

/// The key in the first two columns; a row that holds none is left out.
fn key_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<RunKey>> {
    let (tenant, id): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
    Ok(key_of(&tenant, &id))
}

trait FlattenOk<T>: Iterator<Item = rusqlite::Result<Option<T>>> + Sized {
    fn flatten_ok(self) -> impl Iterator<Item = rusqlite::Result<T>> {
        self.filter_map(Result::transpose)
    }
}

impl<T, I: Iterator<Item = rusqlite::Result<Option<T>>>> FlattenOk<T> for I {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_unpacks_the_same() {
        let records: Vec<Raw> = (1..=3)
            .map(|n| Raw {
                n,
                sum: 7 * i64::try_from(n).expect("small"),
                bytes: vec![u8::try_from(n).expect("small"); 500],
            })
            .collect();
        let body = pack(&records).expect("compresses");
        assert!(body.len() < 300, "{}", body.len());
        assert_eq!(unpack(&body), Some(records));
        assert_eq!(unpack(&body[..body.len() - 1]), None);
    }
}
