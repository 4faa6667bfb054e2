use std::time::Duration;

use async_trait::async_trait;

use crate::Error;

/// Checkpoints, counters, caches. May be lost or rewound at any moment; speeds things up and authorises nothing.
#[async_trait]
pub trait Memory: Send + Sync {
    /// The value of a key, if it is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Puts a value that is dropped after `ttl`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), Error>;

    /// Drops a key.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn remove(&self, key: &str) -> Result<(), Error>;
}
