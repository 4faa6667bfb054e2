//! Whether the disk has room.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::statvfs;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::core::Core;

/// While there is no room, and nobody has anything to write, it is tried so often at most.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// After it was full, a disk has room again from so many free bytes on.
const ENOUGH: u64 = 1024 * 1024;

/// Set by the writer: the disk had no room for a commit, and has not had any since.
pub(super) type Full = Arc<AtomicBool>;

/// Tells whether what comes next can be stored.
#[derive(Clone)]
pub struct Room {
    core: Arc<Core>,
    tried: Arc<Mutex<Option<Instant>>>,
}

impl Room {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let tried = Arc::default();
        Self { core, tried }
    }

    /// Whether the disk has room. When there was none the last time, this tries it, so that the answer changes without
    /// anybody who writes; those who ask meanwhile are told what was known.
    pub async fn is_there(&self) -> bool {
        if !self.core.full.load(Ordering::Relaxed) {
            return true;
        }
        let Ok(mut tried) = self.tried.try_lock() else {
            return false;
        };
        if tried.is_some_and(|at| at.elapsed() < TRY_EVERY) {
            return false;
        }
        *tried = Some(Instant::now());
        let written = self.core.write(
            |writer| Ok(writer.counters.store(&writer.conn)?),
            |()| (), // nobody needs to know
        );
        written.await.is_ok() && !self.core.full.load(Ordering::Relaxed)
    }
}

/// Whether the disk under the file has room again for what comes: runs, and the growth of the file when it takes in the
/// log. Where nobody can say it has, for what was written was written.
pub(super) fn is_enough(file: &Path) -> bool {
    let Ok(disk) = statvfs(file) else { return true };
    // What is free and reserved may be had by nobody, not even by root.
    disk.f_bavail.saturating_mul(disk.f_frsize) >= ENOUGH
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_looked_at_and_one_that_nobody_knows_has_room() {
        // The kernel's own file systems have no blocks at all.
        assert!(!is_enough(Path::new("/proc/self/stat")));
        assert!(is_enough(Path::new("/proc/there/is/no/such/file")));
    }
}
