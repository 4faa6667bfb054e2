//! What passes between owners and workers: a stream in memory for the jobs, and requests without a stream for words.
//!
//! A job's subject is `NAME.step.POOL`, and each pool has one consumer that all its workers pull from; whoever offers makes
//! it. Nothing is acknowledged: what was handed to a worker has left the queue, and an owner sees by its detector whether it arrived.

use std::collections::HashMap;
use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::jetstream::consumer::pull::{Batch, Config as Pull};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, StorageType, Stream};
use async_nats::{HeaderMap, Message, RequestErrorKind, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use engine::id::Shard;
use engine::job::{Answer, Job, Word};
use futures::future::try_join_all;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{Mutex as AsyncMutex, OnceCell, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::answers::{ANSWERS_MAX, Owed, answer_all, is_for_answers};
use super::broker::{Broker, Expecting, Role};
use super::reading;
use super::{of_shard, unavailable};
use crate::clock::Random;
use crate::port::{Heard, Jobs, Offered, Queue};
use crate::{Error, lock};

/// Jobs that may be queued, over all pools; more are refused. The owners' backlog stays in the journals, so this is never
/// reached in good order.
const QUEUED_MAX: i64 = 100_000;
/// So long a worker waits for a job before it asks again.
const ASKED_FOR: Duration = Duration::from_secs(5);
/// A word that nobody has answered for so long is to be said again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// While nobody hears, a word is said again so often.
const AGAIN: Duration = Duration::from_millis(100);

/// The queues and ears in NATS.
pub(super) struct Queues {
    broker: Broker,
    random: Arc<dyn Random>,
    queued: Mutex<Option<Queued>>,
    ears: Mutex<HashMap<Shard, Subscriber>>,
    answers: mpsc::Sender<Owed>,
    /// Sends the answers, as long as there is one who may hear.
    _answering: JoinSet<()>,
}

/// The stream of the queues, as it was found. It is gone with its server.
#[derive(Clone)]
struct Queued {
    stream: Stream,
    epoch: Arc<OnceCell<u64>>,
    pools: Arc<Mutex<HashMap<String, Arc<Pool>>>>,
}

/// A queue, as a worker sees it.
struct Pool {
    consumer: Consumer<Pull>,
    /// What was asked for and has not come yet. Whoever stops waiting leaves it to the next.
    asked: AsyncMutex<Option<Batch>>,
}

impl Queues {
    /// The queues; a scheduler makes their stream where it is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`], also when the stream is not as it must be.
    pub(super) async fn open(broker: &Broker, random: Arc<dyn Random>) -> Result<Self, Error> {
        let (answers, owed) = mpsc::channel(ANSWERS_MAX);
        let mut answering = JoinSet::new();
        answering.spawn(answer_all(broker.clone(), owed));
        let queues = Self {
            broker: broker.clone(),
            random,
            queued: Mutex::default(),
            ears: Mutex::default(),
            answers,
            _answering: answering,
        };
        // It is in memory, and may be gone: then the next offer makes it.
        if broker.role == Role::Scheduler {
            queues.queued().await?;
        }
        Ok(queues)
    }

    /// How their stream must be.
    pub(super) fn config(broker: &Broker) -> Config {
        let subjects = ["step.>", "steps"].map(|s| format!("{}.{s}", broker.name));
        Config {
            storage: StorageType::Memory,
            max_messages: QUEUED_MAX,
            ..broker.kept("STEPS", subjects.to_vec())
        }
    }

    fn step(&self, pool: &str) -> String {
        format!("{}.step.{pool}", self.broker.name)
    }

    /// The stream, made where it is not there.
    async fn queued(&self) -> Result<Queued, Error> {
        if let Some(queued) = &*lock(&self.queued) {
            return Ok(queued.clone());
        }
        let queued = Queued {
            stream: self.broker.stream(Self::config(&self.broker)).await?,
            epoch: Arc::default(),
            pools: Arc::default(),
        };
        *lock(&self.queued) = Some(queued.clone());
        Ok(queued)
    }

    /// The number of the stream as it was found.
    async fn epoch_of(&self, queued: &Queued) -> Result<u64, Error> {
        let found = || self.epoch(&queued.stream);
        queued.epoch.get_or_try_init(found).await.copied()
    }

    /// What is in the stream beside the jobs: a number that is lost with them.
    async fn epoch(&self, stream: &Stream) -> Result<u64, Error> {
        let subject = format!("{}.steps", self.broker.name);
        loop {
            if let Some(message) = reading::last(stream, &subject).await? {
                return minicbor::decode(&message.payload).map_err(unavailable);
            }
            let message = Expecting {
                subject: subject.clone(),
                over: subject.clone(),
                last: 0,
                headers: HeaderMap::new(),
                payload: encoded(&self.random.bits()),
            };
            self.broker.store(message).await?;
        }
    }

    async fn pool(&self, name: &str) -> Result<(Queued, Arc<Pool>), Error> {
        let queued = self.queued().await?;
        let known = lock(&queued.pools).get(name).cloned();
        if let Some(pool) = known {
            return Ok((queued, pool));
        }
        let pool = Arc::new(Pool {
            consumer: self.consumer(&queued.stream, name).await?,
            asked: AsyncMutex::default(),
        });
        lock(&queued.pools).insert(name.to_owned(), Arc::clone(&pool));
        Ok((queued, pool))
    }

    /// What the workers of a pool pull from. They themselves may not make it.
    async fn consumer(&self, stream: &Stream, name: &str) -> Result<Consumer<Pull>, Error> {
        if self.broker.role != Role::Scheduler {
            return stream.get_consumer(name).await.map_err(unavailable);
        }
        let config = Pull {
            durable_name: Some(name.to_owned()),
            filter_subject: self.step(name),
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::None,
            memory_storage: true,
            ..Pull::default()
        };
        stream.create_consumer(config).await.map_err(unavailable)
    }

    /// What went wrong may be that the stream is gone: the next call makes it anew.
    fn again<T>(&self, outcome: Result<T, Error>) -> Result<T, Error> {
        if outcome.is_err() {
            *lock(&self.queued) = None;
        }
        outcome
    }

    async fn put(&self, pool: &str, jobs: &[Job]) -> Result<Vec<Offered>, Error> {
        let (queued, _) = self.pool(pool).await?;
        let epoch = self.epoch_of(&queued).await?;
        let subject = self.step(pool);
        // One after the other, so that they stand in the queue in this order; the answers come together.
        let mut sent = Vec::with_capacity(jobs.len());
        for job in jobs {
            let message = PublishMessage::build().payload(encoded(job));
            let answer = self.broker.context.send_publish(subject.clone(), message);
            sent.push(answer.await.map_err(unavailable)?);
        }
        let stored = try_join_all(sent.into_iter().map(IntoFuture::into_future));
        let stored = stored.await.map_err(unavailable)?;
        let offered = stored.into_iter().map(|ack| Offered {
            epoch,
            place: ack.sequence,
        });
        Ok(offered.collect())
    }

    /// At most `max` jobs; none where there was none for a while.
    async fn pull(&self, pool: &str, max: usize) -> Result<Vec<Job>, Error> {
        let (_, pool) = self.pool(pool).await?;
        pool.pull(max).await
    }

    async fn look(&self, name: &str) -> Result<Queue, Error> {
        let (queued, pool) = self.pool(name).await?;
        let known = self.epoch_of(&queued).await?;
        let info = pool.consumer.get_info().await.map_err(unavailable)?;
        let epoch = self.epoch(&queued.stream).await?;
        if epoch != known {
            return Err(unavailable("the queue was lost, and is made anew"));
        }
        let front = info.delivered.stream_sequence + 1;
        // What was taken is of no use to anybody.
        let taken = queued
            .stream
            .purge()
            .filter(self.step(name))
            .sequence(front);
        taken.await.map_err(unavailable)?;
        Ok(Queue {
            epoch,
            front,
            length: info.num_pending,
        })
    }
}

impl Pool {
    /// At most `max` jobs, as soon as there is one; none where there was none for a while.
    async fn pull(&self, max: usize) -> Result<Vec<Job>, Error> {
        let mut asked = self.asked.lock().await;
        if asked.is_none() {
            let ask = self.consumer.batch().max_messages(max).expires(ASKED_FOR);
            *asked = Some(ask.messages().await.map_err(unavailable)?);
        }
        let mut taken = Vec::new();
        while let Some(batch) = asked.as_mut()
            && taken.len() < max
        {
            let next = match taken.is_empty() {
                true => batch.next().await,
                false => match batch.next().now_or_never() {
                    Some(next) => next,
                    None => break,
                },
            };
            match next {
                Some(Ok(message)) => match minicbor::decode(&message.payload) {
                    Ok(job) => taken.push(job),
                    Err(error) => tracing::warn!(%error, "what stands in a queue is no job"),
                },
                // Nobody offered anything for a while, or all that was asked for has come.
                None => *asked = None,
                Some(Err(error)) => {
                    *asked = None;
                    if taken.is_empty() {
                        return Err(unavailable(error));
                    }
                }
            }
        }
        Ok(taken)
    }
}

pub(super) fn encoded<T: minicbor::Encode<()>>(value: &T) -> Bytes {
    let bytes = minicbor::to_vec(value).expect("writing to memory cannot fail");
    Bytes::from(bytes)
}

#[async_trait]
impl Jobs for Queues {
    async fn offer(&self, pool: &str, jobs: Vec<Job>) -> Result<Vec<Offered>, Error> {
        self.again(self.put(pool, &jobs).await)
    }

    async fn take(&self, pool: &str, max: usize) -> Result<Vec<Job>, Error> {
        loop {
            let taken = self.again(self.pull(pool, max.max(1)).await)?;
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
    }

    async fn queue(&self, pool: &str) -> Result<Queue, Error> {
        match self.look(pool).await {
            Ok(queue) => Ok(queue),
            Err(_) => {
                *lock(&self.queued) = None;
                self.again(self.look(pool).await)
            }
        }
    }

    async fn say(&self, shard: Shard, word: Word) -> Result<Answer, Error> {
        let subject = of_shard(&self.broker, "owner", shard);
        let body = encoded(&word);
        let said = async {
            loop {
                let answer = self.broker.client.request(subject.clone(), body.clone());
                match answer.await {
                    Ok(message) if message.payload.is_empty() => {
                        return Err(unavailable("it was not answered: say it again"));
                    }
                    Ok(message) => return minicbor::decode(&message.payload).map_err(unavailable),
                    // The shard's owner is about to change.
                    Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                        sleep(AGAIN).await;
                    }
                    Err(error) => return Err(unavailable(error)),
                }
            }
        };
        let nobody = |_| unavailable("nobody answered: say it again");
        timeout(ANSWER_WITHIN, said).await.map_err(nobody)?
    }

    async fn hear(&self, shard: Shard, max: usize) -> Result<Vec<Heard>, Error> {
        // Whoever stops hearing leaves no ear behind.
        let kept = lock(&self.ears).remove(&shard);
        let mut ear = match kept {
            Some(ear) => ear,
            None => {
                let subject = of_shard(&self.broker, "owner", shard);
                let ear = self.broker.client.subscribe(subject).await;
                ear.map_err(unavailable)?
            }
        };
        let mut heard = Vec::new();
        while heard.len() < max.max(1) {
            let next = match heard.is_empty() {
                true => ear.next().await,
                false => ear.next().now_or_never().flatten(),
            };
            let Some(message) = next else { break };
            heard.extend(self.heard(message));
        }
        if heard.is_empty() {
            return Err(unavailable("nothing is heard any more"));
        }
        lock(&self.ears).insert(shard, ear);
        Ok(heard)
    }
}

impl Queues {
    fn heard(&self, message: Message) -> Option<Heard> {
        // The broker lets anybody name any place for an answer: a journal, too.
        let to = message.reply.filter(is_for_answers)?;
        let word = minicbor::decode(&message.payload);
        let word = word.inspect_err(|error| tracing::warn!(%error, "what was said is no word"));
        let word = word.ok()?;
        let (reply, answer) = oneshot::channel();
        // Where there is no room, it is said again.
        self.answers.try_send(Owed { to, answer }).ok()?;
        Some(Heard { word, reply })
    }
}
