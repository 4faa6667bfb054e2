//! Queues that break a promise.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use engine::id::Shard;
use engine::job::{Answer, AttemptKey, Job, Word};

use super::{Seen, asleep, defects};
use crate::port::{Heard, Jobs, Offered, Queue};
use crate::{Backend, Error};

defects![
    jobs_are_taken_in_order: GivesTheLastFirst,
    a_job_is_taken_once: GivesTwice,
    a_take_is_bounded: GivesAllAtOnce,
    jobs_wake_who_waits: SleepsOverJobs,
    every_job_wakes_somebody: KeepsOneOfAnOffer,
    a_take_that_is_given_up_takes_nothing: GivesToTheDead,
    a_pool_has_its_own_queue: KnowsOnePool,
    a_queue_tells_what_has_left_it: NeverMovesTheFront,
    a_queue_that_was_lost_is_another: KeepsItsEpoch,
    what_is_said_is_heard_and_answered: AnswersByItself,
    words_go_to_their_shard: KnowsOneShard,
    words_are_heard_in_order: HearsTheLastFirst,
    a_word_that_nobody_answers_is_to_be_said_again: WaitsForEver,
];

struct Wrapper {
    inner: Arc<dyn Jobs>,
    how: How,
    given: Seen<AttemptKey>,
    given_up: AtomicBool,
}

fn wrap(backend: Backend, how: How) -> Backend {
    let jobs = Arc::new(Wrapper {
        inner: Arc::clone(&backend.jobs),
        how,
        given: Seen::new(),
        given_up: AtomicBool::new(false),
    });
    Backend { jobs, ..backend }
}

/// Notes that a take was given up.
struct Take<'a>(&'a AtomicBool);

impl Drop for Take<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Wrapper {
    fn pool<'a>(&self, pool: &'a str) -> &'a str {
        if self.how == How::KnowsOnePool {
            "all"
        } else {
            pool
        }
    }

    fn shard(&self, shard: Shard) -> Shard {
        if self.how == How::KnowsOneShard {
            Shard(0)
        } else {
            shard
        }
    }

    fn epoch(&self, epoch: u64) -> u64 {
        if self.how == How::KeepsItsEpoch {
            0
        } else {
            epoch
        }
    }
}

#[async_trait]
impl Jobs for Wrapper {
    async fn offer(&self, pool: &str, mut jobs: Vec<Job>) -> Result<Vec<Offered>, Error> {
        if self.how == How::KeepsOneOfAnOffer {
            jobs.truncate(1);
        }
        let mut offered = self.inner.offer(self.pool(pool), jobs).await?;
        for offered in &mut offered {
            offered.epoch = self.epoch(offered.epoch);
        }
        Ok(offered)
    }

    async fn take(&self, pool: &str, max: usize) -> Result<Vec<Job>, Error> {
        let pool = self.pool(pool);
        let guard = Take(&self.given_up);
        let mut jobs = match self.how {
            How::GivesAllAtOnce => self.inner.take(pool, 1_000).await?,
            How::SleepsOverJobs => asleep(self.inner.take(pool, max)).await?,
            _ => self.inner.take(pool, max).await?,
        };
        std::mem::forget(guard);
        if self.how == How::GivesToTheDead && self.given_up.load(Ordering::Relaxed) {
            return pending().await;
        }
        if self.how == How::GivesTheLastFirst {
            jobs.reverse();
        }
        if self.how == How::GivesTwice {
            let new = jobs.iter().filter(|job| self.given.add(job.attempt_key()));
            self.inner.offer(pool, new.cloned().collect()).await?;
        }
        Ok(jobs)
    }

    async fn queue(&self, pool: &str) -> Result<Queue, Error> {
        let mut queue = self.inner.queue(self.pool(pool)).await?;
        queue.epoch = self.epoch(queue.epoch);
        if self.how == How::NeverMovesTheFront {
            queue.front = 1;
        }
        Ok(queue)
    }

    async fn say(&self, shard: Shard, word: Word) -> Result<Answer, Error> {
        if self.how == How::AnswersByItself {
            let unwanted = Vec::new();
            return Ok(Answer::Heard { unwanted });
        }
        let said = self.inner.say(self.shard(shard), word).await;
        if self.how == How::WaitsForEver && said.is_err() {
            return pending().await;
        }
        said
    }

    async fn hear(&self, shard: Shard, max: usize) -> Result<Vec<Heard>, Error> {
        let mut heard = self.inner.hear(self.shard(shard), max).await?;
        if self.how == How::HearsTheLastFirst {
            heard.reverse();
        }
        Ok(heard)
    }
}
