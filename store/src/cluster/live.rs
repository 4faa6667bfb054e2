//! What watchers see, over requests without a stream: who is not there misses it.
//!
//! Subjects are `NAME.live.run.TENANT.RUN` and `NAME.live.command.COMMAND`. Records are not told here: whoever keeps lists
//! reads all of them anyway, and tells them.

use std::sync::Arc;

use async_nats::{Message, Subscriber};
use bytes::Bytes;
use engine::code::Code;
use engine::id::Nonce;
use futures::StreamExt as _;
use minicbor::{Decode, Encode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::broker::Broker;
use super::{run_of, unavailable};
use crate::Error;
use crate::port::{Live, News, Subscription, Topic};
use crate::topics::Topics;

/// News that wait to be sent; over it, they are lost.
const WAITING_MAX: usize = 10_000;

/// News in NATS.
pub(super) struct Watch {
    name: String,
    topics: Arc<Topics>,
    out: mpsc::Sender<(String, Bytes)>,
    /// Sends and hears.
    _tasks: JoinSet<()>,
}

/// News on their way.
#[derive(Encode, Decode)]
enum Sent {
    #[n(0)]
    Progress(#[n(0)] String, #[n(1)] u32, #[n(2)] String),
    #[n(1)]
    Log(#[n(0)] String, #[n(1)] String, #[n(2)] String),
    #[n(2)]
    Answered(#[n(0)] u64, #[n(1)] bool, #[n(2)] Option<(String, String)>),
}

impl Watch {
    /// Tells news; and, where somebody in this process will listen, hears all of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub(super) async fn open(broker: &Broker, hears: bool) -> Result<Self, Error> {
        let topics: Arc<Topics> = Arc::default();
        let (out, waiting) = mpsc::channel(WAITING_MAX);
        let mut tasks = JoinSet::new();
        if hears {
            let all = broker.client.subscribe(format!("{}.live.>", broker.name));
            let all = all.await.map_err(unavailable)?;
            tasks.spawn(hear(all, Arc::clone(&topics)));
        }
        tasks.spawn(send(broker.clone(), waiting));
        Ok(Self {
            name: broker.name.clone(),
            topics,
            out,
            _tasks: tasks,
        })
    }

    /// Where records are to be told.
    pub(super) fn topics(&self) -> Arc<Topics> {
        Arc::clone(&self.topics)
    }
}

impl Live for Watch {
    fn publish(&self, topic: Topic, news: News) {
        let subject = match topic {
            Topic::Run(key) => format!("{}.live.run.{}.{}", self.name, key.tenant, key.run),
            Topic::Command(id) => format!("{}.live.command.{id}", self.name),
            // Only records are told to a whole tenant.
            Topic::Tenant(_) => return,
        };
        let Some(sent) = Sent::of(news) else { return };
        let bytes = minicbor::to_vec(&sent).expect("writing to memory cannot fail");
        // Where there is no room, whoever listens misses it, as it may.
        let _ = self.out.try_send((subject, Bytes::from(bytes)));
    }

    fn subscribe(&self, topic: Topic) -> Subscription {
        self.topics.subscribe(topic)
    }
}

async fn send(broker: Broker, mut waiting: mpsc::Receiver<(String, Bytes)>) {
    while let Some((subject, bytes)) = waiting.recv().await {
        if let Err(error) = broker.client.publish(subject, bytes).await {
            tracing::debug!(%error, "news were lost");
        }
    }
}

async fn hear(mut all: Subscriber, topics: Arc<Topics>) {
    while let Some(message) = all.next().await {
        let sent = minicbor::decode::<Sent>(&message.payload).ok();
        if let (Some(topic), Some(news)) = (topic_of(&message), sent.and_then(Sent::news)) {
            topics.publish(topic, news);
        }
    }
}

fn topic_of(message: &Message) -> Option<Topic> {
    match message.subject.rsplit_once(".live.command.") {
        Some((_, id)) => {
            let bits = u128::from_str_radix(id, 16).ok()?;
            Some(Topic::Command(Nonce(bits.to_be_bytes())))
        }
        None => run_of(&message.subject).map(Topic::Run),
    }
}

impl Sent {
    fn of(news: News) -> Option<Self> {
        Some(match news {
            News::Record { .. } => return None,
            News::Progress {
                step,
                percent,
                message,
            } => Self::Progress(step, percent, message),
            News::Log {
                step,
                level,
                message,
            } => Self::Log(step, level, message),
            News::Answered {
                n,
                already,
                refused,
            } => Self::Answered(
                n,
                already,
                refused.map(|(code, why)| (code.to_string(), why)),
            ),
        })
    }

    fn news(self) -> Option<News> {
        Some(match self {
            Self::Progress(step, percent, message) => News::Progress {
                step,
                percent,
                message,
            },
            Self::Log(step, level, message) => News::Log {
                step,
                level,
                message,
            },
            Self::Answered(n, already, refused) => {
                let known = |text: &str| Code::ALL.iter().find(|code| code.as_str() == text);
                let refused = refused.map(|(code, why)| {
                    // One of a newer version, which this one cannot name.
                    let code = known(&code).copied().unwrap_or(Code::Conflict);
                    (code, why)
                });
                News::Answered {
                    n,
                    already,
                    refused,
                }
            }
        })
    }
}
