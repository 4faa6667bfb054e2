//! What lists show: rows that are made from records.
//!
//! Those of approvals are written in the transaction of their record; those of runs may lag behind (`lag.rs`), and a reader
//! lets them catch up first.

mod lag;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use engine::id::{RunKey, Tenant};
use rusqlite::Connection;

pub(super) use self::lag::{Lag, Late};
use super::commit::Writer;
use super::core::Core;
use crate::lists::{Ring, Version, approvals, deliveries, runs, write};
use crate::port::{ApprovalFilter, ApprovalRow, Delivery, Page, Paged, RunFilter, RunRow, Views};
use crate::sqlite::fault::Fault;
use crate::{Error, lock};

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
        self.list(move |conn| runs::list(conn, Version::OfRecords, &tenant, &filter, &page))
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
