use async_trait::async_trait;
use engine::id::Tenant;
use engine::time::Timestamp;

use crate::Error;

/// Small durable values, created once or changed by compare-and-set: idempotency keys, alert episodes. Must survive.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Creates the key, which must not exist (an expired one does not), and answers its revision.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it exists.
    async fn create(
        &self,
        tenant: &Tenant,
        name: &str,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error>;

    /// The key, or `None` when it does not exist or has expired at `now`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn get(
        &self,
        tenant: &Tenant,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<KeyValue>, Error>;

    /// Replaces `old` by a value, and answers the new revision.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the key is not at `old.revision`.
    async fn put(
        &self,
        tenant: &Tenant,
        name: &str,
        old: &KeyValue,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error>;

    /// Removes up to `max` keys that expired before `now`, and answers how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn sweep(&self, now: Timestamp, max: usize) -> Result<usize, Error>;
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// What it holds.
    pub value: Vec<u8>,
    /// Changes with every change of the key.
    pub revision: u64,
    /// When it is gone.
    pub expires: Timestamp,
}
