//! The journals, in a stream for each shard.
//!
//! A run's first record has a subject of its own kind, `NAME.new.SHARD.TENANT.RUN`, so that an owner can follow what is
//! new; all others have `NAME.run.SHARD.TENANT.RUN`. An append names the sequence of the last message that it knows under
//! either subject, and the server takes it only if that is so: of two writers one wins. Only a first record expects none.
//!
//! Number, time and summary of a record are in headers, so that a shard is loaded without its payloads. The server checks
//! what it reads from its disk against checksums of its own; what was cut out between two records is seen by their hashes.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::Config as Pull;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, Stream};
use async_trait::async_trait;
use bytes::Bytes;
use engine::digest::Digest;
use engine::event::Event;
use engine::id::{RunKey, Shard};
use engine::record::Encoded;
use engine::time::Timestamp;

use super::blobs::Parts;
use super::broker::{Broker, Expecting, Stored};
use super::ended::{Ended, YOUNG_MS};
use super::history::History;
use super::reading::{self, Followers};
use super::record;
use super::view::{Kind, Source};
use super::{of_shard, run_of, shard_of, unavailable};
use crate::clock::Clock;
use crate::port::{Entry, Journal, NewRun, OpenRun, OpenRuns};
use crate::{Error, lock};

/// So many runs are known by their last record.
const HEADS_MAX: usize = 100_000;

/// The journals in JetStream.
pub(super) struct Journals {
    broker: Broker,
    streams: Vec<Stream>,
    pub(super) history: History,
    heads: Mutex<BTreeMap<RunKey, Head>>,
    followers: Followers,
    pub(super) ended: Mutex<Ended>,
    clock: Arc<dyn Clock>,
}

/// What is known of a run's last record.
#[derive(Clone, Copy)]
struct Head {
    n: u64,
    hash: Digest,
    sequence: u64,
}

/// What stands in the place of a run.
pub(super) enum Place {
    /// Nothing.
    Empty,
    /// Its records, as they are stored.
    Records(Vec<Bytes>),
    /// That it was removed.
    Removed,
}

impl Journals {
    /// The journals of so many shards; their streams are made where they are not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also when a stream is not as it must be.
    pub(super) async fn open(
        broker: &Broker,
        shards: u16,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let mut streams = Vec::new();
        for config in Self::configs(broker, shards) {
            streams.push(broker.stream(config).await?);
        }
        Ok(Self {
            broker: broker.clone(),
            streams,
            history: History::open(broker).await?,
            heads: Mutex::default(),
            followers: Followers::default(),
            ended: Mutex::default(),
            clock,
        })
    }

    /// How their streams must be.
    pub(super) fn configs(broker: &Broker, shards: u16) -> Vec<Config> {
        let of = |shard: Shard| {
            let subjects = ["new", "run"].map(|kind| of_shard(broker, kind, shard) + ".>");
            broker.kept(&format!("RUNS_{:02}", shard.0), subjects.to_vec())
        };
        (0..shards).map(Shard).map(of).collect()
    }

    fn subject(&self, kind: &str, key: &RunKey) -> String {
        let shard = of_shard(&self.broker, kind, key.run.shard());
        format!("{shard}.{}.{}", key.tenant, key.run)
    }

    /// The run's last record.
    async fn last(&self, key: &RunKey) -> Result<Option<(Head, Bytes)>, Error> {
        let stream = shard_of(&self.streams, key.run.shard())?;
        let Some(message) = reading::last(stream, &self.subject("*", key)).await? else {
            return Ok(None);
        };
        if message.headers.get(record::REMOVED).is_some() {
            return Ok(None);
        }
        let record = record::decode(key, &message.payload)?;
        let head = Head {
            n: record.n,
            hash: Digest::of(&message.payload),
            sequence: message.sequence,
        };
        self.know(key, head);
        Ok(Some((head, message.payload)))
    }

    fn know(&self, key: &RunKey, head: Head) {
        let mut heads = lock(&self.heads);
        if heads.len() >= HEADS_MAX && !heads.contains_key(key) {
            // Ids sort by time: the oldest is the least likely to be written to.
            heads.pop_first();
        }
        heads.insert(key.clone(), head);
    }

    /// Stores the record after the message with this sequence.
    async fn store(&self, record: &Encoded, last: u64) -> Result<Head, Error> {
        let kind = if record.n == 1 { "new" } else { "run" };
        let message = Expecting {
            subject: self.subject(kind, &record.key),
            over: self.subject("*", &record.key),
            last,
            headers: record::headers(record),
            payload: Bytes::copy_from_slice(record.bytes()),
        };
        match self.broker.store(message).await? {
            Stored::At(sequence) => {
                let (n, hash) = (record.n, record.hash());
                Ok(Head { n, hash, sequence })
            }
            Stored::Not { perhaps_ours } => {
                lock(&self.heads).remove(&record.key);
                if perhaps_ours
                    && let Some((head, bytes)) = self.last(&record.key).await?
                    && bytes == record.bytes()
                {
                    return Ok(head);
                }
                Err(refuse(record, "another record is in its place"))
            }
        }
    }

    /// The last record, if this one follows it.
    async fn before(&self, record: &Encoded) -> Result<Head, Error> {
        let known = lock(&self.heads).get(&record.key).copied();
        if let Some(head) = known
            && follows(record, &head).is_ok()
        {
            return Ok(head);
        }
        // What is known may be old: another owner has appended meanwhile.
        let Some((head, _)) = self.last(&record.key).await? else {
            return Err(refuse(record, "the run does not exist, or is archived"));
        };
        follows(record, &head).map_err(|why| refuse(record, &why))?;
        Ok(head)
    }

    /// What lists are made from.
    pub(super) fn sources(&self) -> Vec<Source> {
        let journals = self.streams.iter().map(|stream| (stream, Kind::Journal));
        let (ended, notes) = (&self.history.ended, &self.history.notes);
        let all = journals.chain([(ended, Kind::History), (notes, Kind::Notes)]);
        all.map(|(stream, kind)| Source {
            name: stream.cached_info().config.name.clone(),
            stream: stream.clone(),
            kind,
        })
        .collect()
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.history.parts
    }

    /// Whether any record of the run is there, archived or not.
    pub(super) async fn exists(&self, key: &RunKey) -> Result<bool, Error> {
        Ok(self.last(key).await?.is_some() || self.history.has(key).await?)
    }

    /// Whether the run's journal may be gone already.
    fn may_be_archived(&self, key: &RunKey) -> bool {
        self.clock.now().millis_since(key.run.created_at()) >= YOUNG_MS
    }

    /// What stands in the place of a run.
    pub(super) async fn place(&self, key: &RunKey) -> Result<Place, Error> {
        let stream = shard_of(&self.streams, key.run.shard())?;
        let all = reading::once(DeliverPolicy::All, self.subject("*", key));
        let mut records = Vec::new();
        let mut removed = false;
        let whole = reading::each(stream, all, |message| {
            removed |= message
                .headers
                .as_ref()
                .is_some_and(|h| h.get(record::REMOVED).is_some());
            records.push(message.payload.clone());
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        if !whole {
            return Err(unavailable("the run was archived meanwhile: read it again"));
        }
        Ok(match records.is_empty() {
            _ if removed => Place::Removed,
            true => Place::Empty,
            false => Place::Records(records),
        })
    }

    /// Drops the journal of a run that is archived or removed and whose id is old.
    pub(super) async fn purge(&self, key: &RunKey) -> Result<(), Error> {
        let stream = shard_of(&self.streams, key.run.shard())?;
        lock(&self.heads).remove(key);
        let purge = stream.purge().filter(self.subject("*", key));
        purge.await.map_err(unavailable)?;
        lock(&self.ended).left(key);
        Ok(())
    }

    /// Puts a mark in the place of the records of a removed run whose id is young: a late create must find something.
    pub(super) async fn mark_removed(&self, key: &RunKey) -> Result<(), Error> {
        let stream = shard_of(&self.streams, key.run.shard())?;
        lock(&self.heads).remove(key);
        let mark = PublishMessage::build().header(record::REMOVED, "1");
        let sequence = self.broker.publish(self.subject("run", key), mark).await;
        let sequence = sequence.map_err(unavailable)?;
        let purge = stream
            .purge()
            .filter(self.subject("*", key))
            .sequence(sequence);
        purge.await.map_err(unavailable)?;
        lock(&self.ended).leaves(key);
        Ok(())
    }

    /// Finds those of the shard's runs that have ended, and were more than are remembered.
    pub(super) async fn look_through(&self, shard: Shard) -> Result<(), Error> {
        self.open_runs(shard).await.map(drop)
    }

    /// Sees the last record of every run of the shard, by its headers.
    async fn heads(
        &self,
        shard: Shard,
        mut see: impl FnMut(RunKey, &HeaderMap) + Send,
    ) -> Result<(), Error> {
        let stream = shard_of(&self.streams, shard)?;
        let every = of_shard(&self.broker, "*", shard) + ".>";
        let heads = Pull {
            headers_only: true,
            ..reading::once(DeliverPolicy::LastPerSubject, every)
        };
        reading::each(stream, heads, |message| {
            match (run_of(&message.subject), &message.headers) {
                (Some(key), Some(headers)) => see(key, headers),
                _ => tracing::warn!(subject = %message.subject, "what stands here is no record"),
            }
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(())
    }
}

fn follows(record: &Encoded, head: &Head) -> Result<(), String> {
    if head.n + 1 != record.n {
        return Err(format!("the last record is {}", head.n));
    }
    if head.hash != record.prev_hash {
        return Err("its prev_hash is not that of the last record".to_owned());
    }
    Ok(())
}

fn refuse(record: &Encoded, why: &str) -> Error {
    let run = record.key.run;
    Error::Conflict(format!("record {} of run {run}: {why}", record.n))
}

#[async_trait]
impl Journal for Journals {
    async fn append(&self, record: &Encoded, _: &[Event]) -> Result<(), Error> {
        let last = if record.n == 1 {
            if record.prev_hash != Digest::ZERO {
                return Err(refuse(record, "a first record has nothing before it"));
            }
            if self.may_be_archived(&record.key) && self.history.has(&record.key).await? {
                return Err(refuse(record, "the run is archived"));
            }
            0
        } else {
            self.before(record).await?.sequence
        };
        let head = self.store(record, last).await?;
        if record.summary.status.is_end() {
            lock(&self.heads).remove(&record.key);
            lock(&self.ended).ended(record.at, &record.key);
        } else {
            self.know(&record.key, head);
        }
        Ok(())
    }

    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error> {
        let records = match self.place(key).await? {
            Place::Removed => return Ok(Vec::new()),
            Place::Records(records) => records,
            Place::Empty => self.history.read(key).await?,
        };
        let mut entries = record::verified(key, &records)?;
        entries.retain(|entry| entry.record.n > after);
        Ok(entries)
    }

    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error> {
        let stream = shard_of(&self.streams, shard)?;
        let info = stream.get_info().await.map_err(unavailable)?;
        let sequence = info.state.last_sequence;
        // Under either subject of a run there may be one; the later counts.
        let mut last: BTreeMap<RunKey, (u64, HeaderMap)> = BTreeMap::new();
        self.heads(shard, |key, headers| {
            let n = match headers.get(record::REMOVED) {
                Some(_) => u64::MAX,
                None => record::number(headers, record::NUMBER).unwrap_or(0),
            };
            if last.get(&key).is_none_or(|(known, _)| n >= *known) {
                last.insert(key, (n, headers.clone()));
            }
        })
        .await?;
        let mut runs = Vec::new();
        let mut ended = lock(&self.ended);
        for (key, (n, headers)) in last {
            if n == u64::MAX {
                ended.leaves(&key);
                continue;
            }
            let summary = record::summary(&headers);
            if matches!(&summary, Ok(s) if s.status.is_end()) {
                let at = Timestamp::from_millis(record::number(&headers, record::AT).unwrap_or(0));
                ended.ended(at, &key);
            } else {
                runs.push(OpenRun { key, n, summary });
            }
        }
        Ok(OpenRuns { runs, sequence })
    }

    async fn new_runs(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<NewRun>, Error> {
        let stream = shard_of(&self.streams, shard)?;
        let subject = of_shard(&self.broker, "new", shard) + ".>";
        let found = self
            .followers
            .after(stream, &subject, sequence, max)
            .await?;
        let new = found.into_iter().map(|(sequence, message)| {
            let key = run_of(&message.subject)
                .ok_or_else(|| Error::Corrupt(format!("{} names no run", message.subject)))?;
            let record = record::decode(&key, &message.payload)?;
            let hash = Digest::of(&message.payload);
            let first = Entry { record, hash };
            Ok(NewRun { sequence, first })
        });
        new.collect()
    }
}
