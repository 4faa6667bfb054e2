//! The loop: takes jobs, says what it has in hand, lets go, ends in good order.

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use engine::code::Code;
use engine::command::Outcome;
use engine::id::{Nonce, Shard};
use engine::job::{Answer, AttemptKey, Job, Word};
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};
use tracing::{debug, error, info};

use crate::hands::{Changes, Hands, Held, Hold};
use crate::{Shared, attempt, config, failure, metric, report};

/// All that is in hand is said so often; an owner that hears nothing for 10 s takes it for lost.
const IN_HAND_EVERY: Duration = Duration::from_secs(3);
/// What was just taken is said after so long: by then most of it is done, and need not be said at all.
const IN_HAND_SOON: Duration = Duration::from_millis(100);
/// How long an owner is waited for.
const IN_HAND_PATIENCE: Duration = Duration::from_secs(3);
/// How long handing back may take at the end.
const HAND_BACK_PATIENCE: Duration = Duration::from_secs(1);
/// The wait after the queue could not be reached.
const TAKE_AGAIN: Duration = Duration::from_millis(200);

type Told = (Shard, Option<Answer>);

pub(crate) struct Loop {
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    tasks: JoinSet<()>,
    by_task: HashMap<Id, AttemptKey>,
    hands: Hands,
    telling: FuturesUnordered<BoxFuture<'static, Told>>,
    /// When something is said next.
    next: Pin<Box<Sleep>>,
    /// When everything is said again.
    beat: Instant,
}

impl Loop {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(shared.config.slots)),
            tasks: JoinSet::new(),
            by_task: HashMap::new(),
            hands: Hands::new(&shared.place.shards),
            telling: FuturesUnordered::new(),
            next: Box::pin(sleep_until(Instant::now())),
            beat: Instant::now(),
            shared,
        }
    }

    pub(crate) async fn run(mut self) {
        let drain = self.shared.drain.clone();
        let mut draining = pin!(drain.cancelled());
        let mut taking = self.take();
        loop {
            let room = self.tasks.len() < self.shared.config.held_max;
            tokio::select! {
                biased;
                () = &mut draining => break,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                Some(told) = self.telling.next() => self.told(told),
                () = &mut self.next => self.tell(),
                jobs = &mut taking, if room => {
                    jobs.into_iter().for_each(|job| self.begin(job));
                    taking = self.take();
                }
            }
        }
        drop(taking);
        self.drain().await;
    }

    /// Takes as many jobs as slots are free, once there is one of each.
    fn take(&self) -> BoxFuture<'static, Vec<Job>> {
        let (shared, slots) = (Arc::clone(&self.shared), Arc::clone(&self.slots));
        Box::pin(async move {
            loop {
                // Only this loop takes slots, so what is free now stays free until it has taken jobs.
                let free = match slots.acquire().await {
                    Ok(one) => {
                        drop(one);
                        slots.available_permits()
                    }
                    Err(_) => return Vec::new(),
                };
                match shared
                    .ports
                    .jobs
                    .take(shared.config.pool.as_str(), free)
                    .await
                {
                    Ok(jobs) => return jobs,
                    Err(error) => debug!(%error, "the queue of jobs does not answer"),
                }
                sleep(TAKE_AGAIN).await;
            }
        })
    }

    fn begin(&mut self, job: Job) {
        let attempt = job.attempt_key();
        if self.hands.holds(&attempt) {
            return;
        }
        // More jobs than slots were never asked for; what comes too much is left to the owner, who finds it lost.
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return;
        };
        let hold = Hold::new(self.shared.ports.random.nonce());
        let (job, hold) = (Arc::new(job), Arc::new(hold));
        let work = work(
            Arc::clone(&self.shared),
            Arc::clone(&job),
            Arc::clone(&hold),
            slot,
        );
        let task = self.tasks.spawn(work);
        self.by_task.insert(task.id(), attempt.clone());
        self.hands.put(attempt, Held { job, hold, task });
        let soon = Instant::now() + IN_HAND_SOON;
        if soon < self.next.deadline() {
            self.next.as_mut().reset(soon);
        }
    }

    /// A task ended: done, dropped, or by a fault of ours.
    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let (id, fault) = match ended {
            Ok((id, ())) => (id, false),
            Err(error) => (error.id(), error.is_panic()),
        };
        let Some(attempt) = self.by_task.remove(&id) else {
            return;
        };
        let Some(held) = self.hands.remove(&attempt) else {
            return;
        };
        if fault {
            error!(run = %attempt.key.run, step = held.job.name, "a job panicked");
            let outcome = after_panic(&held);
            self.deliver(held, outcome);
        }
    }

    /// Reports for a job whose own task is gone.
    fn deliver(&mut self, held: Held, outcome: Outcome) {
        let attempt = held.job.attempt_key();
        let (shared, job, hold) = (Arc::clone(&self.shared), held.job, held.hold);
        hold.tell();
        let (telling, nonce) = (Arc::clone(&job), hold.nonce);
        let task = self
            .tasks
            .spawn(async move { deliver(&shared, &telling, nonce, outcome).await });
        self.by_task.insert(task.id(), attempt.clone());
        self.hands.put(attempt, Held { job, hold, task });
    }

    /// Tells the owners what is in hand.
    fn tell(&mut self) {
        let now = Instant::now();
        if self.beat <= now {
            self.beat = now + IN_HAND_EVERY;
            self.hands.all_due();
        }
        self.next.as_mut().reset(self.beat);
        let free_slots = u32::try_from(self.slots.available_permits()).unwrap_or(u32::MAX);
        let draining = self.shared.drain.is_cancelled();
        for (shard, attempts) in self.hands.take_due() {
            let shared = Arc::clone(&self.shared);
            let word = Word::InHand {
                worker: self.shared.place.name.clone(),
                attempts,
                free_slots: if draining { 0 } else { free_slots },
                pool: self.shared.config.pool.clone(),
            };
            self.telling.push(Box::pin(async move {
                let answer = timeout(IN_HAND_PATIENCE, shared.ports.jobs.say(shard, word)).await;
                (shard, answer.ok().and_then(Result::ok))
            }));
        }
    }

    fn told(&mut self, (shard, answer): Told) {
        self.hands.told(shard);
        match answer {
            Some(Answer::Heard { unwanted }) => self.hands.drop_unwanted(&unwanted),
            Some(Answer::Granted { .. } | Answer::Denied { .. } | Answer::Question { .. })
            | None => {}
        }
    }

    /// Finishes what ends in time, hands back what does not, waits for every change that may have been granted.
    async fn drain(mut self) {
        info!(in_hand = self.tasks.len(), "stopping");
        let mut grace = pin!(sleep(config::time(self.shared.config.drain)));
        let mut handed_back = false;
        while !self.tasks.is_empty() {
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
                Some(told) = self.telling.next() => self.told(told),
                () = &mut self.next => self.tell(),
                () = &mut grace, if !handed_back => {
                    handed_back = true;
                    self.hand_back().await;
                }
            }
        }
    }

    /// Cuts what may be cut, and says so: somebody else does it then.
    async fn hand_back(&mut self) {
        let cut = |held: &Held| !held.job.changes() || held.hold.is_loose();
        let mut telling = JoinSet::new();
        for (_, held) in self.hands.all().filter(|(_, held)| cut(held)) {
            held.task.abort();
            if held.hold.is_loose() {
                let (shared, job) = (Arc::clone(&self.shared), Arc::clone(&held.job));
                let (reason, nonce) = ("the worker is stopping".to_owned(), held.hold.nonce);
                telling.spawn(async move {
                    deliver(&shared, &job, nonce, Outcome::NotCalled { reason }).await
                });
            }
        }
        info!(jobs = telling.len(), "handing back");
        // What is not heard in time is found lost by its owner, which costs 10 s and nothing else.
        let _ = timeout(HAND_BACK_PATIENCE, telling.join_all()).await;
    }
}

/// Does one job and tells the outcome. The slot is free as soon as the call is over.
async fn work(shared: Arc<Shared>, job: Arc<Job>, hold: Arc<Hold>, slot: OwnedSemaphorePermit) {
    let measured = metric::Job::begin(&job);
    let outcome = Box::pin(attempt::perform(&shared, &job, &hold)).await;
    drop(slot);
    measured.end(outcome.as_ref());
    if let Some(outcome) = outcome {
        hold.tell();
        deliver(&shared, &job, hold.nonce, outcome).await;
    }
}

async fn deliver(shared: &Shared, job: &Job, nonce: Nonce, outcome: Outcome) {
    if job.changes() {
        report::send(shared, job, nonce, outcome).await;
    } else {
        report::say(shared, job, outcome).await;
    }
}

/// What is known of an attempt whose task panicked.
fn after_panic(held: &Held) -> Outcome {
    let reason = "a fault in the worker ended this attempt; its log has the place".to_owned();
    if held.job.changes() && !held.hold.is_loose() {
        let plugin_dead = false;
        return Outcome::Unknown {
            reason,
            plugin_dead,
        };
    }
    let failure = failure::made(Code::Internal, reason);
    Outcome::Failed { failure }
}
