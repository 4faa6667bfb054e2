//! The heads of open runs that were written last: the next record of one does not read its row again.

use std::collections::HashMap;

use engine::id::RunKey;
use rusqlite::Connection;

use super::runs::{self, Head};
use crate::sqlite::fault::Fault;

/// So many are kept; then all are forgotten. Each takes some 200 bytes.
const KEPT: usize = 4_096;

/// What the rows say, in the open transaction too: nobody else writes them.
#[derive(Default)]
pub(super) struct Heads(HashMap<RunKey, Head>);

impl Heads {
    /// The head of a run that is not archived.
    pub(super) fn get(&self, conn: &Connection, key: &RunKey) -> Result<Option<Head>, Fault> {
        match self.0.get(key) {
            Some(head) => Ok(Some(head.clone())),
            None => runs::head(conn, key),
        }
    }

    /// A run's row was written. Of one that has ended nothing is kept: it may be archived.
    pub(super) fn put(&mut self, key: &RunKey, head: Head) {
        if head.summary.status.is_end() {
            self.0.remove(key);
            return;
        }
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.insert(key.clone(), head);
    }

    /// The transaction was undone.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
