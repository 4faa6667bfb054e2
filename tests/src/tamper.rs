//! Somebody who may write the data file of a stopped process: changes what is recorded of a run, and makes as much of
//! it right again as they know of.
//!
//! The checksums of rows are the store's own business, so they are worked out here once more, from what
//! `store/src/embedded` writes: a change of their form shows as a run that is parked where none should be.

use anyhow::{Context as _, Result, bail, ensure};
use engine::digest::Digest;
use engine::event::Event;
use engine::record::{Record, encode_events};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::path::Path;
use std::time::Duration;

/// How much is made right again after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// Nothing: the row's checksum does not fit any more.
    Nothing,
    /// The checksum of the changed row, and not the chain.
    Checksum,
    /// Checksums, the chain of all later records, and the run's head: nothing shows that the file was changed.
    Everything,
}

/// The data file of a process that does not run.
#[derive(Debug)]
pub struct DataFile(Connection);

/// The row of a run, with what its checksum is over.
struct Head {
    seq: i64,
    tenant: String,
    id: Vec<u8>,
    n: i64,
    at: i64,
    status: i64,
    due: Option<i64>,
    owes: i64,
}

impl DataFile {
    /// Opens the file in this data folder.
    ///
    /// # Errors
    /// It is not there or no database.
    pub fn open(data: &Path) -> Result<Self> {
        let file = data.join("mirastack.db");
        ensure!(file.is_file(), "{} is no file", file.display());
        Ok(Self(Connection::open(file)?))
    }

    /// The events of a run, in order.
    ///
    /// # Errors
    /// There is no such run, or its records cannot be read.
    pub fn events(&self, run: &str) -> Result<Vec<Event>> {
        let records = self.records(self.head(run)?.seq)?;
        let events = records.iter().map(Record::events);
        Ok(events.collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Changes events of a run where they stand.
    ///
    /// # Errors
    /// There is no such run, or `edit` changed nothing.
    pub fn change(&self, run: &str, repair: Repair, edit: impl Fn(&mut Event)) -> Result<()> {
        let head = self.head(run)?;
        let (mut changed, mut hash) = (0, Digest::ZERO);
        for mut record in self.records(head.seq)? {
            let before = record.events()?;
            let mut events = before.clone();
            events.iter_mut().for_each(&edit);
            let is_changed = events != before;
            changed += u32::from(is_changed);
            if is_changed {
                record.payload = encode_events(&events);
            }
            if repair == Repair::Everything {
                record.prev_hash = hash;
            }
            let bytes = record.encode();
            hash = Digest::of(&bytes);
            self.write(head.seq, &record, &bytes, repair)?;
        }
        ensure!(changed > 0, "nothing of run {run} was changed");
        if repair == Repair::Everything {
            self.write_head(&head, hash)?;
        }
        Ok(())
    }

    /// Makes a run look as if it had been written so much later, with its checksum.
    ///
    /// # Errors
    /// There is no such run.
    pub fn later(&self, run: &str, by: Duration) -> Result<()> {
        let head = self.head(run)?;
        let at = head.at + i64::try_from(by.as_millis())?;
        let hash: [u8; 32] =
            self.0
                .query_row("SELECT hash FROM run WHERE seq = ?1", [head.seq], |row| {
                    row.get(0)
                })?;
        let sql = "UPDATE run SET at = ?2 WHERE seq = ?1";
        self.0.execute(sql, (head.seq, at))?;
        self.write_head(&Head { at, ..head }, Digest::from_bytes(hash))
    }

    /// The value of a key of the registry.
    ///
    /// # Errors
    /// There is no such key.
    pub fn item(&self, key: &str) -> Result<Vec<u8>> {
        let sql = "SELECT value FROM registry WHERE key = ?1";
        let value = self.0.query_row(sql, [key], |row| row.get(0));
        value.with_context(|| format!("the registry's {key}"))
    }

    /// Puts a value under a key of the registry, with or without its checksum.
    ///
    /// # Errors
    /// The database refuses it.
    pub fn put_item(&self, key: &str, value: &[u8], repair: Repair) -> Result<()> {
        let sql = "INSERT INTO registry (key, revision, sum, value) VALUES (?1, 1, 0, ?2)
            ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.0.execute(sql, (key, value))?;
        if repair == Repair::Nothing {
            return Ok(());
        }
        let sql = "SELECT revision FROM registry WHERE key = ?1";
        let revision = self.0.query_row(sql, [key], |row| row.get(0))?;
        let sum = Sum::of("registry").bytes(key.as_bytes());
        let sum = sum.int(revision).bytes(value).0;
        let sql = "UPDATE registry SET sum = ?2 WHERE key = ?1";
        self.0.execute(sql, (key, i64::from(sum)))?;
        Ok(())
    }

    /// Every text and every blob of every table, with the name of its place.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn cells(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table'";
        let mut statement = self.0.prepare(sql)?;
        let tables = statement.query_map([], |row| row.get::<_, String>(0))?;
        let mut cells = Vec::new();
        for table in tables.collect::<Result<Vec<_>, _>>()? {
            let mut statement = self.0.prepare(&format!("SELECT * FROM {table}"))?;
            let columns = statement.column_names();
            let columns: Vec<String> = columns.map(str::to_owned).collect();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for (at, column) in columns.iter().enumerate() {
                    if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = row.get_ref(at)? {
                        cells.push((format!("{table}.{column}"), bytes.to_vec()));
                    }
                }
            }
        }
        Ok(cells)
    }

    fn head(&self, run: &str) -> Result<Head> {
        let id = run.parse::<uuid::Uuid>()?;
        let sql = "SELECT seq, tenant, id, n, at, status, due, owes FROM run WHERE id = ?1";
        let head = self.0.query_row(sql, [id.as_bytes().as_slice()], |row| {
            Ok(Head {
                seq: row.get(0)?,
                tenant: row.get(1)?,
                id: row.get(2)?,
                n: row.get(3)?,
                at: row.get(4)?,
                status: row.get(5)?,
                due: row.get(6)?,
                owes: row.get(7)?,
            })
        });
        head.with_context(|| format!("the row of run {run}"))
    }

    fn records(&self, run: i64) -> Result<Vec<Record>> {
        let sql = "SELECT bytes FROM record WHERE run = ?1 ORDER BY n";
        let mut statement = self.0.prepare(sql)?;
        let rows = statement.query_map([run], |row| row.get::<_, Vec<u8>>(0))?;
        let mut records = Vec::new();
        for bytes in rows {
            let bytes = bytes?;
            let record = Record::decode(&bytes)?;
            if record.encode() != bytes {
                bail!("record {} is not what writing it again gives", record.n);
            }
            records.push(record);
        }
        Ok(records)
    }

    fn write(&self, run: i64, record: &Record, bytes: &[u8], repair: Repair) -> Result<()> {
        let n = i64::try_from(record.n)?;
        let sql = "UPDATE record SET bytes = ?3 WHERE run = ?1 AND n = ?2";
        self.0.execute(sql, (run, n, bytes))?;
        if repair == Repair::Nothing {
            return Ok(());
        }
        let sum = Sum::of("record").int(run).int(n).bytes(bytes).0;
        let sql = "UPDATE record SET sum = ?3 WHERE run = ?1 AND n = ?2";
        self.0.execute(sql, (run, n, i64::from(sum)))?;
        Ok(())
    }

    fn write_head(&self, head: &Head, hash: Digest) -> Result<()> {
        let sum = Sum::of("run").int(head.seq).bytes(head.tenant.as_bytes());
        let sum = sum.bytes(&head.id).int(head.n).int(head.at);
        let sum = sum.int(head.status).opt(head.due).int(head.owes);
        let sum = sum.bytes(hash.as_bytes()).0;
        let sql = "UPDATE run SET hash = ?2, sum = ?3 WHERE seq = ?1";
        let row = (head.seq, hash.as_bytes().as_slice(), i64::from(sum));
        self.0.execute(sql, row)?;
        Ok(())
    }
}

/// The checksum of a row: CRC-32C over the table's name and the columns, each with its kind and length.
struct Sum(u32);

impl Sum {
    fn of(table: &str) -> Self {
        Self(crc32c::crc32c(table.as_bytes()))
    }

    fn int(self, value: i64) -> Self {
        self.raw(b"i").raw(&value.to_be_bytes())
    }

    fn opt(self, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.int(value),
            None => self.raw(b"-"),
        }
    }

    fn bytes(self, value: &[u8]) -> Self {
        let length = value.len() as u64;
        self.raw(b"b").raw(&length.to_be_bytes()).raw(value)
    }

    fn raw(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }
}
