//! Large values, in parts: a message each.
//!
//! Subjects are `NAME.blob.TENANT.RUN.DIGEST.PART`. The first part is stored last, and tells how many there are: a value
//! whose first part is there is there as a whole.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::Config as Pull;
use async_nats::jetstream::context::PublishError;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, Stream};
use async_trait::async_trait;
use bytes::Bytes;
use engine::digest::Digest;
use engine::id::{RunKey, Tenant};
use engine::time::Timestamp;

use super::broker::Broker;
use super::journal::Journals;
use super::reading;
use super::unavailable;
use crate::port::Blobs;
use crate::{Error, lock};

/// Bytes in one part: half of what a message may have by default.
const PART: usize = 512 * 1024;
/// How many parts the value has.
const PARTS: &str = "Mirastack-Parts";
/// So many runs are looked at in one sweep.
const RUNS_AT_ONCE: usize = 1_000;
/// No value has more.
const PARTS_MAX: usize = 256;

/// The stream of the values.
#[derive(Clone)]
pub(super) struct Parts {
    broker: Broker,
    stream: Stream,
}

impl Parts {
    /// The stream, made where it is not there.
    pub(super) async fn open(broker: &Broker) -> Result<Self, Error> {
        Ok(Self {
            broker: broker.clone(),
            stream: broker.stream(Self::config(broker)).await?,
        })
    }

    /// How it must be.
    pub(super) fn config(broker: &Broker) -> Config {
        Config {
            max_messages_per_subject: 1,
            discard_new_per_subject: true,
            ..broker.kept("BLOBS", vec![format!("{}.blob.>", broker.name)])
        }
    }

    fn of_run(&self, key: &RunKey) -> String {
        format!("{}.blob.{}.{}", self.broker.name, key.tenant, key.run)
    }

    pub(super) async fn put(
        &self,
        key: &RunKey,
        digest: Digest,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let name = format!("{}.{digest}", self.of_run(key));
        let parts: Vec<&[u8]> = match bytes {
            [] => vec![&[]],
            bytes => bytes.chunks(PART).collect(),
        };
        for (number, part) in parts.iter().enumerate().rev() {
            let message = PublishMessage::build()
                .header(PARTS, parts.len().to_string())
                .payload(Bytes::copy_from_slice(part));
            let subject = format!("{name}.{number}");
            if let Err(error) = self.broker.publish(subject.clone(), message).await {
                self.is_there(&subject, part, &error).await?;
            }
        }
        Ok(())
    }

    /// Whether the part was refused because it is there already: none is ever replaced by another.
    async fn is_there(&self, subject: &str, part: &[u8], why: &PublishError) -> Result<(), Error> {
        match reading::last(&self.stream, subject).await? {
            None => Err(unavailable(why)),
            Some(there) if *there.payload == *part => Ok(()),
            Some(_) => Err(Error::Corrupt(format!(
                "another value stands at {subject}: it was stored as what it is not"
            ))),
        }
    }

    pub(super) async fn get(&self, key: &RunKey, digest: Digest) -> Result<Option<Vec<u8>>, Error> {
        let name = format!("{}.{digest}", self.of_run(key));
        let part = async |number| reading::last(&self.stream, &format!("{name}.{number}")).await;
        let Some(first) = part(0).await? else {
            return Ok(None);
        };
        let count = first
            .headers
            .get(PARTS)
            .and_then(|n| n.as_str().parse().ok());
        let mut bytes = Vec::from(first.payload);
        for number in 1..count.unwrap_or(1).min(PARTS_MAX) {
            if let Some(message) = part(number).await? {
                bytes.extend(message.payload);
            }
        }
        if Digest::of(&bytes) != digest {
            return Err(Error::Corrupt(format!(
                "the bytes of the value {digest} of run {} are damaged",
                key.run
            )));
        }
        Ok(Some(bytes))
    }

    /// Drops all values of a run.
    pub(super) async fn remove(&self, key: &RunKey) -> Result<(), Error> {
        let all = self.stream.purge().filter(self.of_run(key) + ".>");
        all.await.map(drop).map_err(unavailable)
    }

    /// The runs of messages after `sequence` whose ids are older than `before`, each with how many values and where the
    /// last message it has there.
    async fn aged(&self, sequence: u64, before: Timestamp) -> Result<Aged, Error> {
        let mut runs = Aged::new();
        let policy = DeliverPolicy::ByStartSequence {
            start_sequence: sequence + 1,
        };
        let headers = Pull {
            headers_only: true,
            ..reading::once(policy, format!("{}.blob.>", self.broker.name))
        };
        reading::each(&self.stream, headers, |message| {
            let Some((key, is_first)) = run_of(&message.subject) else {
                return Ok(ControlFlow::Continue(()));
            };
            let is_new = !runs.contains_key(&key);
            if key.run.created_at() >= before || (is_new && runs.len() == RUNS_AT_ONCE) {
                return Ok(ControlFlow::Break(()));
            }
            let (count, last) = runs.entry(key).or_default();
            *count += usize::from(is_first);
            *last = reading::sequence(message)?;
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(runs)
    }
}

type Aged = BTreeMap<RunKey, (usize, u64)>;

/// The values of runs.
pub(super) struct Values {
    journals: Arc<Journals>,
    /// Everything up to this message was looked at by a sweep: it belongs to a run, and goes with it.
    swept: Mutex<u64>,
}

impl Values {
    /// The values of the runs in these journals.
    #[must_use]
    pub(super) fn of(journals: Arc<Journals>) -> Self {
        let swept = Mutex::default();
        Self { journals, swept }
    }
}

fn run_of(subject: &str) -> Option<(RunKey, bool)> {
    let mut tokens = subject.rsplitn(5, '.');
    let (part, _digest) = (tokens.next()?, tokens.next()?);
    let (run, tenant) = (tokens.next()?.parse().ok()?, tokens.next()?);
    let tenant = Tenant::new(tenant)?;
    Some((RunKey { tenant, run }, part == "0"))
}

#[async_trait]
impl Blobs for Values {
    async fn put(&self, key: &RunKey, digest: Digest, bytes: &[u8]) -> Result<(), Error> {
        if Digest::of(bytes) != digest {
            let what = format!("the bytes of run {} are not those of {digest}", key.run);
            return Err(Error::Corrupt(what));
        }
        self.journals.parts().put(key, digest, bytes).await
    }

    async fn get(&self, key: &RunKey, digest: Digest) -> Result<Option<Vec<u8>>, Error> {
        self.journals.parts().get(key, digest).await
    }

    async fn sweep(&self, before: Timestamp, max: usize) -> Result<usize, Error> {
        let mut dropped = 0;
        let from = *lock(&self.swept);
        let runs = self.journals.parts().aged(from, before).await?;
        // In the order of their messages, so that what is not done now comes next time.
        let mut runs: Vec<_> = runs.into_iter().collect();
        runs.sort_by_key(|(_, (_, last))| *last);
        for (key, (count, last)) in runs {
            if dropped >= max {
                break;
            }
            if !self.journals.exists(&key).await? {
                self.journals.parts().remove(&key).await?;
                dropped += count;
            }
            *lock(&self.swept) = last;
        }
        Ok(dropped)
    }
}
