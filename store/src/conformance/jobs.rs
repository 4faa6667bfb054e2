//! Promises of what passes between owners and workers.

use engine::command::Outcome;
use engine::digest::Digest;
use engine::event::{Call, PinnedAction};
use engine::id::{Attempt, Shard, StepNo};
use engine::job::{Answer, Job, JobKind, Word};
use engine::manifest::ActionName;
use engine::principal::{Permission, Principal};
use engine::value::{Labels, Value};

use std::future::Future;
use std::pin::Pin;

use super::sample::{Birth, Sample};
use super::{Broken, Verdict, World, cases, must, refused, same, soon};
use crate::Error;
use crate::port::Heard;

cases![
    jobs_are_taken_in_order,
    a_job_is_taken_once,
    a_take_is_bounded,
    jobs_wake_who_waits,
    every_job_wakes_somebody,
    a_take_that_is_given_up_takes_nothing,
    a_pool_has_its_own_queue,
    a_queue_tells_what_has_left_it,
    a_queue_that_was_lost_is_another,
    what_is_said_is_heard_and_answered,
    words_go_to_their_shard,
    words_are_heard_in_order,
    a_word_that_nobody_answers_is_to_be_said_again,
];

const POOL: &str = "default";

/// Job `number`, known by its attempt.
fn job(number: u32) -> Job {
    let sample = Sample::born(&Birth::number(1));
    let permission = Permission::Read;
    let name = ActionName {
        agent: "demo".to_owned(),
        action: "read".to_owned(),
    };
    let params = Value {
        digest: Digest::of(b"{}"),
        size: 2,
        labels: Labels::default(),
        inline: None,
    };
    Job {
        key: sample.key,
        step: StepNo(0),
        name: "look".to_owned(),
        attempt: Attempt(number),
        kind: JobKind::Call,
        action: PinnedAction {
            name,
            digest: Digest::of(b"manifest"),
            permission,
            idempotent: false,
            lookup: false,
            timeout_ms: None,
            settle_ms: None,
        },
        call: Call {
            action: 0,
            params,
            secrets: Vec::new(),
            time_range: None,
            timeout_ms: 1_000,
            sources: Default::default(),
        },
        requester: Principal::Key("sample".to_owned()),
        approval: None,
        idempotency_key: "k".to_owned(),
        traceparent: None,
        dispatched_at: sample.records[0].0.at,
        workflow: None,
        labels: Default::default(),
        try_number: 1,
        resume: false,
        definition: Digest::of(b"definition"),
        revision: None,
    }
}

fn jobs(numbers: std::ops::Range<u32>) -> Vec<Job> {
    numbers.map(job).collect()
}

async fn take(world: &World, max: usize) -> Result<Vec<Job>, Broken> {
    let taken = world.backend.jobs.take(POOL, max);
    Ok(soon("a job", taken).await??)
}

async fn jobs_are_taken_in_order(world: World) -> Verdict {
    let port = &world.backend.jobs;
    let first = port.offer(POOL, jobs(0..2)).await?;
    let second = port.offer(POOL, jobs(2..3)).await?;
    let all = [first, second].concat();
    must!(all.len() == 3, "{all:?}");
    must!(all.is_sorted_by(|a, b| a.place < b.place), "{all:?}");
    must!(all.iter().all(|o| o.epoch == all[0].epoch), "{all:?}");
    same!(take(&world, 10).await?, jobs(0..3));
    Ok(())
}

async fn a_job_is_taken_once(world: World) -> Verdict {
    world.backend.jobs.offer(POOL, jobs(0..2)).await?;
    same!(take(&world, 1).await?, jobs(0..1));
    same!(take(&world, 10).await?, jobs(1..2));
    let mut third = Box::pin(world.backend.jobs.take(POOL, 10));
    must!(
        futures::poll!(&mut third).is_pending(),
        "a job was taken twice"
    );
    Ok(())
}

async fn a_take_is_bounded(world: World) -> Verdict {
    world.backend.jobs.offer(POOL, jobs(0..5)).await?;
    same!(take(&world, 2).await?, jobs(0..2));
    same!(take(&world, 2).await?, jobs(2..4));
    Ok(())
}

async fn jobs_wake_who_waits(world: World) -> Verdict {
    let port = &world.backend.jobs;
    let mut waits = Box::pin(port.take(POOL, 10));
    must!(futures::poll!(&mut waits).is_pending(), "it did not wait");
    port.offer(POOL, jobs(0..2)).await?;
    same!(soon("the jobs", waits).await??, jobs(0..2));
    Ok(())
}

async fn every_job_wakes_somebody(world: World) -> Verdict {
    let port = &world.backend.jobs;
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(port.take(POOL, 1))).collect();
    for waits in &mut waiting {
        must!(futures::poll!(waits).is_pending(), "it did not wait");
    }
    port.offer(POOL, jobs(0..3)).await?;
    let all = soon("a job for each", futures::future::join_all(waiting)).await?;
    let mut taken: Vec<Job> = Vec::new();
    for some in all {
        taken.extend(some?);
    }
    taken.sort_by_key(|job| job.attempt);
    same!(taken, jobs(0..3));
    Ok(())
}

async fn a_take_that_is_given_up_takes_nothing(world: World) -> Verdict {
    let port = &world.backend.jobs;
    let mut first = Box::pin(port.take(POOL, 1));
    let mut second = Box::pin(port.take(POOL, 1));
    must!(futures::poll!(&mut first).is_pending(), "it did not wait");
    must!(futures::poll!(&mut second).is_pending(), "it did not wait");
    port.offer(POOL, jobs(0..1)).await?;
    drop(first);
    same!(soon("the job", second).await??, jobs(0..1));
    Ok(())
}

async fn a_pool_has_its_own_queue(world: World) -> Verdict {
    let port = &world.backend.jobs;
    port.offer("other", jobs(0..1)).await?;
    port.offer(POOL, jobs(1..2)).await?;
    same!(take(&world, 10).await?, jobs(1..2));
    same!(port.queue("other").await?.length, 1);
    Ok(())
}

async fn a_queue_tells_what_has_left_it(world: World) -> Verdict {
    let port = &world.backend.jobs;
    let offered = port.offer(POOL, jobs(0..3)).await?;
    for (taken, max) in [(0, 2), (2, 1), (3, 0)] {
        let queue = port.queue(POOL).await?;
        let left = offered.iter().filter(|o| o.place < queue.front).count();
        same!((left, queue.length), (taken, 3 - taken as u64));
        must!(offered.iter().all(|o| o.epoch == queue.epoch), "{queue:?}");
        if max > 0 {
            take(&world, max).await?;
        }
    }
    Ok(())
}

async fn a_queue_that_was_lost_is_another(mut world: World) -> Verdict {
    let before = world.backend.jobs.offer(POOL, jobs(0..1)).await?[0];
    world.restart().await;
    let port = &world.backend.jobs;
    let queue = port.queue(POOL).await?;
    must!(
        queue.epoch != before.epoch || queue.length == 1,
        "the job is gone, and the queue is still {}",
        queue.epoch
    );
    let after = port.offer(POOL, jobs(1..2)).await?;
    same!(after[0].epoch, queue.epoch);
    Ok(())
}

fn word(number: u32) -> Word {
    Word::Report {
        attempt: job(number).attempt_key(),
        outcome: Outcome::LookedUpNotDone,
        call: Digest::ZERO,
    }
}

/// Somebody who hears from now on.
async fn ear(world: &World, shard: Shard, max: usize) -> Result<Ear<'_>, Broken> {
    let mut hears: Ear<'_> = Box::pin(world.backend.jobs.hear(shard, max));
    must!(futures::poll!(&mut hears).is_pending(), "it did not wait");
    Ok(hears)
}

type Ear<'a> = Pin<Box<dyn Future<Output = Result<Vec<Heard>, Error>> + Send + 'a>>;

async fn what_is_said_is_heard_and_answered(world: World) -> Verdict {
    let port = &world.backend.jobs;
    let hears = ear(&world, Shard(0), 10).await?;
    let mut said = Box::pin(port.say(Shard(0), word(1)));
    must!(
        futures::poll!(&mut said).is_pending(),
        "nobody has answered yet"
    );
    let heard = soon("the word", hears).await??;
    let answer = Answer::Heard {
        unwanted: vec![job(7).attempt_key()],
    };
    for heard in heard {
        same!(heard.word, word(1));
        must!(
            heard.reply.send(answer.clone()).is_ok(),
            "nobody waits for the answer"
        );
    }
    same!(soon("the answer", said).await??, answer);
    Ok(())
}

async fn words_go_to_their_shard(world: World) -> Verdict {
    let port = &world.backend.jobs;
    // Whoever hears first gets what everybody could hear.
    let mut other = ear(&world, Shard(1), 10).await?;
    let hears = ear(&world, Shard(0), 10).await?;
    let mut said = Box::pin(port.say(Shard(0), word(1)));
    must!(
        futures::poll!(&mut said).is_pending(),
        "nobody has answered yet"
    );
    for hears in [None, Some(hears)] {
        if let Some(hears) = hears {
            same!(soon("the word", hears).await??.len(), 1);
        }
        must!(
            futures::poll!(&mut other).is_pending(),
            "it heard another shard's word"
        );
    }
    Ok(())
}

async fn words_are_heard_in_order(world: World) -> Verdict {
    let port = &world.backend.jobs;
    let first = ear(&world, Shard(0), 3).await?;
    let mut said: Vec<_> = (0..5)
        .map(|n| Box::pin(port.say(Shard(0), word(n))))
        .collect();
    for said in &mut said {
        must!(futures::poll!(said).is_pending(), "nobody has answered yet");
    }
    let mut heard = soon("the words", first).await??;
    must!(heard.len() <= 3, "{} at once", heard.len());
    while heard.len() < 5 {
        let some = soon("the words", port.hear(Shard(0), 3)).await??;
        must!(some.len() <= 3, "{} at once", some.len());
        heard.extend(some);
    }
    let words: Vec<Word> = heard.into_iter().map(|heard| heard.word).collect();
    same!(words, (0..5).map(word).collect::<Vec<_>>());
    Ok(())
}

async fn a_word_that_nobody_answers_is_to_be_said_again(world: World) -> Verdict {
    let port = &world.backend.jobs;
    let hears = ear(&world, Shard(0), 10).await?;
    let mut said = Box::pin(port.say(Shard(0), word(1)));
    must!(
        futures::poll!(&mut said).is_pending(),
        "nobody has answered yet"
    );
    drop(soon("the word", hears).await??);
    refused!(Unavailable, soon("the refusal", said).await?);
    // Where nobody hears at all, it is the same after a while.
    refused!(
        Unavailable,
        soon("the refusal", port.say(Shard(3), word(1))).await?
    );
    Ok(())
}
