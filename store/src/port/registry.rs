use async_trait::async_trait;

use crate::Error;

/// Definitions and policies, by key (`kind/tenant/name`). Single keys only, for Kine knows no others. Must survive.
#[async_trait]
pub trait Registry: Send + Sync {
    /// One item.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    async fn get(&self, key: &str) -> Result<Option<Item>, Error>;

    /// Items whose key starts with `prefix`, in the order of their keys, after the key `after`, at most `max`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn list(&self, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Error>;

    /// Puts a value, and answers its revision.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the key is not as expected.
    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, Error>;

    /// Removes a key that is at `revision`.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is not.
    async fn delete(&self, key: &str, revision: u64) -> Result<(), Error>;

    /// Changes of keys that start with `prefix` after `revision`, in order; waits until there is one. A history that
    /// is no longer kept answers [`Change::Gap`]: list again.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn watch(&self, prefix: &str, revision: u64) -> Result<Vec<Change>, Error>;
}

/// An item of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its key.
    pub key: String,
    /// What it holds.
    pub value: Vec<u8>,
    /// The registry's revision at its last change; counts up over all keys.
    pub revision: u64,
}

/// How a key must be for a `put`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It does not exist.
    Absent,
    /// It is at this revision.
    Revision(u64),
}

/// A change of the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A key was put.
    Put(Item),
    /// A key was removed, at this revision.
    Deleted {
        /// Which.
        key: String,
        /// The registry's revision then.
        revision: u64,
    },
    /// Changes up to this revision are not known any more: list again.
    Gap {
        /// Follow from here.
        revision: u64,
    },
}
