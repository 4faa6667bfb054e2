//! Small durable values: a message each, in a few streams, the last under its subject.
//!
//! Subjects are `NAME.key.PART.TENANT.DIGEST`, the digest being that of the key's name. A change names the sequence of
//! the message that it replaces, which is the key's revision. The server itself drops a message a while after its key
//! has expired.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{Config, Stream};
use async_trait::async_trait;
use bytes::Bytes;
use engine::digest::Digest;
use engine::id::Tenant;
use engine::time::Timestamp;

use super::broker::{Broker, Expecting, Stored};
use super::reading;
use crate::Error;
use crate::clock::{Clock, Random};
use crate::port::{self, KeyValue};

/// So many streams share the keys: each waits for its disk by itself. Another number would look for keys elsewhere.
const PARTS: u8 = 4;
/// A message outlives its key by so much: the server's clock may be ahead of ours.
const OUTLIVES: Duration = Duration::from_secs(3_600);
/// Until when the server keeps a message.
const TTL: &str = "Nats-TTL";
/// Who wrote it, to be known again after a lost answer.
const NONCE: &str = "Mirastack-Nonce";

/// The keys in JetStream.
pub(super) struct Keys {
    broker: Broker,
    parts: Vec<Stream>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// What a message holds.
#[derive(minicbor::Encode, minicbor::Decode)]
struct Body {
    #[n(0)]
    expires_ms: u64,
    #[n(1)]
    name: String,
    #[cbor(n(2), with = "minicbor::bytes")]
    value: Vec<u8>,
}

/// A key's last message.
struct Found {
    key: KeyValue,
    nonce: Option<String>,
}

impl Keys {
    /// How their streams must be.
    pub(super) fn configs(broker: &Broker) -> Vec<Config> {
        let of = |part| {
            let subjects = vec![format!("{}.key.{part:02}.>", broker.name)];
            Config {
                max_messages_per_subject: 1,
                allow_message_ttl: true,
                ..broker.kept(&format!("KEYS_{part:02}"), subjects)
            }
        };
        (0..PARTS).map(of).collect()
    }

    /// The keys; their streams are made where they are not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also when a stream is not as it must be.
    pub(super) async fn open(
        broker: &Broker,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Self, Error> {
        let mut parts = Vec::new();
        for config in Self::configs(broker) {
            parts.push(broker.stream(config).await?);
        }
        Ok(Self {
            broker: broker.clone(),
            parts,
            clock,
            random,
        })
    }

    fn place(&self, tenant: &Tenant, name: &str) -> (&Stream, String) {
        let digest = Digest::of(name.as_bytes());
        let part = digest.as_bytes()[0] % PARTS;
        let subject = format!("{}.key.{part:02}.{tenant}.{digest}", self.broker.name);
        (&self.parts[usize::from(part)], subject)
    }

    async fn last(&self, tenant: &Tenant, name: &str) -> Result<Option<Found>, Error> {
        let (stream, subject) = self.place(tenant, name);
        let Some(message) = reading::last(stream, &subject).await? else {
            return Ok(None);
        };
        let damaged = || Error::Corrupt(format!("the key {name} is damaged"));
        let body: Body = minicbor::decode(&message.payload).map_err(|_| damaged())?;
        if body.name != name {
            return Err(damaged());
        }
        let nonce = message.headers.get(NONCE).map(|v| v.as_str().to_owned());
        let key = KeyValue {
            value: body.value,
            revision: message.sequence,
            expires: Timestamp::from_millis(body.expires_ms),
        };
        Ok(Some(Found { key, nonce }))
    }

    /// Puts a value in the place of the message with this sequence.
    async fn store(
        &self,
        (tenant, name): (&Tenant, &str),
        last: u64,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error> {
        let (_, subject) = self.place(tenant, name);
        let nonce = format!("{:016x}{:016x}", self.random.bits(), self.random.bits());
        let body = Body {
            expires_ms: expires.millis(),
            name: name.to_owned(),
            value: value.to_vec(),
        };
        let payload = minicbor::to_vec(&body).expect("writing to memory cannot fail");
        let mut headers = HeaderMap::new();
        headers.insert(NONCE, nonce.as_str());
        headers.insert(TTL, self.lives(expires));
        let message = Expecting {
            over: subject.clone(),
            subject,
            last,
            headers,
            payload: Bytes::from(payload),
        };
        match self.broker.store(message).await? {
            Stored::At(revision) => Ok(revision),
            Stored::Not { perhaps_ours } => {
                if perhaps_ours
                    && let Some(found) = self.last(tenant, name).await?
                    && found.nonce.as_deref() == Some(&nonce)
                {
                    return Ok(found.key.revision);
                }
                Err(Error::Conflict(format!("the key {name} has changed")))
            }
        }
    }

    fn lives(&self, expires: Timestamp) -> String {
        if expires == Timestamp::MAX {
            return "never".to_owned();
        }
        let left = expires.millis_since(self.clock.now()) / 1_000;
        format!("{}s", left + OUTLIVES.as_secs())
    }
}

#[async_trait]
impl port::Keys for Keys {
    async fn create(
        &self,
        tenant: &Tenant,
        name: &str,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error> {
        match self.store((tenant, name), 0, value, expires).await {
            Err(Error::Conflict(_)) => {}
            outcome => return outcome,
        }
        // Something is there. Where it has expired, it counts for nothing.
        let now = self.clock.now();
        let last = match self.last(tenant, name).await? {
            Some(found) if found.key.expires > now => {
                return Err(Error::Conflict(format!("the key {name} exists")));
            }
            Some(found) => found.key.revision,
            None => 0,
        };
        self.store((tenant, name), last, value, expires).await
    }

    async fn get(
        &self,
        tenant: &Tenant,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<KeyValue>, Error> {
        let found = self.last(tenant, name).await?.map(|found| found.key);
        Ok(found.filter(|key| key.expires > now))
    }

    async fn put(
        &self,
        tenant: &Tenant,
        name: &str,
        old: &KeyValue,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error> {
        self.store((tenant, name), old.revision, value, expires)
            .await
    }

    /// The server does it by itself.
    async fn sweep(&self, _: Timestamp, _: usize) -> Result<usize, Error> {
        Ok(0)
    }
}
