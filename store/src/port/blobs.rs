use async_trait::async_trait;
use engine::digest::Digest;
use engine::id::RunKey;
use engine::time::Timestamp;

use crate::Error;

/// Values that are too large for an event, by run and digest. Dropped with their run, never shared. Must survive.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Keeps `bytes`, whose SHA-256 is `digest`; again changes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn put(&self, key: &RunKey, digest: Digest, bytes: &[u8]) -> Result<(), Error>;

    /// The bytes, checked against their digest.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when they are damaged.
    async fn get(&self, key: &RunKey, digest: Digest) -> Result<Option<Vec<u8>>, Error>;

    /// Drops blobs of runs whose id is older than `before` and of which no record exists; answers how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn sweep(&self, before: Timestamp, max: usize) -> Result<usize, Error>;
}
