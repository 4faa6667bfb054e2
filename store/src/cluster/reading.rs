//! How streams are read: a message, all that are there, or what comes.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{Config as Pull, Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::timeout;

use super::broker::CALL;
use super::unavailable;
use crate::{Error, lock};

/// So many messages are asked for at once.
const PART: usize = 1_000;
/// So long a message that was there when another one came may take.
const ON_THE_WAY: Duration = Duration::from_millis(100);
/// A consumer that nobody reads from is gone after so long.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// The last message under a subject or pattern.
pub(super) async fn last(stream: &Stream, subject: &str) -> Result<Option<StreamMessage>, Error> {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}

/// How a stream is read once, by somebody who acknowledges nothing.
pub(super) fn once(deliver_policy: DeliverPolicy, subject: String) -> Pull {
    Pull {
        deliver_policy,
        filter_subjects: vec![subject],
        ack_policy: AckPolicy::None,
        memory_storage: true,
        num_replicas: 1,
        inactive_threshold: FORGOTTEN,
        ..Pull::default()
    }
}

/// Reads what is there now, in parts, as long as `see` wants more. Answers whether it was all that was there at first:
/// a part of it may have been purged meanwhile, and nothing else is missing.
pub(super) async fn each(
    stream: &Stream,
    config: Pull,
    mut see: impl FnMut(&Message) -> Result<ControlFlow<()>, Error> + Send,
) -> Result<bool, Error> {
    let consumer = stream.create_consumer(config).await.map_err(unavailable)?;
    let mut left = consumer.cached_info().num_pending;
    let name = consumer.cached_info().name.clone();
    let mut more = ControlFlow::Continue(());
    while left > 0 && more.is_continue() {
        let part = consumer.fetch().max_messages(PART).messages().await;
        let mut part = part.map_err(unavailable)?;
        let before = left;
        while let Some(message) = timeout(2 * CALL, part.next()).await.map_err(unavailable)? {
            left = left.saturating_sub(1);
            if more.is_continue() {
                more = see(&message.map_err(unavailable)?)?;
            }
        }
        if left == before {
            let pending = consumer.get_info().await.map_err(unavailable)?.num_pending;
            if pending > 0 {
                return Err(unavailable("a stream stopped in the middle: read it again"));
            }
            break; // What was there is purged.
        }
    }
    // Nobody waits for it: the server lets go of it by itself, too.
    let _ = stream.delete_consumer(&name).await;
    Ok(left == 0)
}

/// Where a message stands in its stream.
pub(super) fn sequence(message: &Message) -> Result<u64, Error> {
    Ok(message.info().map_err(unavailable)?.stream_sequence)
}

/// Those who follow what comes under a subject, each of them kept between two calls.
#[derive(Default)]
pub(super) struct Followers(Mutex<HashMap<String, Follower>>);

struct Follower {
    sequence: u64,
    messages: Ordered,
}

impl Followers {
    /// Messages under the subject after `sequence`, each with its own, at most `max`; waits until there is one.
    pub(super) async fn after(
        &self,
        stream: &Stream,
        subject: &str,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<(u64, Message)>, Error> {
        // Whoever stops waiting leaves none behind, and the next begins anew.
        let kept = lock(&self.0)
            .remove(subject)
            .filter(|f| f.sequence == sequence);
        let max = max.max(1);
        let (follower, found) = match kept {
            Some(mut follower) => match follower.part(max).await {
                Ok(found) => (follower, found),
                // The server has forgotten who follows.
                Err(error) => {
                    tracing::debug!(%error, subject, "following anew");
                    Follower::begun(stream, subject, sequence, max).await?
                }
            },
            None => Follower::begun(stream, subject, sequence, max).await?,
        };
        lock(&self.0).insert(subject.to_owned(), follower);
        Ok(found)
    }
}

/// What comes under a subject, from after a place on.
pub(super) async fn ordered(stream: &Stream, subject: &str, after: u64) -> Result<Ordered, Error> {
    let config = OrderedConfig {
        filter_subject: subject.to_owned(),
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: after + 1,
        },
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(unavailable)?;
    consumer.messages().await.map_err(unavailable)
}

impl Follower {
    async fn begun(
        stream: &Stream,
        subject: &str,
        sequence: u64,
        max: usize,
    ) -> Result<(Self, Vec<(u64, Message)>), Error> {
        let messages = ordered(stream, subject, sequence).await?;
        let mut follower = Self { sequence, messages };
        let found = follower.part(max).await?;
        Ok((follower, found))
    }

    async fn part(&mut self, max: usize) -> Result<Vec<(u64, Message)>, Error> {
        let mut found = Vec::new();
        let mut more = 0;
        while found.len() < max {
            let next = match (found.is_empty(), more) {
                (true, _) => self.messages.next().await,
                (false, 0) => self.messages.next().now_or_never().flatten(),
                // They are on their way.
                (false, _) => timeout(ON_THE_WAY, self.messages.next())
                    .await
                    .ok()
                    .flatten(),
            };
            let Some(message) = next else { break };
            let message = message.map_err(unavailable)?;
            let info = message.info().map_err(unavailable)?;
            (self.sequence, more) = (info.stream_sequence, info.pending);
            found.push((self.sequence, message));
        }
        if found.is_empty() {
            return Err(unavailable("what comes is not followed any more"));
        }
        Ok(found)
    }
}
