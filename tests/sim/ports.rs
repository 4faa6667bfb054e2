//! The ports as a role has them in the simulation: those of the store, behind a [`Gate`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::digest::Digest;
use engine::event::Event;
use engine::id::{RunKey, Shard, Tenant};
use engine::job::{Answer, Job, Word};
use engine::record::Encoded;
use engine::time::Timestamp;
use store::port::{
    ApprovalFilter, ApprovalRow, Change, Delivery, Entry, Expect, Heard, Item, KeyValue, Message,
    NewRun, News, Offered, OpenRuns, Page, Paged, Queue, Retention, RunFilter, RunRow,
    Subscription, Topic,
};
use store::{
    Archive, Backend, Blobs, Error, Inbox, Jobs, Journal, Keys, Live, Memory, Registry, Views,
};

use crate::life::Gate;

/// A port behind a gate.
pub(crate) struct Gated<P: ?Sized> {
    inner: Arc<P>,
    gate: Gate,
}

/// All ports of `backend` behind `gate`.
pub(crate) fn gated(backend: &Backend, gate: &Gate) -> Backend {
    fn one<P: ?Sized>(inner: &Arc<P>, gate: &Gate) -> Arc<Gated<P>> {
        let (inner, gate) = (Arc::clone(inner), gate.clone());
        Arc::new(Gated { inner, gate })
    }
    Backend {
        journal: one(&backend.journal, gate),
        archive: one(&backend.archive, gate),
        keys: one(&backend.keys, gate),
        inbox: one(&backend.inbox, gate),
        jobs: one(&backend.jobs, gate),
        registry: one(&backend.registry, gate),
        memory: one(&backend.memory, gate),
        blobs: one(&backend.blobs, gate),
        views: one(&backend.views, gate),
        live: one(&backend.live, gate),
        clock: Arc::clone(&backend.clock),
        random: Arc::clone(&backend.random),
    }
}

#[async_trait]
impl Journal for Gated<dyn Journal> {
    async fn append(&self, record: &Encoded, events: &[Event]) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, record, events) = (self.inner.clone(), record.clone(), events.to_vec());
            async move { drop(inner.append(&record, &events).await) }
        });
        let call = || self.inner.append(record, events);
        self.gate.change("journal.append", call).await
    }

    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error> {
        let call = || self.inner.read(key, after);
        self.gate.call("journal.read", call).await
    }

    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error> {
        let call = || self.inner.open_runs(shard);
        self.gate.call("journal.open_runs", call).await
    }

    async fn new_runs(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<NewRun>, Error> {
        let call = || self.inner.new_runs(shard, sequence, max);
        self.gate.call("journal.new_runs", call).await
    }
}

#[async_trait]
impl Archive for Gated<dyn Archive> {
    async fn ended(&self, before: Timestamp, max: usize) -> Result<Vec<RunKey>, Error> {
        let call = || self.inner.ended(before, max);
        self.gate.call("archive.ended", call).await
    }

    async fn archive(&self, runs: &[RunKey]) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, runs) = (self.inner.clone(), runs.to_vec());
            async move { drop(inner.archive(&runs).await) }
        });
        let call = || self.inner.archive(runs);
        self.gate.change("archive.archive", call).await
    }

    async fn expired(&self, retention: Retention, max: usize) -> Result<Vec<RunKey>, Error> {
        let call = || self.inner.expired(retention, max);
        self.gate.call("archive.expired", call).await
    }

    async fn remove(&self, runs: &[RunKey]) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, runs) = (self.inner.clone(), runs.to_vec());
            async move { drop(inner.remove(&runs).await) }
        });
        let call = || self.inner.remove(runs);
        self.gate.change("archive.remove", call).await
    }
}

#[async_trait]
impl Keys for Gated<dyn Keys> {
    async fn create(
        &self,
        tenant: &Tenant,
        name: &str,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error> {
        self.gate.late(|| {
            let (inner, tenant) = (self.inner.clone(), tenant.clone());
            let (name, value) = (name.to_owned(), value.to_vec());
            async move { drop(inner.create(&tenant, &name, &value, expires).await) }
        });
        let call = || self.inner.create(tenant, name, value, expires);
        self.gate.change("keys.create", call).await
    }

    async fn get(
        &self,
        tenant: &Tenant,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<KeyValue>, Error> {
        let call = || self.inner.get(tenant, name, now);
        self.gate.call("keys.get", call).await
    }

    async fn put(
        &self,
        tenant: &Tenant,
        name: &str,
        old: &KeyValue,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error> {
        self.gate.late(|| {
            let (inner, tenant, old) = (self.inner.clone(), tenant.clone(), old.clone());
            let (name, value) = (name.to_owned(), value.to_vec());
            async move { drop(inner.put(&tenant, &name, &old, &value, expires).await) }
        });
        let call = || self.inner.put(tenant, name, old, value, expires);
        self.gate.change("keys.put", call).await
    }

    async fn sweep(&self, now: Timestamp, max: usize) -> Result<usize, Error> {
        let call = || self.inner.sweep(now, max);
        self.gate.call("keys.sweep", call).await
    }
}

#[async_trait]
impl Inbox for Gated<dyn Inbox> {
    async fn send(&self, shard: Shard, message: &Message) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, message) = (self.inner.clone(), message.clone());
            async move { drop(inner.send(shard, &message).await) }
        });
        let call = || self.inner.send(shard, message);
        self.gate.change("inbox.send", call).await
    }

    async fn receive(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<(u64, Message)>, Error> {
        let call = || self.inner.receive(shard, sequence, max);
        self.gate.call("inbox.receive", call).await
    }

    async fn settle(&self, shard: Shard, sequences: &[u64]) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, sequences) = (self.inner.clone(), sequences.to_vec());
            async move { drop(inner.settle(shard, &sequences).await) }
        });
        let call = || self.inner.settle(shard, sequences);
        self.gate.change("inbox.settle", call).await
    }
}

#[async_trait]
impl Jobs for Gated<dyn Jobs> {
    async fn offer(&self, pool: &str, jobs: Vec<Job>) -> Result<Vec<Offered>, Error> {
        self.gate.late(|| {
            let (inner, pool, jobs) = (self.inner.clone(), pool.to_owned(), jobs.clone());
            async move { drop(inner.offer(&pool, jobs).await) }
        });
        let call = || self.inner.offer(pool, jobs.clone());
        self.gate.change("jobs.offer", call).await
    }

    async fn take(&self, pool: &str, max: usize) -> Result<Vec<Job>, Error> {
        let call = || self.inner.take(pool, max);
        let jobs = self.gate.call("jobs.take", call).await?;
        if self.gate.world.weather.is_doubled() {
            // Two get the same jobs.
            self.inner.offer(pool, jobs.clone()).await?;
        }
        self.gate.effect("jobs.take").await;
        Ok(jobs)
    }

    async fn queue(&self, pool: &str) -> Result<Queue, Error> {
        let call = || self.inner.queue(pool);
        self.gate.call("jobs.queue", call).await
    }

    async fn say(&self, shard: Shard, word: Word) -> Result<Answer, Error> {
        self.gate.late(|| {
            let (inner, word) = (self.inner.clone(), word.clone());
            async move { drop(inner.say(shard, word).await) }
        });
        let call = || self.inner.say(shard, word.clone());
        match word {
            Word::InHand { .. } => self.gate.call("jobs.in_hand", call).await,
            Word::Report { .. } | Word::Ask { .. } => self.gate.change("jobs.say", call).await,
            Word::Begin { .. } => {
                let answer = self.gate.change("jobs.say", call).await?;
                if let Answer::Granted { .. } = answer {
                    // Between the grant and its call.
                    self.gate.stop(self.gate.world.weather.stop_granted()).await;
                }
                Ok(answer)
            }
        }
    }

    async fn hear(&self, shard: Shard, max: usize) -> Result<Vec<Heard>, Error> {
        let call = || self.inner.hear(shard, max);
        let heard = self.gate.call("jobs.hear", call).await?;
        if heard.iter().any(|h| !matches!(h.word, Word::InHand { .. })) {
            self.gate.effect("jobs.hear").await;
        }
        Ok(heard)
    }
}

#[async_trait]
impl Registry for Gated<dyn Registry> {
    async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        let call = || self.inner.get(key);
        self.gate.call("registry.get", call).await
    }

    async fn list(&self, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Error> {
        let call = || self.inner.list(prefix, after, max);
        self.gate.call("registry.list", call).await
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, Error> {
        self.gate.late(|| {
            let (inner, key, value) = (self.inner.clone(), key.to_owned(), value.to_vec());
            async move { drop(inner.put(&key, &value, expect).await) }
        });
        let call = || self.inner.put(key, value, expect);
        self.gate.change("registry.put", call).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, key) = (self.inner.clone(), key.to_owned());
            async move { drop(inner.delete(&key, revision).await) }
        });
        let call = || self.inner.delete(key, revision);
        self.gate.change("registry.delete", call).await
    }

    async fn watch(&self, prefix: &str, revision: u64) -> Result<Vec<Change>, Error> {
        let call = || self.inner.watch(prefix, revision);
        self.gate.call("registry.watch", call).await
    }
}

#[async_trait]
impl Memory for Gated<dyn Memory> {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        let call = || self.inner.get(key);
        let mut found = self.gate.call("memory.get", call).await?;
        if let Some(value) = &mut found {
            self.gate.spoil(value);
        }
        Ok(found)
    }

    async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, key, value) = (self.inner.clone(), key.to_owned(), value.to_vec());
            async move { drop(inner.put(&key, &value, ttl).await) }
        });
        let call = || self.inner.put(key, value, ttl);
        self.gate.change("memory.put", call).await
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, key) = (self.inner.clone(), key.to_owned());
            async move { drop(inner.remove(&key).await) }
        });
        let call = || self.inner.remove(key);
        self.gate.change("memory.remove", call).await
    }
}

#[async_trait]
impl Blobs for Gated<dyn Blobs> {
    async fn put(&self, key: &RunKey, digest: Digest, bytes: &[u8]) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, key, bytes) = (self.inner.clone(), key.clone(), bytes.to_vec());
            async move { drop(inner.put(&key, digest, &bytes).await) }
        });
        let call = || self.inner.put(key, digest, bytes);
        self.gate.change("blobs.put", call).await
    }

    async fn get(&self, key: &RunKey, digest: Digest) -> Result<Option<Vec<u8>>, Error> {
        let call = || self.inner.get(key, digest);
        self.gate.call("blobs.get", call).await
    }

    async fn sweep(&self, before: Timestamp, max: usize) -> Result<usize, Error> {
        let call = || self.inner.sweep(before, max);
        self.gate.call("blobs.sweep", call).await
    }
}

#[async_trait]
impl Views for Gated<dyn Views> {
    async fn runs(
        &self,
        tenant: &Tenant,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<Paged<RunRow>, Error> {
        let call = || self.inner.runs(tenant, filter, page);
        self.gate.call("views.runs", call).await
    }

    async fn approvals(
        &self,
        tenant: &Tenant,
        filter: &ApprovalFilter,
        page: &Page,
    ) -> Result<Paged<ApprovalRow>, Error> {
        let call = || self.inner.approvals(tenant, filter, page);
        self.gate.call("views.approvals", call).await
    }

    async fn deliveries(
        &self,
        tenant: &Tenant,
        hook: &str,
        page: &Page,
    ) -> Result<Paged<Delivery>, Error> {
        let call = || self.inner.deliveries(tenant, hook, page);
        self.gate.call("views.deliveries", call).await
    }

    async fn note_delivery(&self, tenant: &Tenant, delivery: &Delivery) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, tenant) = (self.inner.clone(), tenant.clone());
            let delivery = delivery.clone();
            async move { drop(inner.note_delivery(&tenant, &delivery).await) }
        });
        let call = || self.inner.note_delivery(tenant, delivery);
        self.gate.change("views.note_delivery", call).await
    }

    async fn note_damaged(&self, key: &RunKey, what: &str) -> Result<(), Error> {
        self.gate.late(|| {
            let (inner, key, what) = (self.inner.clone(), key.clone(), what.to_owned());
            async move { drop(inner.note_damaged(&key, &what).await) }
        });
        let call = || self.inner.note_damaged(key, what);
        self.gate.change("views.note_damaged", call).await
    }
}

impl Live for Gated<dyn Live> {
    fn publish(&self, topic: Topic, news: News) {
        let fault = self.gate.world.weather.fault();
        if fault.not_done || self.gate.life.is_dead() {
            return;
        }
        self.gate.late(|| {
            let (inner, topic, news) = (self.inner.clone(), topic.clone(), news.clone());
            async move { inner.publish(topic, news) }
        });
        if fault.twice {
            self.inner.publish(topic.clone(), news.clone());
        }
        self.inner.publish(topic, news);
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.inner.subscribe(topic)
    }
}
