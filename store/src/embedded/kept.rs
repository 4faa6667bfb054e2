//! A backup that is kept in memory, for the simulation, which has no files: what it holds, and what a restore makes of it,
//! is the same.

use engine::id::RunKey;
use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::options::{OpenError, Options};
use super::restore::another_life;
use super::{Handle, Origin, inline, memory_path, schema, writer_over};
use crate::Backend;

/// One state of everything that is stored.
pub struct Kept {
    conn: Connection,
}

/// Another life of the data: what [`super::Restoring`] is with files.
pub struct Again {
    /// The data.
    pub backend: Backend,
    /// Ends it.
    pub handle: Handle,
    /// Runs that were damaged already when the backup was made, and how.
    pub damaged: Vec<(RunKey, String)>,
}

impl Handle {
    /// What a backup of this moment holds. Of an inline store ([`super::Embedded::inline`]) that is open.
    ///
    /// # Errors
    /// [`OpenError`] when there is no room for it, or the store is none of these.
    pub fn keep(&self) -> Result<Kept, OpenError> {
        let failed = |e: rusqlite::Error| schema::failed(&memory_path(), &e);
        let cache = self.core.options.cache_bytes;
        let copied = self.core.inline(|from| copy(from, cache));
        let conn = copied.ok_or_else(|| {
            let (path, what) = (memory_path(), "it is not open inline".to_owned());
            OpenError::Io { path, what }
        })?;
        let conn = conn.map_err(failed)?;
        Ok(Kept { conn })
    }
}

impl Kept {
    /// Begins another life of the data, inline and in memory.
    ///
    /// # Errors
    /// As [`super::Embedded::open`].
    pub fn restore(self, options: Options) -> Result<Again, OpenError> {
        let path = memory_path();
        let begun = another_life(&self.conn).map_err(|e| schema::failed(&path, &e))?;
        let damaged = begun.ok_or_else(|| OpenError::Damaged {
            path: path.clone(),
            what: "its counters are damaged".to_owned(),
        })?;
        let writer = writer_over(self.conn, path, &options)?;
        let (backend, handle) = inline(writer, options, Origin::Memory);
        Ok(Again {
            backend,
            handle,
            damaged,
        })
    }
}

fn copy(from: &Connection, cache: usize) -> rusqlite::Result<Connection> {
    let mut to = schema::connect(None, cache)?;
    // All pages at once: there is nobody who could be kept waiting.
    Backup::new(from, &mut to)?.step(-1)?;
    Ok(to)
}
