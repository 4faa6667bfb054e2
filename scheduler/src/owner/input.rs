//! Everything that the owner waits for: what it is, and the calls whose answers it will be.

use std::sync::Arc;
use std::time::Duration;

use engine::digest::Digest;
use engine::event::Event;
use engine::facts::Missing;
use engine::id::{RunKey, Shard};
use engine::job::{AttemptKey, Job};
use engine::pool::Pool;
use engine::record::Encoded;
use engine::registry::Kind;
use engine::run::Run;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream::FuturesOrdered};
use store::port::{Change, Entry, Heard, Message, NewRun, Offered, OpenRuns, Queue};
use store::{Backend, Error};
use tokio::time::sleep;

use crate::facts::{Fact, NoFact, look_up};
use crate::pools::{self, News};

/// So many new runs, messages or words are taken at once.
const TAKEN_MAX: usize = 256;

/// Something that happened.
pub(super) enum Input {
    Opened(Shard, Result<OpenRuns, Error>),
    NewRuns(Shard, Result<Vec<NewRun>, Error>),
    Inbox(Shard, Result<Vec<(u64, Message)>, Error>),
    Heard(Shard, Result<Vec<Heard>, Error>),
    Loaded(RunKey, Result<Vec<Entry>, Error>),
    /// What follows in the journal on the last record that is known here.
    Checked(RunKey, Result<Vec<Entry>, Error>),
    Fetched(RunKey, u64, Vec<(Missing, Result<Fact, NoFact>)>),
    Written(RunKey, Result<(), Error>),
    Offered(Pool, Vec<AttemptKey>, Result<Vec<Offered>, Error>),
    Queue(Pool, Result<Queue, Error>),
    /// Where agents are.
    Agents(Result<News, Error>),
    Changed(Kind, Result<Vec<Change>, Error>),
    /// A moment was waited before a run is tried again.
    Rested(RunKey),
    /// Something was done of which nobody waits to hear.
    Done,
}

pub(super) type Waiting = BoxFuture<'static, Input>;

/// How long to wait before the next try after `faults` in a row: 50 ms, doubling up to 5 s.
pub(super) fn pause(faults: u32) -> Duration {
    match faults {
        0 => Duration::ZERO,
        n => Duration::from_millis(50 << n.min(8).saturating_sub(1)).min(Duration::from_secs(5)),
    }
}

async fn rest(faults: u32) {
    if faults > 0 {
        sleep(pause(faults)).await;
    }
}

pub(super) fn open_runs(backend: Arc<Backend>, shard: Shard, faults: u32) -> Waiting {
    async move {
        rest(faults).await;
        Input::Opened(shard, backend.journal.open_runs(shard).await)
    }
    .boxed()
}

pub(super) fn new_runs(backend: Arc<Backend>, shard: Shard, after: u64, faults: u32) -> Waiting {
    async move {
        rest(faults).await;
        let runs = backend.journal.new_runs(shard, after, TAKEN_MAX).await;
        Input::NewRuns(shard, runs)
    }
    .boxed()
}

pub(super) fn inbox(backend: Arc<Backend>, shard: Shard, after: u64, faults: u32) -> Waiting {
    async move {
        rest(faults).await;
        let messages = backend.inbox.receive(shard, after, TAKEN_MAX).await;
        Input::Inbox(shard, messages)
    }
    .boxed()
}

pub(super) fn hear(backend: Arc<Backend>, shard: Shard, faults: u32) -> Waiting {
    async move {
        rest(faults).await;
        Input::Heard(shard, backend.jobs.hear(shard, TAKEN_MAX).await)
    }
    .boxed()
}

pub(super) fn changed(backend: Arc<Backend>, kind: Kind, after: u64, faults: u32) -> Waiting {
    async move {
        rest(faults).await;
        let changes = backend.registry.watch(&kind.prefix(), after).await;
        Input::Changed(kind, changes)
    }
    .boxed()
}

pub(super) fn agents(backend: Arc<Backend>, seen: Option<u64>, faults: u32) -> Waiting {
    async move {
        rest(faults).await;
        Input::Agents(pools::next(&backend, seen).await)
    }
    .boxed()
}

pub(super) fn queue(backend: Arc<Backend>, pool: Pool) -> Waiting {
    async move {
        let queue = backend.jobs.queue(pool.as_str()).await;
        Input::Queue(pool, queue)
    }
    .boxed()
}

pub(super) fn load(backend: Arc<Backend>, key: RunKey) -> Waiting {
    async move {
        let entries = backend.journal.read(&key, 0).await;
        Input::Loaded(key, entries)
    }
    .boxed()
}

/// Reads what follows on record `after`.
pub(super) fn check(backend: Arc<Backend>, key: RunKey, after: u64) -> Waiting {
    async move {
        let entries = backend.journal.read(&key, after).await;
        Input::Checked(key, entries)
    }
    .boxed()
}

pub(super) fn rested(key: RunKey, faults: u32) -> Waiting {
    async move {
        rest(faults).await;
        Input::Rested(key)
    }
    .boxed()
}

/// Looks up what is missing of a run, when the registry is in the state `of`.
pub(super) fn fetch(backend: Arc<Backend>, run: &Run, of: u64, missing: Vec<Missing>) -> Waiting {
    let (key, created) = (run.key().clone(), run.state().head.created.clone());
    async move {
        let mut found = Vec::with_capacity(missing.len());
        for what in missing {
            let fact = look_up(&backend, &key, &created.actions, &what).await;
            found.push((what, fact));
        }
        Input::Fetched(key, of, found)
    }
    .boxed()
}

/// What one run's decisions want to have stored.
#[derive(Default)]
pub(super) struct Writing {
    pub(super) blobs: Vec<(Digest, Vec<u8>)>,
    pub(super) records: Vec<(Encoded, Vec<Event>)>,
}

/// Appends the records of one run, values first. The appends are on their way together, in order: what waits for the
/// same commit costs one.
pub(super) fn write(backend: Arc<Backend>, key: RunKey, writing: Writing) -> Waiting {
    async move {
        let stored = store_all(&backend, &key, &writing).await;
        Input::Written(key, stored)
    }
    .boxed()
}

async fn store_all(backend: &Backend, key: &RunKey, writing: &Writing) -> Result<(), Error> {
    for (digest, bytes) in &writing.blobs {
        backend.blobs.put(key, *digest, bytes).await?;
    }
    if let [(record, events)] = writing.records.as_slice() {
        return backend.journal.append(record, events).await;
    }
    let appends = writing.records.iter();
    let mut appends: FuturesOrdered<_> = appends
        .map(|(record, events)| backend.journal.append(record, events))
        .collect();
    let mut first_error = Ok(());
    while let Some(appended) = appends.next().await {
        if let (Err(error), Ok(())) = (appended, &first_error) {
            first_error = Err(error);
        }
    }
    first_error
}

/// Puts jobs into the queue.
pub(super) fn offer(backend: Arc<Backend>, pool: Pool, jobs: Vec<Job>) -> Waiting {
    async move {
        let attempts = jobs.iter().map(Job::attempt_key).collect();
        let offered = backend.jobs.offer(pool.as_str(), jobs).await;
        Input::Offered(pool, attempts, offered)
    }
    .boxed()
}

/// Drops messages whose outcome is in the journals, until the inbox has done so.
pub(super) fn settle(backend: Arc<Backend>, shard: Shard, sequences: Vec<u64>) -> Waiting {
    async move {
        let mut faults = 0;
        while let Err(error) = backend.inbox.settle(shard, &sequences).await {
            faults += 1;
            tracing::debug!(%error, faults, "settling the inbox again");
            rest(faults).await;
        }
        Input::Done
    }
    .boxed()
}

/// Shows a run as parked whose journal cannot say so.
pub(super) fn note_damaged(backend: Arc<Backend>, key: RunKey, what: String) -> Waiting {
    async move {
        let mut faults = 0;
        while let Err(error) = backend.views.note_damaged(&key, &what).await {
            faults += 1;
            tracing::debug!(%error, faults, "noting a damaged run again");
            rest(faults).await;
        }
        Input::Done
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_five_seconds_and_no_further() {
        let ms: Vec<u128> = (0..10).map(|n| pause(n).as_millis()).collect();
        assert_eq!(ms, [0, 50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
        assert_eq!(pause(u32::MAX).as_millis(), 5_000);
    }
}
