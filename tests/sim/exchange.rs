//! Ports whose back end can be lost.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::id::Shard;
use engine::job::{Answer, Job, Word};
use store::port::{Heard, Offered, Queue};
use store::{Error, Jobs, Memory};
use tokio::sync::Notify;

/// A port whose back end can be lost and replaced. Whoever waits at the old one is told that it is gone.
pub(crate) struct Exchange<P: ?Sized> {
    inner: Mutex<Arc<P>>,
    gone: Notify,
}

impl<P: ?Sized> Exchange<P> {
    pub(crate) fn new(inner: Arc<P>) -> Arc<Self> {
        let (inner, gone) = (Mutex::new(inner), Notify::new());
        Arc::new(Self { inner, gone })
    }

    pub(crate) fn put(&self, inner: Arc<P>) {
        *self.inner.lock().expect("nobody panics with it") = inner;
        self.gone.notify_waiters();
    }

    pub(crate) fn get(&self) -> Arc<P> {
        self.inner.lock().expect("nobody panics with it").clone()
    }

    async fn or_gone<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let gone = self.gone.notified();
        tokio::select! { biased;
            answer = call => answer,
            () = gone => Err(Error::Unavailable("it was lost".to_owned())),
        }
    }
}

#[async_trait]
impl Jobs for Exchange<dyn Jobs> {
    async fn offer(&self, pool: &str, jobs: Vec<Job>) -> Result<Vec<Offered>, Error> {
        self.get().offer(pool, jobs).await
    }

    async fn take(&self, pool: &str, max: usize) -> Result<Vec<Job>, Error> {
        let inner = self.get();
        self.or_gone(inner.take(pool, max)).await
    }

    async fn queue(&self, pool: &str) -> Result<Queue, Error> {
        self.get().queue(pool).await
    }

    async fn say(&self, shard: Shard, word: Word) -> Result<Answer, Error> {
        let inner = self.get();
        self.or_gone(inner.say(shard, word)).await
    }

    async fn hear(&self, shard: Shard, max: usize) -> Result<Vec<Heard>, Error> {
        let inner = self.get();
        self.or_gone(inner.hear(shard, max)).await
    }
}

#[async_trait]
impl Memory for Exchange<dyn Memory> {
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        Self::get(self).get(key).await
    }

    async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), Error> {
        Self::get(self).put(key, value, ttl).await
    }

    async fn remove(&self, key: &str) -> Result<(), Error> {
        Self::get(self).remove(key).await
    }
}
