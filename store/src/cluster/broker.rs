//! The connection to NATS, and the streams that must be there as they must be.

use std::collections::HashMap;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Config as Pull, Ordered, OrderedConfig};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::context::{
    ContextBuilder, GetStreamErrorKind, PublishError, PublishErrorKind,
};
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, LastRawMessageErrorKind, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{Context, ErrorCode, Message};
use async_nats::{Client, ConnectOptions, HeaderMap};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::unavailable;
use crate::{Error, lock};

/// So long a connection may take to come about, and a request to be answered. The loss of a leader takes longer: what
/// must not be lost to it is tried again.
const CALL: Duration = Duration::from_secs(5);
/// A connection that says nothing is asked so often whether it is alive.
const PING: Duration = Duration::from_secs(10);
/// So many publications of one process may wait for their answers.
const IN_FLIGHT: usize = 4_096;
/// A leader that is lost is replaced within seven seconds; so long what must be stored is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// So many messages are asked for at once.
const PART: usize = 1_000;
/// So long a message that was there when another one came may take.
const ON_THE_WAY: Duration = Duration::from_millis(100);
/// A consumer that nobody reads from is gone after so long.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// The server compares the sequence of the last message under these subjects.
const EXPECT: &str = "Nats-Expected-Last-Subject-Sequence";
const EXPECT_OVER: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// Where NATS is, and what is ours there.
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses of the servers, as `nats://host:port`.
    pub servers: Vec<String>,
    /// What all subjects of the installation begin with, and in capitals all names of its streams: letters and digits.
    pub name: String,
    /// How many servers keep what must survive: 1 or 3.
    pub replicas: usize,
}

/// A connection to NATS.
#[derive(Clone, Debug)]
pub struct Broker {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) name: String,
    replicas: usize,
}

impl Broker {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no server answers.
    pub async fn connect(options: &Options) -> Result<Self, Error> {
        let connect = ConnectOptions::new()
            .connection_timeout(CALL)
            .request_timeout(Some(2 * CALL))
            .ping_interval(PING);
        let client = connect.connect(options.servers.clone()).await;
        let client = client.map_err(unavailable)?;
        let context = ContextBuilder::new()
            .timeout(CALL)
            .ack_timeout(CALL)
            .max_ack_inflight(IN_FLIGHT)
            .build(client.clone());
        Ok(Self {
            client,
            context,
            name: options.name.clone(),
            replicas: options.replicas,
        })
    }

    /// A stream of the installation for what must survive.
    pub(super) fn kept(&self, name: &str, subjects: Vec<String>) -> Config {
        Config {
            name: format!("{}_{name}", self.name.to_uppercase()),
            subjects,
            retention: RetentionPolicy::Limits,
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            num_replicas: self.replicas,
            ..Config::default()
        }
    }

    /// Makes the stream, or makes sure that it is as it must be: what somebody else has set is not changed.
    pub(super) async fn stream(&self, config: Config) -> Result<Stream, Error> {
        let name = config.name.clone();
        match self.context.get_stream(&name).await {
            Ok(found) => {
                let differs = differences(&found.cached_info().config, &config);
                if differs.is_empty() {
                    return Ok(found);
                }
                let differs = differs.join(", ");
                Err(unavailable(format_args!(
                    "the stream {name} is not as it must be: {differs}"
                )))
            }
            Err(error) if is_absent(&error.kind()) => self
                .context
                .create_stream(config)
                .await
                .map_err(unavailable),
            Err(error) => Err(unavailable(error)),
        }
    }
}

/// A message that is stored only if nothing came before it.
pub(super) struct Expecting {
    pub(super) subject: String,
    /// Under all subjects of this pattern, the last message must have this sequence; none has 0.
    pub(super) over: String,
    pub(super) last: u64,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    /// It is stored, with this sequence.
    At(u64),
    /// Another message is in its place: after an answer that was lost, perhaps an earlier try of the same.
    Not { perhaps_ours: bool },
}

impl Broker {
    /// Publishes until it is known whether the message is stored.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it is not known for too long.
    pub(super) async fn store(&self, message: Expecting) -> Result<Stored, Error> {
        let mut headers = message.headers;
        headers.insert(EXPECT, message.last.to_string());
        headers.insert(EXPECT_OVER, message.over);
        let begun = Instant::now();
        let mut perhaps_ours = false;
        loop {
            let publish = PublishMessage::build()
                .headers(headers.clone())
                .payload(message.payload.clone());
            match self.publish(message.subject.clone(), publish).await {
                Ok(sequence) => return Ok(Stored::At(sequence)),
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                    return Ok(Stored::Not { perhaps_ours });
                }
                Err(error) if begun.elapsed() > PATIENCE => return Err(unavailable(error)),
                Err(error) => tracing::debug!(%error, "a message is published again"),
            }
            perhaps_ours = true;
            sleep(PAUSE).await;
        }
    }

    pub(super) async fn publish(
        &self,
        subject: String,
        message: PublishMessage,
    ) -> Result<u64, PublishError> {
        let answer = self.context.send_publish(subject, message).await?;
        Ok(answer.await?.sequence)
    }
}

/// The last message under a subject or pattern.
pub(super) async fn last(stream: &Stream, subject: &str) -> Result<Option<StreamMessage>, Error> {
    match stream.get_last_raw_message_by_subject(subject).await {
        Ok(message) => Ok(Some(message)),
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(unavailable(error)),
    }
}

/// How a stream is read once, by somebody who acknowledges nothing.
pub(super) fn reading(deliver_policy: DeliverPolicy, subject: String) -> Pull {
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

fn is_absent(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// What of a stream that is there is not as wanted.
fn differences(is: &Config, wanted: &Config) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, is: &dyn Debug, wanted: &dyn Debug| {
        let (is, wanted) = (format!("{is:?}"), format!("{wanted:?}"));
        if is != wanted {
            found.push(format!("{what} is {is} instead of {wanted}"));
        }
    };
    compare("subjects", &is.subjects, &wanted.subjects);
    compare("retention", &is.retention, &wanted.retention);
    compare("storage", &is.storage, &wanted.storage);
    compare("discard", &is.discard, &wanted.discard);
    compare("num_replicas", &is.num_replicas, &wanted.num_replicas);
    compare("max_age", &is.max_age, &wanted.max_age);
    compare(
        "max_msgs_per_subject",
        &per_subject(is),
        &per_subject(wanted),
    );
    compare(
        "allow_msg_ttl",
        &is.allow_message_ttl,
        &wanted.allow_message_ttl,
    );
    compare("allow_direct", &is.allow_direct, &wanted.allow_direct);
    compare("deny_purge", &is.deny_purge, &wanted.deny_purge);
    compare("deny_delete", &is.deny_delete, &wanted.deny_delete);
    found
}

/// No limit is 0 to us and -1 to the server.
fn per_subject(config: &Config) -> i64 {
    config.max_messages_per_subject.max(0)
}
