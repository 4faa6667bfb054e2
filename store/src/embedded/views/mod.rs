//! What lists show: rows that are made from records.
//!
//! Those of approvals are written in the transaction of their record; those of runs may lag behind (`lag.rs`), and a reader
//! lets them catch up first.
//!
//! A list is walked along the one index that leaves the least to look at, newest first, once for each value that is asked
//! for; the other filters are applied on the way.

mod approvals;
mod deliveries;
mod lag;
mod runs;
mod write;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use engine::id::{RunKey, Tenant};
use rusqlite::Connection;

use self::deliveries::Ring;
pub(super) use self::lag::{Lag, Late};
pub(super) use self::write::{approvals, removed};
use super::commit::Writer;
use super::core::Core;
use super::fault::{Fault, is_bad_value};
use crate::Error;
use crate::lock;
use crate::port::{ApprovalFilter, ApprovalRow, Delivery, Page, Paged, RunFilter, RunRow, Views};

/// Rows in one part of a list.
const PAGE_MAX: usize = 1_000;

pub(super) struct Lists {
    core: Arc<Core>,
    ring: Arc<Mutex<Ring>>,
}

impl Lists {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let ring = Arc::default();
        Self { core, ring }
    }

    /// A part of a list, with everything in it that was answered before. Where nothing can be written, as on a full disk,
    /// it is what the file has.
    async fn list<T, R>(&self, read: R) -> Result<Paged<T>, Error>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<Paged<T>, Fault> + Send + 'static,
    {
        let shown = self.core.show().await;
        let mut page = self.core.read(read).await?;
        page.incomplete |= shown.is_err();
        Ok(page)
    }
}

#[async_trait]
impl Views for Lists {
    async fn runs(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Paged<RunRow>, Error> {
        let (tenant, filter, page) = (tenant.clone(), filter.clone(), page.clone());
        self.list(move |conn| runs::list(conn, &tenant, &filter, &page))
            .await
    }

    async fn approvals(
        &self,
        tenant: &Tenant,
        filter: &ApprovalFilter,
        page: &Page,
    ) -> Result<Paged<ApprovalRow>, Error> {
        let (tenant, filter, page) = (tenant.clone(), filter.clone(), page.clone());
        self.list(move |conn| approvals::list(conn, &tenant, &filter, &page))
            .await
    }

    async fn deliveries(
        &self,
        tenant: &Tenant,
        hook: &str,
        page: &Page,
    ) -> Result<Paged<Delivery>, Error> {
        let noted = lock(&self.ring).of(tenant, hook);
        let (tenant, hook, page) = (tenant.clone(), hook.to_owned(), page.clone());
        self.list(move |conn| Ok(deliveries::list(conn, &tenant, &hook, noted, &page)?))
            .await
    }

    async fn note_delivery(&self, tenant: &Tenant, delivery: &Delivery) -> Result<(), Error> {
        lock(&self.ring).note(tenant, delivery.clone());
        Ok(())
    }

    async fn note_damaged(&self, key: &RunKey, what: &str) -> Result<(), Error> {
        tracing::error!(run = %key.run, tenant = %key.tenant, what, "a run is damaged and parked");
        let key = key.clone();
        let work = move |writer: &mut Writer| {
            writer.show()?;
            Ok(write::damaged(&writer.conn, &key)?)
        };
        self.core.write(work, |()| ()).await
    }
}

/// How many rows a page shows.
fn limit(page: &Page) -> usize {
    page.limit.clamp(1, PAGE_MAX)
}

/// The first `limit` of `items`, of which there is one more when another part follows; `cursor` names a row.
fn paged<T>(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Paged<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    Paged {
        next: items.last().filter(|_| more).map(cursor),
        items,
        incomplete: false,
    }
}

/// The rows that can be read, at most `max`. One that cannot is left out and noted in `damaged`: it must not take the
/// others along.
fn readable<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    max: usize,
    damaged: &mut bool,
) -> rusqlite::Result<Vec<T>> {
    let mut found = Vec::new();
    for row in rows {
        match row {
            Ok(row) => found.push(row),
            Err(error) if is_bad_value(&error) => {
                tracing::warn!(%error, "a row of a list is damaged and left out");
                *damaged = true;
            }
            Err(error) => return Err(error),
        }
        if found.len() == max {
            break;
        }
    }
    Ok(found)
}

fn no_cursor(after: &str) -> Error {
    Error::Conflict(format!(
        "{after:?} is no cursor of this list: begin without one"
    ))
}
