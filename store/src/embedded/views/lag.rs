//! What lists do not show yet.
//!
//! A run that is over in a moment changes its row three times in that moment, and nobody looks. So its row is written
//! later and once: at the latest when [`RECORDS_MAX`] records came since, at once when somebody reads a list. The rows of
//! approvals, which people act on, do not wait.
//!
//! `counter.shown` is the last record up to which everything is written, and the records after it are read again after a
//! crash. What is written twice is the same twice.

use std::collections::{BTreeMap, HashMap};

use engine::event::RunStatus;
use engine::id::RunKey;
use engine::record::Record;
use rusqlite::{Connection, OptionalExtension};

use crate::embedded::runs::{Raw, record_sum};
use crate::lists::write;
use crate::view::{RowChange, project};

/// Records that lists may lag behind: a start after a crash reads so many.
const RECORDS_MAX: u64 = 2_048;
/// When they are more, the oldest of them are written and so many may wait on: a piece of the work at a time.
const RECORDS_KEPT: u64 = 1_792;

/// What lists do not show yet.
pub(in crate::embedded) struct Lag {
    /// By the place of the first record of each run that is not shown.
    waiting: BTreeMap<u64, Late>,
    /// The places of runs in there.
    places: HashMap<u64, u64>,
    /// The place of the last record.
    last: u64,
}

/// A run with a row that is behind.
pub(in crate::embedded) struct Late {
    seq: u64,
    key: RunKey,
    change: RowChange,
}

impl Late {
    /// The run with the number `seq`, and what is to be changed.
    pub(in crate::embedded) fn new(seq: u64, key: &RunKey, change: RowChange) -> Self {
        let key = key.clone();
        Self { seq, key, change }
    }
}

impl Lag {
    /// What the records after place `shown` say.
    pub(in crate::embedded) fn read(conn: &Connection, shown: u64) -> rusqlite::Result<Self> {
        let sql = "SELECT max(pos) FROM record";
        let last: Option<u64> = conn.query_row(sql, [], |row| row.get(0))?;
        let mut lag = Self {
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            last: last.unwrap_or(0).max(shown),
        };
        let sql = "SELECT pos, run, n, sum, bytes FROM record WHERE pos > ?1 ORDER BY pos";
        let mut statement = conn.prepare_cached(sql)?;
        let mut rows = statement.query([shown])?;
        while let Some(row) = rows.next()? {
            let (pos, seq): (u64, u64) = (row.get(0)?, row.get(1)?);
            let raw = Raw {
                n: row.get(2)?,
                sum: row.get(3)?,
                bytes: row.get(4)?,
            };
            lag.read_again(conn, pos, seq, &raw)?;
        }
        Ok(lag)
    }

    /// A damaged record says nothing here: whoever reads its run parks it.
    fn read_again(
        &mut self,
        conn: &Connection,
        pos: u64,
        seq: u64,
        raw: &Raw,
    ) -> rusqlite::Result<()> {
        if record_sum(seq, raw.n, &raw.bytes) != raw.sum {
            return Ok(());
        }
        let Ok(record) = Record::decode(&raw.bytes) else {
            return Ok(());
        };
        let Ok(events) = record.events() else {
            return Ok(());
        };
        // Without the bytes that people are asked to consent to, which only the rows of approvals need.
        let change = project(&record, &events, &BTreeMap::new()).row;
        let before = status_before(conn, seq, raw.n)?;
        if before.is_none_or(|before| change.is_seen(before)) {
            self.add(pos, Late::new(seq, &record.key, change));
        }
        Ok(())
    }

    /// The place of the next record. None is given twice.
    pub(in crate::embedded) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(in crate::embedded) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes what the record at place `pos` changes in the row of its run.
    pub(in crate::embedded) fn add(&mut self, pos: u64, late: Late) {
        let place = *self.places.entry(late.seq).or_insert(pos);
        match self.waiting.get_mut(&place) {
            Some(before) => before.change.then(late.change),
            None => {
                self.waiting.insert(place, late);
            }
        }
    }

    /// Writes the oldest when there are too many.
    pub(in crate::embedded) fn trim(
        &mut self,
        conn: &Connection,
        shown: &mut u64,
    ) -> rusqlite::Result<()> {
        if self.last - *shown <= RECORDS_MAX {
            return Ok(());
        }
        self.show(conn, self.last - RECORDS_KEPT, shown)
    }

    /// Writes everything.
    pub(in crate::embedded) fn show_all(
        &mut self,
        conn: &Connection,
        shown: &mut u64,
    ) -> rusqlite::Result<()> {
        self.show(conn, self.last, shown)
    }

    fn show(&mut self, conn: &Connection, until: u64, shown: &mut u64) -> rusqlite::Result<()> {
        while let Some(oldest) = self.waiting.first_entry()
            && *oldest.key() <= until
        {
            let late = oldest.remove();
            self.places.remove(&late.seq);
            write::row(conn, &late.key, &late.change)?;
        }
        *shown = until;
        Ok(())
    }
}

/// The status of the run with the number `seq` before its record `n`, if that can be read.
fn status_before(conn: &Connection, seq: u64, n: u64) -> rusqlite::Result<Option<RunStatus>> {
    let sql = "SELECT bytes FROM record WHERE run = ?1 AND n = ?2";
    let bytes: Option<Vec<u8>> = conn
        .prepare_cached(sql)?
        .query_row((seq, n.saturating_sub(1)), |row| row.get(0))
        .optional()?;
    let record = bytes.and_then(|bytes| Record::decode(&bytes).ok());
    Ok(record.map(|record| record.summary.status))
}
