use async_trait::async_trait;
use engine::id::RunKey;
use engine::time::Timestamp;

use crate::Error;

/// The end of a run's life. Driven by the janitor at a bounded rate, never on the owner's path.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Ended runs that are not archived and whose last record is from `before` or earlier, oldest first, at most `max`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn ended(&self, before: Timestamp, max: usize) -> Result<Vec<RunKey>, Error>;

    /// Moves these runs to the archived form: all records compressed, with their hashes. Reads go on; a later append
    /// is [`Error::Conflict`]. A run that has not ended is left as it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn archive(&self, runs: &[RunKey]) -> Result<(), Error>;

    /// Archived runs that are over the retention, oldest first, at most `max`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn expired(&self, retention: Retention, max: usize) -> Result<Vec<RunKey>, Error>;

    /// Removes these archived runs with their blobs and views. Their keys must have been marked `gone` before.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn remove(&self, runs: &[RunKey]) -> Result<(), Error>;
}

/// What is kept of ended runs: whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Ended before this goes.
    pub before: Timestamp,
    /// Of the rest, only so many of the newest stay.
    pub number: u64,
}
