//! Lists, in a file at each gateway, made from the streams of journals.
//!
//! The file holds up to which message of each stream it is complete. It can be lost: then the lists are made again, from
//! the archived runs and the journals, and say meanwhile that they are incomplete.

mod file;
mod follow;
mod none;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::stream::RawMessageErrorKind;
use async_trait::async_trait;
use engine::id::{RunKey, Tenant};
use futures::StreamExt as _;
use futures::future::join_all;
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use self::file::{File, connect};
use self::follow::Follower;
pub(super) use self::follow::{Kind, Source};
pub(super) use self::none::NoLists;
use super::broker::Broker;
use super::journal::Journals;
use super::live::Watch;
use super::unavailable;
use crate::lists::{Ring, Version, approvals, deliveries, runs};
use crate::port::{ApprovalFilter, ApprovalRow, Delivery, Page, Paged, RunFilter, RunRow, Views};
use crate::sqlite::fault::Fault;
use crate::{Error, lock};

/// So long a list waits for what was stored before it was asked for.
const PATIENCE: Duration = Duration::from_secs(2);
/// After so long it is looked whether what is waited for is there at all: it may have been removed.
const LOOK: Duration = Duration::from_millis(20);

/// The lists of a gateway.
pub(super) struct Lists {
    notes: NoLists,
    sources: Arc<Vec<Source>>,
    reads: Arc<Mutex<Connection>>,
    places: watch::Sender<Vec<u64>>,
    ring: Arc<Mutex<Ring>>,
    /// Follow the streams, as long as there is one who may look.
    _tasks: JoinSet<()>,
}

impl Lists {
    /// Opens the lists in this file, which is made where it is not there, and follows the journals from where it ended.
    /// Records are told to those who `watch`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Corrupt`].
    pub(super) async fn open(
        broker: &Broker,
        journals: &Arc<Journals>,
        watch: &Watch,
        path: &Path,
    ) -> Result<Self, Error> {
        let file = path.to_owned();
        let opening = spawn_blocking(move || open_both(&file));
        let (file, reads) = opening.await.map_err(unavailable)??;
        let sources = Arc::new(journals.sources());
        let places = watch::Sender::new(vec![0; sources.len()]);
        let follower = Follower {
            sources: Arc::clone(&sources),
            journals: Arc::clone(journals),
            topics: watch.topics(),
            file: Arc::new(Mutex::new(file)),
            places: places.clone(),
        };
        let ring = Arc::default();
        let deliveries = format!("{}.delivery.*", broker.name);
        let deliveries = broker.client.subscribe(deliveries).await;
        let mut tasks = JoinSet::new();
        tasks.spawn(follower.run());
        tasks.spawn(hear(deliveries.map_err(unavailable)?, Arc::clone(&ring)));
        Ok(Self {
            notes: NoLists::of(broker, journals),
            sources,
            reads: Arc::new(Mutex::new(reads)),
            places,
            ring,
            _tasks: tasks,
        })
    }

    /// A part of a list, with everything in it that was stored before. Where that does not come in time, it says so.
    async fn list<T, R>(&self, read: R) -> Result<Paged<T>, Error>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<Paged<T>, Fault> + Send + 'static,
    {
        let is_whole = timeout(PATIENCE, self.catch_up()).await;
        let reads = Arc::clone(&self.reads);
        let reading = spawn_blocking(move || read(&lock(&reads)));
        let mut page = reading.await.map_err(unavailable)??;
        page.incomplete |= !matches!(is_whole, Ok(true));
        Ok(page)
    }

    async fn catch_up(&self) -> bool {
        let sources = (0..self.sources.len()).map(|number| self.catch_up_with(number));
        join_all(sources)
            .await
            .into_iter()
            .all(|caught_up| caught_up)
    }

    async fn catch_up_with(&self, number: usize) -> bool {
        let stream = &self.sources[number].stream;
        let Ok(info) = stream.get_info().await else {
            return false;
        };
        let last = info.state.last_sequence;
        let mut places = self.places.subscribe();
        loop {
            let reached = places.wait_for(|places| places[number] >= last);
            if timeout(LOOK, reached).await.is_ok() {
                return true;
            }
            let place = places.borrow()[number];
            match stream
                .get_first_raw_message_by_subject(">", place + 1)
                .await
            {
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return true,
                Ok(_) | Err(_) => {}
            }
        }
    }
}

fn open_both(path: &Path) -> Result<(File, Connection), Error> {
    let file = File::open(path)?;
    let reads = connect(path).map_err(|e| crate::sqlite::fault::reading(&e))?;
    Ok((file, reads))
}

/// Notes the deliveries that any gateway tells.
async fn hear(mut all: Subscriber, ring: Arc<Mutex<Ring>>) {
    while let Some(message) = all.next().await {
        let tenant = message
            .subject
            .rsplit_once('.')
            .and_then(|(_, t)| Tenant::new(t));
        let delivery = serde_json::from_slice::<Delivery>(&message.payload).ok();
        if let (Some(tenant), Some(delivery)) = (tenant, delivery) {
            lock(&ring).note(&tenant, delivery);
        }
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
        self.list(move |conn| runs::list(conn, Version::OfRow, &tenant, &filter, &page))
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
        // Here at once, and at the other gateways soon; the same id again takes the place of the first.
        lock(&self.ring).note(tenant, delivery.clone());
        self.notes.note_delivery(tenant, delivery).await
    }

    async fn note_damaged(&self, key: &RunKey, what: &str) -> Result<(), Error> {
        self.notes.note_damaged(key, what).await
    }
}
