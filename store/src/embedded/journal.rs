//! The journals of runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use engine::digest::Digest;
use engine::event::{Event, RunStatus};
use engine::id::{RunKey, Shard};
use engine::record::{Encoded, Record};
use rusqlite::Connection;

use super::births::After;
use super::commit::Writer;
use super::core::Core;
use super::counters::next;
use super::runs::{self, Head, Raw, record_sum};
use super::views::Late;
use super::{archive, blobs};
use crate::Error;
use crate::lists::write;
use crate::port::{Entry, Journal, NewRun, OpenRun, OpenRuns};
use crate::sqlite::columns::{int, status_no};
use crate::sqlite::fault::Fault;
use crate::view::{self, ViewChange};

pub(super) struct Journals(pub(super) Arc<Core>);

#[async_trait]
impl Journal for Journals {
    async fn append(&self, record: &Encoded, events: &[Event]) -> Result<(), Error> {
        let blobs = self.consents(&record.key, events).await?;
        let append = Arc::new(Append::new(record, view::project(record, events, &blobs)));
        let hash = record.hash();
        let wanted = self.0.live.wanted(record, events, hash);
        let born = (record.n == 1).then(|| Record::clone(record));
        let (told, core) = (Arc::clone(&append), Arc::clone(&self.0));
        let announce = move |seq: &u64| {
            if let Some(record) = born {
                let shard = record.key.run.shard();
                let first = Entry { record, hash };
                core.births.tell(
                    shard,
                    NewRun {
                        sequence: *seq,
                        first,
                    },
                );
            }
            core.live.tell(&told.key, &told.bytes, hash, wanted);
        };
        let work = move |writer: &mut Writer| append.store(writer);
        self.0.write(work, announce).await.map(|_| ())
    }

    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error> {
        let key = key.clone();
        self.0.read(move |conn| read(conn, &key, after)).await
    }

    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error> {
        self.0.read(move |conn| Ok(open_runs(conn, shard)?)).await
    }

    async fn new_runs(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<NewRun>, Error> {
        loop {
            let mut told = self.0.births.follow(shard);
            let found = match self.0.births.after(shard, sequence, max) {
                After::Known(found) => found,
                After::Older => {
                    let read = move |conn: &Connection| Ok(created(conn, shard, sequence, max)?);
                    self.0.read(read).await?
                }
            };
            if !found.is_empty() {
                return Ok(found);
            }
            // Its sender lives as long as the store.
            let _ = self.0.wait(told.changed()).await?;
        }
    }
}

impl Journals {
    /// The bytes that people consent to, where they are in `Blobs`: lists show what is in them.
    async fn consents(
        &self,
        key: &RunKey,
        events: &[Event],
    ) -> Result<BTreeMap<Digest, Vec<u8>>, Error> {
        let mut found = BTreeMap::new();
        for digest in view::needed(events) {
            let key = key.clone();
            let read = move |conn: &Connection| blobs::get(conn, &key, digest);
            if let Some(bytes) = self.0.read(read).await? {
                found.insert(digest, bytes);
            }
        }
        Ok(found)
    }
}

/// A record on its way into the file: encoded, hashed and projected already.
struct Append {
    key: RunKey,
    n: u64,
    prev_hash: Digest,
    head: Head,
    bytes: Vec<u8>,
    view: ViewChange,
}

impl Append {
    fn new(record: &Encoded, view: ViewChange) -> Self {
        Self {
            key: record.key.clone(),
            n: record.n,
            prev_hash: record.prev_hash,
            head: Head {
                seq: 0,
                n: record.n,
                at: record.at,
                summary: record.summary,
                hash: record.hash(),
            },
            bytes: record.bytes().to_vec(),
            view,
        }
    }

    /// Appends it when it follows what is stored, and answers the run's place among the creations.
    fn store(&self, writer: &mut Writer) -> Result<u64, Fault> {
        let (seq, before) = if self.n == 1 {
            (self.create(writer)?, None)
        } else {
            self.follow(writer)?
        };
        let pos = writer.lag.next();
        let sum = record_sum(seq, self.n, &self.bytes);
        let sql = "INSERT INTO record (pos, run, n, sum, bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
        let row = (pos, seq, self.n, sum, &self.bytes);
        writer.conn.prepare_cached(sql)?.execute(row)?;
        write::approvals(&writer.conn, &self.key, &self.view)?;
        let ends = self.head.summary.status.is_end();
        let is_lost = ends && engine::planted!("list_row_lost");
        if before.is_none_or(|before| self.view.row.is_seen(before)) && !is_lost {
            let late = Late::new(seq, &self.key, self.view.row.clone());
            writer.lag.add(pos, late);
        }
        Ok(seq)
    }

    fn create(&self, writer: &mut Writer) -> Result<u64, Fault> {
        if self.prev_hash != Digest::ZERO {
            return Err(
                self.refuse("a first record has nothing before it, and this one names a hash")
            );
        }
        let mut head = self.head.clone();
        head.seq = writer.counters.run + 1;
        let (tenant, id) = (self.key.tenant.as_str(), self.key.run.as_bytes());
        if engine::planted!("archived_started_again") {
            self.forget_archived(&writer.conn)?;
        }
        let sql = "INSERT INTO run (seq, tenant, id, n, at, status, due, owes, hash, sum)
            SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10
            WHERE NOT EXISTS (SELECT 1 FROM archive WHERE tenant = ?2 AND id = ?3)
            AND NOT EXISTS (SELECT 1 FROM removed WHERE tenant = ?2 AND id = ?3)
            ON CONFLICT (tenant, id) DO NOTHING";
        let made = writer.conn.prepare_cached(sql)?.execute((
            head.seq,
            tenant,
            id,
            head.n,
            head.at.millis(),
            status_no(head.summary.status),
            head.summary.due.map(|due| int(due.millis())),
            head.summary.owes,
            head.hash.as_bytes(),
            head.sum(tenant, id),
        ))?;
        if made == 0 {
            return Err(self.refuse("the run exists, or has existed"));
        }
        next(&mut writer.counters.run);
        let seq = head.seq;
        writer.heads.put(&self.key, head);
        Ok(seq)
    }

    /// The run's place, and its status before.
    fn follow(&self, writer: &mut Writer) -> Result<(u64, Option<RunStatus>), Fault> {
        let Some(before) = writer.heads.get(&writer.conn, &self.key)? else {
            if engine::planted!("second_record_expects_none") {
                return Ok((0, None));
            }
            return Err(self.refuse("the run does not exist, or is archived"));
        };
        if before.n + 1 != self.n {
            return Err(self.refuse(&format!("the last record is {}", before.n)));
        }
        if before.hash != self.prev_hash {
            return Err(self.refuse("its prev_hash is not the hash of the last record"));
        }
        let mut head = self.head.clone();
        head.seq = before.seq;
        let (tenant, id) = (self.key.tenant.as_str(), self.key.run.as_bytes());
        let sql =
            "UPDATE run SET n = ?2, at = ?3, status = ?4, due = ?5, owes = ?6, hash = ?7, sum = ?8
            WHERE seq = ?1";
        writer.conn.prepare_cached(sql)?.execute((
            head.seq,
            head.n,
            head.at.millis(),
            status_no(head.summary.status),
            head.summary.due.map(|due| int(due.millis())),
            head.summary.owes,
            head.hash.as_bytes(),
            head.sum(tenant, id),
        ))?;
        let seq = head.seq;
        writer.heads.put(&self.key, head);
        Ok((seq, Some(before.summary.status)))
    }

    /// As if the archive were not looked into. Only a planted defect does that.
    fn forget_archived(&self, conn: &Connection) -> Result<(), Fault> {
        let (tenant, id) = (self.key.tenant.as_str(), self.key.run.as_bytes());
        let sql = "DELETE FROM archive WHERE tenant = ?1 AND id = ?2";
        conn.prepare_cached(sql)?.execute((tenant, id))?;
        Ok(())
    }

    fn refuse(&self, why: &str) -> Fault {
        let what = format!("record {} of run {}: {why}", self.n, self.key.run);
        Fault::Refused(Error::Conflict(what))
    }
}

fn read(conn: &Connection, key: &RunKey, after: u64) -> Result<Vec<Entry>, Fault> {
    if let Some(head) = runs::head(conn, key)? {
        let raw = runs::records(conn, head.seq, after)?;
        return Ok(runs::verified(key, &head, after, raw)?);
    }
    let Some((head, mut raw)) = archive::load(conn, key)? else {
        return Ok(Vec::new());
    };
    raw.retain(|raw| raw.n > after);
    Ok(runs::verified(key, &head, after, raw)?)
}

/// What is damaged in the journal of a run, if anything is.
pub(super) fn damage(conn: &Connection, key: &RunKey) -> rusqlite::Result<Option<String>> {
    match read(conn, key, 0) {
        Ok(_) | Err(Fault::Refused(Error::Conflict(_) | Error::Unavailable(_))) => Ok(None),
        Err(Fault::Refused(Error::Corrupt(what))) => Ok(Some(what)),
        Err(Fault::Sql(error)) => Err(error),
    }
}

/// Walks heads and records side by side, so that neither is held in memory, and a row that was changed by nobody shows.
fn open_runs(conn: &Connection, shard: Shard) -> rusqlite::Result<OpenRuns> {
    let sequence = conn.query_row("SELECT run FROM counter", [], |row| row.get(0))?;
    let mut open = OpenRuns {
        runs: Vec::new(),
        sequence,
    };
    let sql = "SELECT counted.run, counted.records, counted.last, run.tenant, run.id, run.sum,
            run.seq, run.n, run.at, run.status, run.due, run.owes, run.hash
        FROM (SELECT run, count(*) AS records, max(n) AS last FROM record GROUP BY run) AS counted
        FULL JOIN run ON run.seq = counted.run";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(run) = looked_at(conn, row)?
            && run.key.run.shard() == shard
        {
            open.runs.push(run);
        }
    }
    Ok(open)
}

/// What a row of the walk says: an open run, a damaged one, or one that has ended.
fn looked_at(conn: &Connection, row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<OpenRun>> {
    let damaged = |key: RunKey, n: u64, what: &str| {
        let what = format!("{what} of run {}", key.run);
        Ok(Some(OpenRun {
            key,
            n,
            summary: Err(what),
        }))
    };
    if let Some((key, head)) = sound_head(row) {
        let counted: (Option<u64>, Option<u64>) = (row.get(1)?, row.get(2)?);
        if head.summary.status.is_end() {
            return Ok(None);
        }
        if counted != (Some(head.n), Some(head.n)) {
            return damaged(key, head.n, "records are missing");
        }
        let (n, summary) = (head.n, Ok(head.summary));
        return Ok(Some(OpenRun { key, n, summary }));
    }
    let seq: Option<u64> = row.get(0)?;
    let n: Option<u64> = row.get(2)?;
    let key = match seq {
        Some(seq) => runs::key_in_records(conn, seq)?,
        None => None,
    };
    let key = key.or_else(|| key_column(row));
    let Some(key) = key else {
        tracing::error!(seq, "a run is damaged beyond its name: row and records");
        return Ok(None);
    };
    damaged(key, n.unwrap_or(0), "the checksum of the row does not fit:")
}

fn key_column(row: &rusqlite::Row<'_>) -> Option<RunKey> {
    let tenant: String = row.get(3).ok()?;
    let id: Vec<u8> = row.get(4).ok()?;
    runs::key_of(&tenant, &id)
}

fn sound_head(row: &rusqlite::Row<'_>) -> Option<(RunKey, Head)> {
    let key = key_column(row)?;
    let head = Head::from_row(row, 6).ok()?;
    let sum: i64 = row.get(5).ok()?;
    let whole = head.sum(key.tenant.as_str(), key.run.as_bytes()) == sum;
    whole.then_some((key, head))
}

/// Creations after `sequence` from the file. Archived ones have ended, and are left out.
fn created(
    conn: &Connection,
    shard: Shard,
    sequence: u64,
    max: usize,
) -> rusqlite::Result<Vec<NewRun>> {
    let sql = "SELECT run.seq, run.tenant, run.id, record.n, record.sum, record.bytes
        FROM run JOIN record ON record.run = run.seq AND record.n = 1
        WHERE run.seq > ?1 ORDER BY run.seq";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([sequence])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?
        && found.len() < max
    {
        let sequence: u64 = row.get(0)?;
        let (tenant, id): (String, Vec<u8>) = (row.get(1)?, row.get(2)?);
        let Some(key) = runs::key_of(&tenant, &id).filter(|key| key.run.shard() == shard) else {
            continue;
        };
        let (n, sum, bytes) = (row.get(3)?, row.get(4)?, row.get(5)?);
        match runs::verified_row(&key, sequence, &Raw { n, sum, bytes }) {
            Ok(first) => found.push(NewRun { sequence, first }),
            Err(error) => tracing::error!(%error, run = %key.run, "a new run cannot be read"),
        }
    }
    Ok(found)
}
