//! A part of the registry in memory, kept up by watching it: reads cost no call.
//!
//! What this gateway writes itself is in the mirror at once, so that who saves something finds it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use engine::id::Tenant;
use engine::registry::{Kind, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::port::{Change, Expect, Item, Registry};
use tokio::sync::watch;
use tokio::time::sleep;

/// How many items are listed at once.
const PAGE: usize = 500;
/// After an error of the registry.
const PAUSE: Duration = Duration::from_millis(500);

/// An item of the mirror.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    pub(crate) value: Arc<T>,
    /// The registry's revision of the key.
    pub(crate) at: u64,
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            at: self.at,
        }
    }
}

/// All items of one kind.
pub(crate) struct Mirror<T> {
    kind: Kind,
    registry: Arc<dyn Registry>,
    items: RwLock<BTreeMap<String, Kept<T>>>,
    changes: AtomicU64,
    loaded: watch::Sender<bool>,
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Mirror<T> {
    pub(crate) fn new(kind: Kind, registry: Arc<dyn Registry>) -> Self {
        Self {
            kind,
            registry,
            items: RwLock::default(),
            changes: AtomicU64::new(0),
            loaded: watch::Sender::new(false),
        }
    }

    /// The item of that name.
    pub(crate) fn get(&self, tenant: &Tenant, name: &str) -> Option<Kept<T>> {
        self.read().get(&self.kind.key(tenant, name)).cloned()
    }

    /// All items of a tenant, by what follows its name in their keys.
    pub(crate) fn list(&self, tenant: &Tenant) -> Vec<(String, Kept<T>)> {
        self.under(&self.kind.of(tenant))
    }

    /// All items whose keys begin with `prefix`, by what follows it.
    pub(crate) fn under(&self, prefix: &str) -> Vec<(String, Kept<T>)> {
        self.read()
            .range(prefix.to_owned()..)
            .map_while(|(key, kept)| Some((key.strip_prefix(prefix)?.to_owned(), kept.clone())))
            .collect()
    }

    /// Changes with every change of an item.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Writes an item that is at `old`, or that does not exist.
    pub(crate) async fn put(
        &self,
        tenant: &Tenant,
        name: &str,
        value: T,
        old: Option<u64>,
    ) -> Result<Kept<T>, store::Error> {
        let key = self.kind.key(tenant, name);
        let expect = old.map_or(Expect::Absent, Expect::Revision);
        let at = self.registry.put(&key, &encode(&value), expect).await?;
        let kept = Kept {
            value: Arc::new(value),
            at,
        };
        self.keep(key, kept.clone());
        Ok(kept)
    }

    /// Removes an item that is at `old`.
    pub(crate) async fn delete(
        &self,
        tenant: &Tenant,
        name: &str,
        old: u64,
    ) -> Result<(), store::Error> {
        let key = self.kind.key(tenant, name);
        self.registry.delete(&key, old).await?;
        self.drop_older(&key, old + 1);
        Ok(())
    }

    /// Reads an item anew, for somebody who knows that it has changed.
    pub(crate) async fn refresh(&self, tenant: &Tenant, name: &str) -> Result<(), store::Error> {
        let key = self.kind.key(tenant, name);
        if let Some(item) = self.registry.get(&key).await?
            && let Some(kept) = self.read_item(&item)
        {
            self.keep(key, kept);
        }
        Ok(())
    }

    /// Whether the mirror has been filled.
    pub(crate) fn is_loaded(&self) -> bool {
        *self.loaded.borrow()
    }

    /// Waits until the mirror has been filled.
    pub(crate) async fn loaded(&self) {
        if self.is_loaded() {
            return;
        }
        // The sender lives in `self`, so this cannot fail.
        let _ = self.loaded.subscribe().wait_for(|loaded| *loaded).await;
    }

    /// Keeps the mirror up, for ever.
    pub(crate) async fn follow(&self) {
        let mut from = None;
        loop {
            let seen = match from {
                None => self.load(0).await,
                Some(revision) => self.catch_up(revision).await,
            };
            match seen {
                Ok(revision) => from = Some(revision),
                Err(error) => {
                    tracing::warn!(%error, kind = self.kind.as_str(), "the registry is not followed");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Reads everything there was at `since` at least, and answers the highest revision that it saw. What this gateway
    /// put since then stays: the list may be older.
    async fn load(&self, since: u64) -> Result<u64, store::Error> {
        let prefix = self.kind.prefix();
        let (mut after, mut found, mut highest) = (String::new(), BTreeMap::new(), 0);
        loop {
            let items = self.registry.list(&prefix, &after, PAGE).await?;
            let full = items.len() == PAGE;
            for item in items {
                highest = highest.max(item.revision);
                after.clone_from(&item.key);
                if let Some(kept) = self.read_item(&item) {
                    found.insert(item.key, kept);
                }
            }
            if !full {
                break;
            }
        }
        let mut items = self.items.write().unwrap_or_else(PoisonError::into_inner);
        for (key, kept) in std::mem::take(&mut *items) {
            if kept.at > since && found.get(&key).is_none_or(|listed| listed.at < kept.at) {
                found.insert(key, kept);
            }
        }
        *items = found;
        drop(items);
        self.changes.fetch_add(1, Ordering::Release);
        self.loaded.send_replace(true);
        Ok(highest)
    }

    /// Waits for the next changes, and answers the revision to follow from.
    async fn catch_up(&self, revision: u64) -> Result<u64, store::Error> {
        let mut seen = revision;
        for change in self.registry.watch(&self.kind.prefix(), revision).await? {
            match change {
                Change::Put(item) => {
                    seen = seen.max(item.revision);
                    if let Some(kept) = self.read_item(&item) {
                        self.keep(item.key, kept);
                    }
                }
                Change::Deleted { key, revision } => {
                    seen = seen.max(revision);
                    self.drop_older(&key, revision);
                }
                Change::Gap { revision } => {
                    self.load(revision).await?;
                    // Not from the highest that was listed: that may be older than all that is kept, for ever.
                    seen = seen.max(revision);
                }
            }
        }
        Ok(seen)
    }

    fn read_item(&self, item: &Item) -> Option<Kept<T>> {
        match decode(&item.value) {
            Ok(value) => Some(Kept {
                value: Arc::new(value),
                at: item.revision,
            }),
            Err(error) => {
                tracing::error!(%error, key = item.key, "an item of the registry cannot be read: it is left out");
                None
            }
        }
    }

    fn keep(&self, key: String, kept: Kept<T>) {
        let mut items = self.items.write().unwrap_or_else(PoisonError::into_inner);
        if items.get(&key).is_none_or(|old| old.at < kept.at) {
            items.insert(key, kept);
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    fn drop_older(&self, key: &str, revision: u64) {
        let mut items = self.items.write().unwrap_or_else(PoisonError::into_inner);
        if items.get(key).is_some_and(|old| old.at < revision) {
            items.remove(key);
            self.changes.fetch_add(1, Ordering::Release);
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Kept<T>>> {
        self.items.read().unwrap_or_else(PoisonError::into_inner)
    }
}
