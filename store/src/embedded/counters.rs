//! Numbers that count up and are never used twice, over restarts and removals too.

use rusqlite::{Connection, OptionalExtension};

use super::sum::Sum;

/// The last number given of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Of runs, in the order of their creation.
    pub(super) run: u64,
    /// Of the revisions of keys.
    pub(super) key: u64,
    /// Of the inbox's messages.
    pub(super) inbox: u64,
    /// Of the registry's revisions.
    pub(super) registry: u64,
    /// Of the records, the last up to which lists show everything.
    pub(super) shown: u64,
}

impl Counters {
    /// The stored ones, or `None` when their row is damaged.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Option<Self>> {
        let sql = "SELECT run, key, inbox, registry, shown, sum FROM counter";
        let row = conn
            .query_row(sql, [], |row| {
                let counters = Self {
                    run: row.get(0)?,
                    key: row.get(1)?,
                    inbox: row.get(2)?,
                    registry: row.get(3)?,
                    shown: row.get(4)?,
                };
                Ok((counters, row.get::<_, i64>(5)?))
            })
            .optional()?;
        Ok(row.and_then(|(counters, sum)| (counters.sum() == sum).then_some(counters)))
    }

    pub(super) fn store(&self, conn: &Connection) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO counter (one, run, key, inbox, registry, shown, sum)
                   VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
        let [run, key, inbox, registry, shown] = self.all();
        let row = (run, key, inbox, registry, shown, self.sum());
        conn.prepare_cached(sql)?.execute(row)?;
        Ok(())
    }

    fn all(&self) -> [u64; 5] {
        [self.run, self.key, self.inbox, self.registry, self.shown]
    }

    fn sum(&self) -> i64 {
        self.all()
            .iter()
            .fold(Sum::of("counter"), |sum, n| sum.bytes(&n.to_be_bytes()))
            .done()
    }
}

/// The next number of one kind.
pub(super) fn next(counter: &mut u64) -> u64 {
    *counter += 1;
    *counter
}
