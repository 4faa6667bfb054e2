//! A store with one archived run, whose row is changed under it, its checksum put right: nobody guesses one.

use std::path::PathBuf;
use std::sync::Arc;

use engine::digest::Digest;
use engine::id::RunKey;
use minicbor::bytes::ByteVec;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use store::conformance::sample::{Birth, Sample};
use store::embedded::{BackupError, Embedded, Options, Place, Restoring};
use store::port::Entry;
use store::{Backend, Error, Handle};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::world::{Counted, Still};

/// A row of an archived journal: its number, its checksum, its record.
pub(crate) type Row = (u64, i64, ByteVec);

/// The store, and another way into its file.
pub(crate) struct Kept {
    runtime: Runtime,
    backend: Backend,
    conn: Connection,
    run: RunKey,
    _handle: Handle,
    dir: TempDir,
}

impl Kept {
    /// A new one, in a folder that goes with it.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().expect("a folder for it");
        let place = Place::Folder(dir.path().join("data"));
        let (backend, handle) = Embedded::inline(place, options()).expect("it is new");
        let runtime = Builder::new_current_thread().build().expect("a runtime");
        let run = runtime.block_on(archived(&backend));
        let conn = Connection::open(dir.path().join("data/mirastack.db")).expect("it is there");
        conn.pragma_update(None, "synchronous", "OFF")
            .expect("it can be set");
        Self {
            runtime,
            backend,
            conn,
            run,
            _handle: handle,
            dir,
        }
    }

    /// Whose journal is archived.
    pub(crate) fn run(&self) -> &RunKey {
        &self.run
    }

    /// The journal as it is read when this is its archived form, whose last record has this number and this hash.
    pub(crate) fn read(&self, body: &[u8], n: u64, hash: Digest) -> Result<Vec<Entry>, Error> {
        let number = i64::try_from(n).unwrap_or(i64::MAX);
        let (seq, at, status): (i64, i64, i64) = self
            .conn
            .query_row("SELECT seq, at, status FROM archive", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .expect("one run is archived");
        let sum = Sum::of("archive")
            .int(seq)
            .bytes(self.run.tenant.as_str().as_bytes())
            .bytes(self.run.run.as_bytes())
            .int(number)
            .int(at)
            .int(status)
            .bytes(hash.as_bytes())
            .bytes(body)
            .done();
        let sql = "UPDATE archive SET n = ?1, hash = ?2, sum = ?3, body = ?4";
        let row = (number, hash.as_bytes(), sum, body);
        let changed = self.conn.execute(sql, row);
        assert_eq!(changed.expect("it can be written"), 1);
        self.runtime
            .block_on(self.backend.journal.read(&self.run, 0))
    }

    /// The checksum of the row of a record of this run.
    pub(crate) fn record_sum(n: u64, bytes: &[u8]) -> i64 {
        let number = i64::try_from(n).unwrap_or(i64::MAX);
        Sum::of("record").int(1).int(number).bytes(bytes).done()
    }

    /// Restores a backup whose file has this behind its first line and before its checksum.
    pub(crate) fn restore(&self, rest: &[u8]) -> Result<Restoring, BackupError> {
        let mut file = b"MIRASTACK BACKUP 1\n".to_vec();
        file.extend(rest);
        let sum = Sha256::digest(&file);
        file.extend(sum);
        let path = self.dir.path().join("backup");
        std::fs::write(&path, file).expect("there is room");
        Restoring::begin(&path, &self.restored(), options())
    }

    /// Where backups are restored.
    pub(crate) fn restored(&self) -> PathBuf {
        self.dir.path().join("restored")
    }
}

async fn archived(backend: &Backend) -> RunKey {
    let run = Sample::whole(&Birth::number(1));
    for (record, events) in &run.records {
        let appended = backend.journal.append(record, events).await;
        appended.expect("it follows");
    }
    let keys = [run.key.clone()];
    backend.archive.archive(&keys).await.expect("it has ended");
    run.key
}

fn options() -> Options {
    Options::new(Arc::new(Still), Arc::new(Counted::default()))
}

/// The checksum of a row: a CRC-32C of the table's name and of each column with its kind and its length.
struct Sum(u32);

impl Sum {
    fn of(table: &str) -> Self {
        Self(crc32c::crc32c(table.as_bytes()))
    }

    fn int(self, value: i64) -> Self {
        self.raw(b"i").raw(&value.to_be_bytes())
    }

    fn bytes(self, value: &[u8]) -> Self {
        let length = value.len() as u64;
        self.raw(b"b").raw(&length.to_be_bytes()).raw(value)
    }

    fn raw(self, bytes: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.0, bytes))
    }

    fn done(self) -> i64 {
        i64::from(self.0)
    }
}
