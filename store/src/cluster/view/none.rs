//! What a process notes for the lists of others, and shows none itself.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use engine::id::{RunKey, Tenant};

use crate::Error;
use crate::cluster::broker::Broker;
use crate::cluster::journal::Journals;
use crate::cluster::unavailable;
use crate::port::{ApprovalFilter, ApprovalRow, Delivery, Page, Paged, RunFilter, RunRow, Views};

/// Notes for the lists of others.
pub(in crate::cluster) struct NoLists {
    broker: Broker,
    journals: Arc<Journals>,
}

impl NoLists {
    pub(in crate::cluster) fn of(broker: &Broker, journals: &Arc<Journals>) -> Self {
        Self {
            broker: broker.clone(),
            journals: Arc::clone(journals),
        }
    }
}

fn no_lists<T>() -> Result<T, Error> {
    Err(unavailable("this process keeps no lists: ask a gateway"))
}

#[async_trait]
impl Views for NoLists {
    async fn runs(&self, _: &Tenant, _: &RunFilter, _: &Page) -> Result<Paged<RunRow>, Error> {
        no_lists()
    }

    async fn approvals(
        &self,
        _: &Tenant,
        _: &ApprovalFilter,
        _: &Page,
    ) -> Result<Paged<ApprovalRow>, Error> {
        no_lists()
    }

    async fn deliveries(&self, _: &Tenant, _: &str, _: &Page) -> Result<Paged<Delivery>, Error> {
        no_lists()
    }

    async fn note_delivery(&self, tenant: &Tenant, delivery: &Delivery) -> Result<(), Error> {
        let subject = format!("{}.delivery.{tenant}", self.broker.name);
        let body = serde_json::to_vec(delivery).map_err(unavailable)?;
        let told = self.broker.client.publish(subject, Bytes::from(body));
        told.await.map_err(unavailable)
    }

    async fn note_damaged(&self, key: &RunKey, what: &str) -> Result<(), Error> {
        tracing::error!(run = %key.run, tenant = %key.tenant, what, "a run is damaged and parked");
        self.journals.history.note("damaged", key).await
    }
}
