//! Whether the disk has room.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::core::Core;

/// While there is no room, and nobody has anything to write, it is tried so often at most.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Set by the writer: the disk had no room for its last commit.
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
        written.await.is_ok()
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").finish_non_exhaustive()
    }
}
