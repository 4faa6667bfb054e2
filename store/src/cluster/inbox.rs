//! Commands from outside, in a stream for each shard; a message is deleted once it is settled.
//!
//! Subjects are `NAME.inbox.SHARD.COMMAND`: a command that is still there is not stored again.

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use async_trait::async_trait;
use bytes::Bytes;
use engine::id::{CommandId, RunKey, Shard};
use futures::future::try_join_all;

use super::broker::{Broker, Expecting, Followers};
use super::{of_shard, shard_of, unavailable};
use crate::Error;
use crate::port::{Inbox, Message};

/// The inbox in JetStream.
pub(super) struct Inboxes {
    broker: Broker,
    streams: Vec<Stream>,
    followers: Followers,
}

/// What a message holds.
#[derive(minicbor::Encode, minicbor::Decode)]
struct Body {
    #[n(0)]
    id: CommandId,
    #[n(1)]
    key: RunKey,
    #[cbor(n(2), with = "minicbor::bytes")]
    body: Vec<u8>,
}

impl Inboxes {
    /// The inbox of so many shards; its streams are made where they are not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also when a stream is not as it must be.
    pub(super) async fn open(broker: &Broker, shards: u16) -> Result<Self, Error> {
        let mut streams = Vec::new();
        for shard in (0..shards).map(Shard) {
            let subjects = vec![of_shard(broker, "inbox", shard) + ".>"];
            let config = broker.kept(&format!("INBOX_{:02}", shard.0), subjects);
            streams.push(broker.stream(config).await?);
        }
        Ok(Self {
            broker: broker.clone(),
            streams,
            followers: Followers::default(),
        })
    }
}

#[async_trait]
impl Inbox for Inboxes {
    async fn send(&self, shard: Shard, message: &Message) -> Result<(), Error> {
        shard_of(&self.streams, shard)?;
        let subject = format!("{}.{}", of_shard(&self.broker, "inbox", shard), message.id);
        let body = Body {
            id: message.id,
            key: message.key.clone(),
            body: message.body.clone(),
        };
        let payload = minicbor::to_vec(&body).expect("writing to memory cannot fail");
        let message = Expecting {
            over: subject.clone(),
            subject,
            last: 0,
            headers: HeaderMap::new(),
            payload: Bytes::from(payload),
        };
        // Where it is there already, it is as it was sent before.
        self.broker.store(message).await.map(drop)
    }

    async fn receive(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<(u64, Message)>, Error> {
        let stream = shard_of(&self.streams, shard)?;
        let subject = of_shard(&self.broker, "inbox", shard) + ".>";
        let found = self
            .followers
            .after(stream, &subject, sequence, max)
            .await?;
        let mut messages = Vec::with_capacity(found.len());
        for (sequence, message) in found {
            let decoded = minicbor::decode::<Body>(&message.payload);
            let Ok(Body { id, key, body }) = decoded else {
                tracing::warn!(subject = %message.subject, "what stands here is no command");
                continue;
            };
            messages.push((sequence, Message { id, key, body }));
        }
        Ok(messages)
    }

    async fn settle(&self, shard: Shard, sequences: &[u64]) -> Result<(), Error> {
        let stream = shard_of(&self.streams, shard)?;
        let all = sequences.iter().map(async |sequence| {
            match stream.delete_message(*sequence).await {
                Err(error) if !is_gone(stream, *sequence).await? => Err(unavailable(error)),
                // The server has one error for all that it cannot delete.
                Ok(_) | Err(_) => Ok(()),
            }
        });
        try_join_all(all).await.map(drop)
    }
}

async fn is_gone(stream: &Stream, sequence: u64) -> Result<bool, Error> {
    match stream.get_raw_message(sequence).await {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(true),
        Err(error) => Err(unavailable(error)),
    }
}
