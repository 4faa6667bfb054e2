//! Follows the streams, and writes what their messages change in the lists.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::stream::Stream;
use bytes::Bytes;
use engine::digest::Digest;
use engine::event::Event;
use engine::id::RunKey;
use engine::record::Record;
use futures::stream::select_all;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::file::{Change, File, Place};
use crate::cluster::journal::Journals;
use crate::cluster::record::verified;
use crate::cluster::{reading, run_of, unavailable};
use crate::topics::Topics;
use crate::view::{self, ViewChange};
use crate::{Error, lock};

/// Messages that are written together.
const BATCH_MAX: usize = 512;
/// Until it is tried again when something went wrong.
const PAUSE: Duration = Duration::from_secs(1);

/// A stream that lists are made from.
pub(in crate::cluster) struct Source {
    pub(in crate::cluster) name: String,
    pub(in crate::cluster) stream: Stream,
    pub(in crate::cluster) kind: Kind,
}

/// What is in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Kind {
    /// Records.
    Journal,
    /// Archived runs.
    History,
    /// What happened to runs beside their journals.
    Notes,
}

/// Who follows, and what is needed for it.
pub(super) struct Follower {
    pub(super) sources: Arc<Vec<Source>>,
    pub(super) journals: Arc<Journals>,
    pub(super) topics: Arc<Topics>,
    pub(super) file: Arc<std::sync::Mutex<File>>,
    /// Up to where each source is in the lists, by its place among them.
    pub(super) places: watch::Sender<Vec<u64>>,
}

/// A message, and which source it is from.
struct Came {
    source: usize,
    sequence: u64,
    message: Message,
}

/// What a stored record told.
struct Told {
    key: RunKey,
    bytes: Bytes,
    hash: Digest,
}

impl Follower {
    pub(super) async fn run(self) {
        loop {
            let Err(error) = self.follow().await;
            tracing::warn!(%error, "the lists stand still for a moment");
            sleep(PAUSE).await;
        }
    }

    async fn follow(&self) -> Result<std::convert::Infallible, Error> {
        let mut places = self.begin().await?;
        let mut all = Vec::new();
        for (number, source) in self.sources.iter().enumerate() {
            let after = places[number].sequence;
            let messages = reading::ordered(&source.stream, ">", after).await?;
            all.push(messages.map(move |message| (number, message)));
        }
        let mut all = select_all(all);
        loop {
            let mut batch = Vec::new();
            let mut next = all.next().await;
            while let Some((source, message)) = next.take() {
                let message = message.map_err(unavailable)?;
                let sequence = reading::sequence(&message)?;
                batch.push(Came {
                    source,
                    sequence,
                    message,
                });
                if batch.len() < BATCH_MAX {
                    next = all.next().now_or_never().flatten();
                }
            }
            if batch.is_empty() {
                return Err(unavailable("a stream is not followed any more"));
            }
            self.take_in(batch, &mut places).await?;
        }
    }

    /// Where to begin. Lists that were made from other streams, or that missed what is not told any more, begin anew.
    async fn begin(&self) -> Result<Vec<Place>, Error> {
        let mut places = Vec::new();
        let kept = lock(&self.file).places()?;
        let mut anew = false;
        for source in self.sources.iter() {
            let info = source.stream.get_info().await.map_err(unavailable)?;
            let made = info.created.unix_timestamp_nanos().to_string();
            let known = kept.get(&source.name);
            let sequence = known.map_or(0, |place| place.sequence);
            let is_other = known.is_some_and(|place| place.made != made);
            let missed = source.kind == Kind::Notes && sequence + 1 < info.state.first_sequence;
            let is_behind = sequence > info.state.last_sequence;
            anew |= known.is_some() && (is_other || missed || is_behind);
            places.push(Place { made, sequence });
        }
        if anew {
            tracing::info!("the lists are made again from the streams");
            lock(&self.file).begin_anew()?;
            places.iter_mut().for_each(|place| place.sequence = 0);
        }
        self.tell(&places);
        Ok(places)
    }

    fn tell(&self, places: &[Place]) {
        let sequences = places.iter().map(|place| place.sequence);
        self.places.send_replace(sequences.collect());
    }

    async fn take_in(&self, batch: Vec<Came>, places: &mut [Place]) -> Result<(), Error> {
        let mut changes = Vec::with_capacity(batch.len());
        let mut told = Vec::new();
        let mut moved = BTreeMap::new();
        for came in batch {
            let (change, record) = self.change(&came).await?;
            changes.push((came.sequence, change));
            told.extend(record);
            moved.insert(came.source, came.sequence);
        }
        for (source, sequence) in moved {
            places[source].sequence = sequence;
        }
        let named: Vec<_> = self
            .sources
            .iter()
            .zip(places.iter())
            .map(|(source, place)| (source.name.clone(), place.clone()))
            .collect();
        let file = Arc::clone(&self.file);
        let writing = spawn_blocking(move || lock(&file).apply(&changes, &named));
        writing.await.map_err(unavailable)??;
        self.tell(places);
        // Whoever hears of it finds it in the lists.
        for told in told {
            self.topics.tell(&told.key, &told.bytes, told.hash, None);
        }
        Ok(())
    }

    async fn change(&self, came: &Came) -> Result<(Change, Option<Told>), Error> {
        let Some(key) = run_of(&came.message.subject) else {
            return Ok((Change::Nothing, None));
        };
        let payload = &came.message.payload;
        match self.sources[came.source].kind {
            // A mark that the run is removed: the notes say it, too.
            Kind::Journal if payload.is_empty() => Ok((Change::Nothing, None)),
            Kind::Journal => {
                let Some((record, events)) = read(&key, payload) else {
                    return Ok((Change::Nothing, None));
                };
                let change = self.project(&record, &events).await?;
                let told = Told {
                    key: key.clone(),
                    bytes: payload.clone(),
                    hash: Digest::of(payload),
                };
                let change = Change::Record(key, record.n, Box::new(change));
                Ok((change, Some(told)))
            }
            Kind::History => Ok((self.whole(key).await?, None)),
            Kind::Notes if came.message.subject.contains(".damaged.") => {
                Ok((Change::Damaged(key), None))
            }
            Kind::Notes => Ok((Change::Removed(key), None)),
        }
    }

    /// All that the records of an archived run change.
    async fn whole(&self, key: RunKey) -> Result<Change, Error> {
        let records = match self.journals.history.read(&key).await {
            Ok(records) => records,
            Err(Error::Corrupt(what)) => {
                tracing::warn!(run = %key.run, what, "a run is left out of the lists");
                return Ok(Change::Damaged(key));
            }
            Err(error) => return Err(error),
        };
        let Ok(entries) = verified(&key, &records) else {
            return Ok(Change::Damaged(key));
        };
        let mut changes = Vec::with_capacity(entries.len());
        for entry in entries {
            let Ok(events) = entry.record.events() else {
                return Ok(Change::Damaged(key));
            };
            changes.push(self.project(&entry.record, &events).await?);
        }
        Ok(Change::Whole(key, changes))
    }

    async fn project(&self, record: &Record, events: &[Event]) -> Result<ViewChange, Error> {
        let mut consents = BTreeMap::new();
        for digest in view::needed(events) {
            match self.journals.parts().get(&record.key, digest).await {
                Ok(bytes) => consents.extend(bytes.map(|bytes| (digest, bytes))),
                // Its row shows less.
                Err(Error::Corrupt(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(view::project(record, events, &consents))
    }
}

/// A damaged record says nothing here: whoever reads its run parks it.
fn read(key: &RunKey, bytes: &[u8]) -> Option<(Record, Vec<Event>)> {
    let record = Record::decode(bytes).ok()?;
    let events = record.events().ok()?;
    (record.key == *key).then_some((record, events))
}
