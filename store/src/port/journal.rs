use async_trait::async_trait;
use engine::digest::Digest;
use engine::event::Event;
use engine::id::{RunKey, Shard};
use engine::record::{Encoded, Record, Summary};

use crate::Error;

/// The journals of runs: the truth. Must survive everything.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends `record`, whose payload holds `events`, when it follows what is stored: number 1 expects that no record
    /// of the run was ever stored, number `n` that `n - 1` is the last. Answers once it is durable.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it does not follow, also on an archived run; after [`Error::Unavailable`] it may have
    /// happened: read back the last record and compare the nonce.
    async fn append(&self, record: &Encoded, events: &[Event]) -> Result<(), Error>;

    /// The records after number `after`, in order, archived or not; empty when there are none.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a record is damaged or missing.
    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error>;

    /// All runs of the shard that have not ended, damaged ones included, and from where to follow the new ones.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error>;

    /// Runs created in the shard after `sequence`, in order, at most `max`; waits until there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn new_runs(&self, shard: Shard, sequence: u64, max: usize)
    -> Result<Vec<NewRun>, Error>;
}

/// A stored record.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The record.
    pub record: Record,
    /// SHA-256 of its stored bytes.
    pub hash: Digest,
}

/// A run that was just created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRun {
    /// Where it stands among the shard's creations; counts up, with gaps.
    pub sequence: u64,
    /// Its first record.
    pub first: Entry,
}

/// The runs of a shard that have not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenRuns {
    /// Which.
    pub runs: Vec<OpenRun>,
    /// Every creation up to here is among them: follow from here.
    pub sequence: u64,
}

/// A run that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenRun {
    /// Which.
    pub key: RunKey,
    /// The number of its last record.
    pub n: u64,
    /// The summary of its last record, or what is wrong with it.
    pub summary: Result<Summary, String>,
}
