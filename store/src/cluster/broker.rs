//! The connection to NATS, and the streams that must be there as they must be.

use std::fmt::Debug;
use std::time::Duration;

use async_nats::jetstream::context::{
    ContextBuilder, GetStreamErrorKind, PublishError, PublishErrorKind,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use async_nats::{Client, ConnectOptions, HeaderMap, ServerAddr};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, sleep};

use super::unavailable;
use crate::Error;

/// So long a connection may take to come about, and a request to be answered. The loss of a leader takes longer: what
/// must not be lost to it is tried again.
pub(super) const CALL: Duration = Duration::from_secs(5);
/// A connection that says nothing is asked so often whether it is alive.
const PING: Duration = Duration::from_secs(10);
/// So many publications of one process may wait for their answers.
const IN_FLIGHT: usize = 4_096;
/// A leader that is lost is replaced within seven seconds; so long what must be stored is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// The server compares the sequence of the last message under these subjects.
const EXPECT: &str = "Nats-Expected-Last-Subject-Sequence";
const EXPECT_OVER: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// Where NATS is, and what is ours there.
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses of the servers, as `nats://user:password@host:port`; user and password are those of the first.
    pub servers: Vec<String>,
    /// What all subjects of the installation begin with, and in capitals all names of its streams: letters and digits.
    pub name: String,
    /// How many servers keep what must survive: 1 or 3.
    pub replicas: usize,
    /// What this process is.
    pub role: Role,
}

/// What a process is to the broker: it has a user of its own there, which may do what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Stores new runs, keys, commands and values, and reads.
    Gateway,
    /// Writes journals; makes the streams.
    Scheduler,
    /// Takes jobs, speaks to owners, hands reports to the inbox.
    Worker,
}

impl Role {
    /// Its name in subjects that are its own.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Scheduler => "scheduler",
            Self::Worker => "worker",
        }
    }
}

/// A connection to NATS.
#[derive(Clone, Debug)]
pub struct Broker {
    pub(super) client: Client,
    pub(super) context: Context,
    pub(super) name: String,
    pub(super) role: Role,
    replicas: usize,
}

impl Broker {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no server answers.
    pub async fn connect(options: &Options) -> Result<Self, Error> {
        let connect = credentials(&options.servers)?
            .connection_timeout(CALL)
            .request_timeout(Some(2 * CALL))
            .ping_interval(PING)
            // Where answers come in: no other role may listen there.
            .custom_inbox_prefix(format!("_INBOX.{}", options.role.name()));
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
            role: options.role,
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

    /// Waits until a scheduler has made the streams, of which these are the last; a scheduler makes them itself.
    pub(super) async fn made(&self, last: &[Config]) -> Result<(), Error> {
        let wanted = last.last().filter(|_| self.role != Role::Scheduler);
        let Some(Config { name, .. }) = wanted else {
            return Ok(());
        };
        let mut told = false;
        loop {
            match self.context.get_stream(name).await {
                Ok(_) => return Ok(()),
                Err(error) if !is_absent(&error.kind()) => return Err(unavailable(error)),
                Err(_) if told => {}
                Err(_) => tracing::info!("waiting for a scheduler, which makes the streams"),
            }
            told = true;
            sleep(PAUSE).await;
        }
    }

    /// The stream as it must be; a scheduler makes it where it is not there. What somebody else has set is not changed.
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
            Err(error) if is_absent(&error.kind()) && self.role == Role::Scheduler => self
                .context
                .create_stream(config)
                .await
                .map_err(unavailable),
            Err(error) => Err(unavailable(error)),
        }
    }
}

/// As whom to connect.
fn credentials(servers: &[String]) -> Result<ConnectOptions, Error> {
    let Some(first) = servers.first() else {
        return Ok(ConnectOptions::new());
    };
    let first: ServerAddr = first.parse().map_err(unavailable)?;
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    Ok(match (first.username(), first.password()) {
        (Some(user), Some(password)) => {
            ConnectOptions::with_user_and_password(decoded(user), decoded(password))
        }
        _ => ConnectOptions::new(),
    })
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

pub(super) fn is_absent(kind: &GetStreamErrorKind) -> bool {
    matches!(kind, GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

/// What of a stream that is there is not as wanted.
pub(super) fn differences(is: &Config, wanted: &Config) -> Vec<String> {
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
    compare(
        "discard_new_per_subject",
        &is.discard_new_per_subject,
        &wanted.discard_new_per_subject,
    );
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
