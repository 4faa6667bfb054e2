//! Queues between owners and workers, in this process.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use engine::id::Shard;
use engine::job::{Answer, Job, Word};
use tokio::sync::{Notify, oneshot};

use crate::Error;
use crate::clock::Random;
use crate::lock;
use crate::port::{Heard, Jobs, Offered, Queue};

/// Jobs that may be queued in one pool, and words for one shard; more are refused. The owner's backlog stays in the
/// journal, so this is never reached in good order.
const LENGTH_MAX: usize = 100_000;
/// A word that nobody has answered for so long is to be said again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Queues {
    random: Arc<dyn Random>,
    pools: Mutex<BTreeMap<String, Arc<Line<Job>>>>,
    ears: Mutex<BTreeMap<Shard, Arc<Line<Heard>>>>,
}

/// A queue that somebody waits at.
struct Line<T> {
    epoch: u64,
    waiting: Mutex<Waiting<T>>,
    more: Notify,
}

struct Waiting<T> {
    /// The place of the first that is still here.
    front: u64,
    items: VecDeque<T>,
}

impl Queues {
    pub(super) fn new(random: Arc<dyn Random>) -> Self {
        let (pools, ears) = (Mutex::default(), Mutex::default());
        Self {
            random,
            pools,
            ears,
        }
    }

    fn pool(&self, pool: &str) -> Arc<Line<Job>> {
        let mut pools = lock(&self.pools);
        if let Some(line) = pools.get(pool) {
            return Arc::clone(line);
        }
        let line = Arc::new(Line::new(self.random.bits()));
        pools.insert(pool.to_owned(), Arc::clone(&line));
        line
    }

    fn ear(&self, shard: Shard) -> Arc<Line<Heard>> {
        let mut ears = lock(&self.ears);
        let line = ears.entry(shard).or_insert_with(|| Arc::new(Line::new(0)));
        Arc::clone(line)
    }
}

#[async_trait]
impl Jobs for Queues {
    async fn offer(&self, pool: &str, jobs: Vec<Job>) -> Result<Vec<Offered>, Error> {
        let line = self.pool(pool);
        let count = jobs.len() as u64;
        let first = line.push(jobs)?;
        let epoch = line.epoch;
        let places = first..first + count;
        Ok(places.map(|place| Offered { epoch, place }).collect())
    }

    async fn take(&self, pool: &str, max: usize) -> Result<Vec<Job>, Error> {
        Ok(self.pool(pool).pop(max).await)
    }

    async fn queue(&self, pool: &str) -> Result<Queue, Error> {
        let line = self.pool(pool);
        let waiting = lock(&line.waiting);
        Ok(Queue {
            epoch: line.epoch,
            front: waiting.front,
            length: waiting.items.len() as u64,
        })
    }

    async fn say(&self, shard: Shard, word: Word) -> Result<Answer, Error> {
        let (reply, answer) = oneshot::channel();
        self.ear(shard).push(vec![Heard { word, reply }])?;
        let nobody = || Error::Unavailable("nobody answered: say it again".to_owned());
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(nobody()),
        }
    }

    async fn hear(&self, shard: Shard, max: usize) -> Result<Vec<Heard>, Error> {
        loop {
            let mut heard = self.ear(shard).pop(max).await;
            // Who does not wait any more has said it again, or will.
            heard.retain(|heard| !heard.reply.is_closed());
            if !heard.is_empty() {
                return Ok(heard);
            }
        }
    }
}

impl<T> Line<T> {
    fn new(epoch: u64) -> Self {
        let waiting = Mutex::new(Waiting {
            front: 1,
            items: VecDeque::new(),
        });
        let more = Notify::new();
        Self {
            epoch,
            waiting,
            more,
        }
    }

    /// Puts all of them at the end, or none, and answers the place of the first.
    fn push(&self, items: Vec<T>) -> Result<u64, Error> {
        let mut waiting = lock(&self.waiting);
        if waiting.items.len() + items.len() > LENGTH_MAX {
            let what = format!("the queue is full ({LENGTH_MAX})");
            return Err(Error::Unavailable(what));
        }
        let place = waiting.front + waiting.items.len() as u64;
        waiting.items.extend(items);
        self.more.notify_one();
        Ok(place)
    }

    /// Takes up to `max` from the front, as soon as there is one.
    async fn pop(&self, max: usize) -> Vec<T> {
        loop {
            if let Some(taken) = self.try_pop(max) {
                return taken;
            }
            self.more.notified().await;
        }
    }

    fn try_pop(&self, max: usize) -> Option<Vec<T>> {
        let mut waiting = lock(&self.waiting);
        let count = waiting.items.len().min(max.max(1));
        if count == 0 {
            return None;
        }
        let taken: Vec<T> = waiting.items.drain(..count).collect();
        waiting.front += count as u64;
        if !waiting.items.is_empty() {
            // One call for each that waits: who takes wakes the next.
            self.more.notify_one();
        }
        Some(taken)
    }
}
