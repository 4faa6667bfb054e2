//! Commands from outside, in a stream for each shard; a message is deleted once it is settled.
//!
//! Subjects are `NAME.inbox.SHARD.ROLE.COMMAND`: a command that is still there is not stored again. The broker lets each
//! role send under its own name alone, and what is not that role's to ask is refused here: a worker decides nothing, and a
//! gateway reports nothing.

use async_nats::HeaderMap;
use async_nats::jetstream::stream::{Config, RawMessageErrorKind, Stream};
use async_trait::async_trait;
use bytes::Bytes;
use engine::command::Command;
use engine::id::{CommandId, RunKey, Shard};
use futures::future::try_join_all;

use super::broker::{Broker, Expecting};
use super::reading::Followers;
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
    /// How its streams must be.
    pub(super) fn configs(broker: &Broker, shards: u16) -> Vec<Config> {
        let of = |shard: Shard| {
            let subjects = vec![of_shard(broker, "inbox", shard) + ".>"];
            broker.kept(&format!("INBOX_{:02}", shard.0), subjects)
        };
        (0..shards).map(Shard).map(of).collect()
    }

    /// The inbox of so many shards; its streams are made where they are not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also when a stream is not as it must be.
    pub(super) async fn open(broker: &Broker, shards: u16) -> Result<Self, Error> {
        let mut streams = Vec::new();
        for config in Self::configs(broker, shards) {
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
        let place = of_shard(&self.broker, "inbox", shard);
        let subject = format!("{place}.{}.{}", self.broker.role.name(), message.id);
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
        let mut refused = Vec::new();
        for (sequence, message) in found {
            match minicbor::decode::<Body>(&message.payload) {
                Ok(Body { id, key, body }) if may_ask(&message.subject, &body) => {
                    messages.push((sequence, Message { id, key, body }));
                }
                Ok(_) | Err(_) => {
                    let subject = &message.subject;
                    tracing::warn!(%subject, "what stands here is not for this role to ask: it is removed");
                    refused.push(sequence);
                }
            }
        }
        self.settle(shard, &refused).await?;
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

/// Whether the role that has sent this may ask it.
fn may_ask(subject: &str, body: &[u8]) -> bool {
    let is_report = || matches!(minicbor::decode(body), Ok(Command::Report { .. }));
    match subject.rsplit('.').nth(1) {
        Some("worker") => is_report(),
        Some("gateway") => !is_report(),
        _ => true,
    }
}

async fn is_gone(stream: &Stream, sequence: u64) -> Result<bool, Error> {
    match stream.get_raw_message(sequence).await {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => Ok(true),
        Err(error) => Err(unavailable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::command::Outcome;
    use engine::id::{Attempt, StepNo};

    #[test]
    fn a_worker_reports_and_a_gateway_asks_and_nothing_else() {
        let encoded = |command: &Command| minicbor::to_vec(command).expect("memory");
        let report = encoded(&Command::Report {
            step: StepNo(0),
            attempt: Attempt(1),
            outcome: Outcome::NotCalled {
                reason: String::new(),
            },
            nonce: None,
        });
        for (role, may_report, may_decide) in [
            ("worker", true, false),
            ("gateway", false, true),
            ("scheduler", true, true),
        ] {
            let subject = format!("mirastack.inbox.00.{role}.0123");
            assert_eq!(may_ask(&subject, &report), may_report, "{role}");
            for other in [
                encoded(&Command::Wake { in_hand: false }),
                b"no command".to_vec(),
            ] {
                assert_eq!(may_ask(&subject, &other), may_decide, "{role}");
            }
        }
    }
}
