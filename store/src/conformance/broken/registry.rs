//! Registries that break a promise.

use std::future::pending;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Seen, asleep, defects};
use crate::port::{Change, Expect, Item, Registry};
use crate::{Backend, Error};

defects![
    an_item_holds_what_was_put: CutsValues,
    a_put_that_expects_nothing_finds_nothing: PutsOverAnItem,
    a_put_that_expects_a_revision_finds_it: PutsOverAnyRevision,
    a_delete_needs_the_revision: DeletesAnyRevision,
    revisions_count_up_over_all_keys: CountsFromOneAgain,
    a_list_is_by_prefix_and_in_order: ListsAnyPrefix,
    a_list_comes_in_parts: ListsFromTheStart,
    changes_are_told_in_order: TellsTheLastFirst,
    changes_are_told_by_prefix: TellsAnyPrefix,
    a_deletion_is_told: HidesDeletions,
    a_change_wakes_who_watches: SleepsOverChanges,
    a_history_that_is_not_kept_is_a_gap: HidesGaps,
    the_registry_survives_a_restart: ForgetsAtRestart,
];

struct Wrapper {
    inner: Arc<dyn Registry>,
    how: How,
    seen: Seen<String>,
}

fn wrap(backend: Backend, how: How) -> Backend {
    let registry = Arc::new(Wrapper {
        inner: Arc::clone(&backend.registry),
        how,
        seen: Seen::new(),
    });
    Backend {
        registry,
        ..backend
    }
}

impl Wrapper {
    fn remembers(&self, key: &str) -> bool {
        self.how != How::ForgetsAtRestart || self.seen.has(&key.to_owned())
    }

    async fn as_it_is(&self, key: &str) -> Result<Expect, Error> {
        let there = self.inner.get(key).await?;
        Ok(there.map_or(Expect::Absent, |item| Expect::Revision(item.revision)))
    }
}

#[async_trait]
impl Registry for Wrapper {
    async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        let mut found = self.inner.get(key).await?.filter(|_| self.remembers(key));
        if let (Some(item), How::CutsValues) = (&mut found, self.how) {
            item.value.pop();
        }
        Ok(found)
    }

    async fn list(&self, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Error> {
        let prefix = if self.how == How::ListsAnyPrefix {
            ""
        } else {
            prefix
        };
        let after = if self.how == How::ListsFromTheStart {
            ""
        } else {
            after
        };
        let mut items = self.inner.list(prefix, after, max).await?;
        items.retain(|item| self.remembers(&item.key));
        Ok(items)
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, Error> {
        self.seen.add(key.to_owned());
        let anyway = match expect {
            Expect::Absent => self.how == How::PutsOverAnItem,
            Expect::Revision(_) => self.how == How::PutsOverAnyRevision,
        };
        let expect = if anyway {
            self.as_it_is(key).await?
        } else {
            expect
        };
        let revision = self.inner.put(key, value, expect).await?;
        Ok(if self.how == How::CountsFromOneAgain {
            1
        } else {
            revision
        })
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), Error> {
        let there = self
            .inner
            .get(key)
            .await?
            .filter(|_| self.how == How::DeletesAnyRevision);
        let revision = there.map_or(revision, |item| item.revision);
        self.inner.delete(key, revision).await
    }

    async fn watch(&self, prefix: &str, revision: u64) -> Result<Vec<Change>, Error> {
        let prefix = if self.how == How::TellsAnyPrefix {
            ""
        } else {
            prefix
        };
        let mut told = match self.how {
            How::SleepsOverChanges => asleep(self.inner.watch(prefix, revision)).await?,
            _ => self.inner.watch(prefix, revision).await?,
        };
        match self.how {
            How::TellsTheLastFirst => told.reverse(),
            How::HidesDeletions => told.retain(|change| !matches!(change, Change::Deleted { .. })),
            How::HidesGaps => told.retain(|change| !matches!(change, Change::Gap { .. })),
            _ => {}
        }
        if told.is_empty() {
            return pending().await;
        }
        Ok(told)
    }
}
