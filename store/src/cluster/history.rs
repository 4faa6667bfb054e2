//! Ended runs, all records of each in one message, and what is noted of runs beside their journals.
//!
//! Subjects are `NAME.ended.TENANT.RUN`, in the order of their ends. `NAME.note.gone.TENANT.RUN` and
//! `NAME.note.damaged.TENANT.RUN` are for those who keep lists.

use std::ops::ControlFlow;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::Config as Pull;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, Stream};
use bytes::Bytes;
use engine::digest::Digest;
use engine::id::RunKey;
use engine::time::Timestamp;
use minicbor::bytes::ByteVec;

use super::blobs::Parts;
use super::broker::{Broker, Expecting};
use super::reading;
use super::unavailable;
use crate::port::Retention;
use crate::{Error, packed};

/// When the run ended, in milliseconds.
const AT: &str = "Mirastack-At";
/// The digest of a body that is too large for a message: it is among the values of the run.
const BODY: &str = "Mirastack-Body";
/// A body up to so many bytes is in its message.
const INLINE_MAX: usize = 512 * 1024;
/// So long those who keep lists can learn what was noted. Who was away for longer begins anew.
const TOLD: Duration = Duration::from_secs(30 * 24 * 3_600);

/// The archived runs in JetStream.
pub(super) struct History {
    broker: Broker,
    pub(super) ended: Stream,
    pub(super) notes: Stream,
    pub(super) parts: Parts,
}

impl History {
    /// The streams, made where they are not there.
    pub(super) async fn open(broker: &Broker) -> Result<Self, Error> {
        let [ended, notes] = Self::configs(broker);
        Ok(Self {
            broker: broker.clone(),
            ended: broker.stream(ended).await?,
            notes: broker.stream(notes).await?,
            parts: Parts::open(broker).await?,
        })
    }

    /// How the streams must be: of ended runs, and of notes.
    pub(super) fn configs(broker: &Broker) -> [Config; 2] {
        let subject = |kind: &str| vec![format!("{}.{kind}.>", broker.name)];
        let ended = Config {
            max_messages_per_subject: 1,
            ..broker.kept("HISTORY", subject("ended"))
        };
        let notes = Config {
            max_messages_per_subject: 1,
            max_age: TOLD,
            ..broker.kept("NOTES", subject("note"))
        };
        [ended, notes]
    }

    fn subject(&self, kind: &str, key: &RunKey) -> String {
        format!("{}.{kind}.{}.{}", self.broker.name, key.tenant, key.run)
    }

    /// Whether the run is archived.
    pub(super) async fn has(&self, key: &RunKey) -> Result<bool, Error> {
        let found = reading::last(&self.ended, &self.subject("ended", key)).await?;
        Ok(found.is_some())
    }

    /// Keeps the records of a run that ended then; again changes nothing.
    pub(super) async fn put(
        &self,
        key: &RunKey,
        at: Timestamp,
        records: &[Bytes],
    ) -> Result<(), Error> {
        let rows: Vec<ByteVec> = records.iter().map(|r| ByteVec::from(r.to_vec())).collect();
        let mut body = packed::pack(&rows)?;
        let mut headers = HeaderMap::new();
        headers.insert(AT, at.millis().to_string());
        if body.len() > INLINE_MAX {
            let digest = Digest::of(&body);
            self.parts.put(key, digest, &body).await?;
            headers.insert(BODY, digest.to_string());
            body.clear();
        }
        let message = Expecting {
            subject: self.subject("ended", key),
            over: self.subject("ended", key),
            last: 0,
            headers,
            payload: Bytes::from(body),
        };
        self.broker.store(message).await.map(drop)
    }

    /// The records of an archived run; none where it is none.
    pub(super) async fn read(&self, key: &RunKey) -> Result<Vec<Bytes>, Error> {
        let subject = self.subject("ended", key);
        let Some(message) = reading::last(&self.ended, &subject).await? else {
            return Ok(Vec::new());
        };
        let damaged = || {
            let what = format!("the archived form of run {} is damaged", key.run);
            Error::Corrupt(what)
        };
        let body = match message.headers.get(BODY) {
            None => message.payload,
            Some(digest) => {
                let digest = digest.as_str().parse().map_err(|_| damaged())?;
                let body = self.parts.get(key, digest).await?;
                Bytes::from(body.ok_or_else(damaged)?)
            }
        };
        let rows: Vec<ByteVec> = packed::unpack(&body).ok_or_else(damaged)?;
        Ok(rows
            .into_iter()
            .map(|r| Bytes::from(Vec::from(r)))
            .collect())
    }

    /// Archived runs that are over the retention, the oldest first, at most `max`.
    pub(super) async fn expired(&self, keep: Retention, max: usize) -> Result<Vec<RunKey>, Error> {
        let info = self.ended.get_info().await.map_err(unavailable)?;
        let too_many = info.state.messages.saturating_sub(keep.number);
        let headers = Pull {
            headers_only: true,
            ..reading::once(DeliverPolicy::All, format!("{}.ended.>", self.broker.name))
        };
        let mut found = Vec::new();
        let mut looked_at = 0;
        reading::each(&self.ended, headers, |message| {
            let is_old = ended_at(message.headers.as_ref()).is_none_or(|at| at < keep.before);
            if found.len() == max || !(is_old || looked_at < too_many) {
                return Ok(ControlFlow::Break(()));
            }
            looked_at += 1;
            found.extend(super::run_of(&message.subject));
            Ok(ControlFlow::Continue(()))
        })
        .await?;
        Ok(found)
    }

    /// Tells those who keep lists that a run is `gone`, or `damaged`.
    pub(super) async fn note(&self, what: &str, key: &RunKey) -> Result<(), Error> {
        let subject = self.subject(&format!("note.{what}"), key);
        let told = self.broker.publish(subject, PublishMessage::build());
        told.await.map(drop).map_err(unavailable)
    }

    /// Drops an archived run and its values.
    pub(super) async fn remove(&self, key: &RunKey) -> Result<(), Error> {
        self.parts.remove(key).await?;
        let purge = self.ended.purge().filter(self.subject("ended", key));
        purge.await.map(drop).map_err(unavailable)
    }
}

fn ended_at(headers: Option<&HeaderMap>) -> Option<Timestamp> {
    let at = headers?.get(AT)?.as_str().parse().ok()?;
    Some(Timestamp::from_millis(at))
}
