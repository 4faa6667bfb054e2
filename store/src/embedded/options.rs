//! What an embedded store is opened with, and why it may refuse to open.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use engine::time::Timestamp;

use crate::clock::{Clock, ProcessClock, Random, SystemRandom};

/// What an embedded store is opened with.
#[derive(Clone)]
pub struct Options {
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where ids and nonces come from.
    pub random: Arc<dyn Random>,
    /// Pages of the file kept in memory, for each connection, in bytes.
    pub cache_bytes: usize,
    /// What [`crate::Memory`] holds at most, in bytes; over it the oldest goes.
    pub memory_bytes: usize,
    /// Called with the reason when the disk did not take a commit: nothing that is acknowledged after that could be
    /// trusted. Ends the process unless a test says otherwise.
    pub fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Options {
    /// The usual sizes, with this clock and this chance.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self {
            clock,
            random,
            cache_bytes: 64 * 1024 * 1024,
            memory_bytes: 64 * 1024 * 1024,
            fatal: Arc::new(|_| std::process::abort()),
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new(Arc::new(ProcessClock::start()), Arc::new(SystemRandom))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("cache_bytes", &self.cache_bytes)
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

/// Where an inline store keeps its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In memory: it survives [`super::Handle::restart`] and nothing else.
    Memory,
    /// In a folder.
    Folder(PathBuf),
}

/// Why a store did not open. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the folder {path} is in use by process {pid}: stop that one, or name another folder")]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The other process, as it wrote itself down; `?` when it had no time to.
        pid: String,
    },
    /// Others may look into the folder, and it is not ours to close.
    #[error(
        "the folder {path} holds other things and is open to others (mode {mode:o}): give an empty folder, or chmod 0700 it"
    )]
    Exposed {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A restore into this folder was cut off.
    #[error(
        "{path} holds half of a backup, for a restore was cut off: remove everything in it but root.key, and restore again"
    )]
    HalfRestored {
        /// The folder.
        path: PathBuf,
    },
    /// The operating system said no.
    #[error("{path}: {what}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        what: String,
    },
    /// A newer version wrote it.
    #[error(
        "{path} has data of version {found}, and this program reads up to {known}: run the version that wrote it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of the data.
        found: i64,
        /// The highest version read here.
        known: i64,
    },
    /// It is damaged.
    #[error("{path} is damaged: {what}; restore it from a backup (nothing was changed)")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What, by name.
        what: String,
    },
    /// The clock is behind what is stored.
    #[error(
        "unsafe clock: it says {now}, and the newest stored record is from {newest}: set the clock right and start again"
    )]
    Clock {
        /// What the clock says.
        now: Timestamp,
        /// When the newest record was decided.
        newest: Timestamp,
    },
}
