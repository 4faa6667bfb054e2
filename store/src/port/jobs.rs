use async_trait::async_trait;
use engine::id::Shard;
use engine::job::{Answer, Job, Word};
use tokio::sync::oneshot;

use crate::Error;

/// All that passes between owners and workers. May be lost at any moment.
#[async_trait]
pub trait Jobs: Send + Sync {
    /// Puts jobs at the end of the pool's queue, and answers the place of each.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn offer(&self, pool: &str, jobs: Vec<Job>) -> Result<Vec<Offered>, Error>;

    /// Takes up to `max` jobs off the queue's front; waits until there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn take(&self, pool: &str, max: usize) -> Result<Vec<Job>, Error>;

    /// What is still queued.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn queue(&self, pool: &str) -> Result<Queue, Error>;

    /// Says something to the owner of a shard, and waits for its answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nobody answers: say it again.
    async fn say(&self, shard: Shard, word: Word) -> Result<Answer, Error>;

    /// Hears what workers say to the owner of a shard, at most `max`; waits until there is something.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    async fn hear(&self, shard: Shard, max: usize) -> Result<Vec<Heard>, Error>;
}

/// Where in which queue a job was put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Changes when the queue was lost and made anew.
    pub epoch: u64,
    /// The job's place; counts up.
    pub place: u64,
}

/// The state of a pool's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Changes when the queue was lost and made anew.
    pub epoch: u64,
    /// Every job before this place has left the queue.
    pub front: u64,
    /// How many are queued.
    pub length: u64,
}

/// What a worker said, and how to answer it.
#[derive(Debug)]
pub struct Heard {
    /// What it said.
    pub word: Word,
    /// Takes the answer; dropping it tells the worker to say it again.
    pub reply: oneshot::Sender<Answer>,
}
