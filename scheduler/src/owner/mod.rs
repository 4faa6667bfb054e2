//! The owner of shards: receive many, decide all, append, pay.
//!
//! One loop, one task, one thing at a time with each run, and nothing shared. Whatever takes time is a future among
//! [`Owner::inputs`]; what it answers is an [`Input`], and each kind of input has one method that takes it. After a
//! round of inputs comes one [`Owner::turn`]: timers, the failure detector, decisions, offers.
//!
//! There is no recovery beside this. What a crash leaves is found by `load`: what is due is due at once, what is owed is
//! owed again.

mod check;
mod decide;
mod fetch;
mod hear;
mod input;
mod load;
mod offer;
mod pay;
#[cfg(test)]
mod sample;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use engine::id::{RunKey, Shard};
use engine::job::{AttemptKey, Job};
use engine::pool::Pool;
use engine::registry::Kind;
use engine::time::Timestamp;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use store::Backend;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use self::input::{Input, Waiting};
use crate::Error;
use crate::config::{Config, Place, Start};
use crate::desk::Desks;
use crate::detector::{Detector, LOST_AFTER};
use crate::facts::{Known, LIVE};
use crate::figures::Shown;
use crate::mail::Mail;
use crate::pools::Pools;
use crate::slots::{Doing, Slots};
use crate::timers::Timers;
use crate::unwanted::Unwanted;

/// No sleep is longer: a clock that jumps is noticed by then.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// The failure detector looks so often, while there is something to look after.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many inputs are taken before a turn.
const INPUTS_MAX: usize = 512;
/// So many runs are decided in a turn; the next one comes at once.
const DECIDED_MAX: usize = 256;
/// Runs that are due are woken while fewer commands than this wait to be decided.
const WAKES_MAX: usize = 1_024;
/// When it is told to stop, the owner waits so long for what it is appending.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How far the owner has followed a shard.
#[derive(Clone, Copy, Debug, Default)]
struct Followed {
    new_runs: u64,
    inbox: u64,
    /// Faults in a row of each source: new runs, inbox, words.
    faults: [u32; 3],
}

/// A source that nothing is taken from while too much waits.
#[derive(Clone, Copy, Debug)]
enum Source {
    NewRuns(Shard),
    Inbox(Shard),
}

/// The owner of shards.
pub(crate) struct Owner {
    backend: Arc<Backend>,
    config: Config,
    place: Place,
    /// When it began, by its own clock.
    began: Timestamp,
    slots: Slots,
    timers: Timers,
    detector: Detector,
    desks: Desks,
    pools: Pools,
    known: Known,
    inputs: FuturesUnordered<Waiting>,
    followed: BTreeMap<Shard, Followed>,
    /// The last change of each kind of thing in the registry that was seen.
    registry_seen: BTreeMap<Kind, u64>,
    held_back: Vec<Source>,
    /// Runs with mail that nothing is being done with.
    ready: VecDeque<RunKey>,
    /// Mails that wait to be decided, in all runs.
    waiting: usize,
    /// Runs whose records are being appended.
    writing: usize,
    /// Jobs to be offered in this turn.
    offering: BTreeMap<Pool, Vec<Job>>,
    /// An attempt whose turn it was has been sent to another pool.
    sent_on: bool,
    offer_faults: u32,
    /// Nothing is offered before: the owner listens first, or the queue did not answer.
    offers_from: Instant,
    /// Messages to be settled in this turn.
    settling: BTreeMap<Shard, Vec<u64>>,
    /// Runs that owed something when their shard was loaded and have not been looked at.
    inherited: BTreeSet<RunKey>,
    /// Attempts in workers' hands that are not known yet: their runs are on the way.
    hands: BTreeMap<AttemptKey, Instant>,
    unwanted: Unwanted,
    damaged: BTreeMap<RunKey, String>,
    looks_at: Instant,
    /// The pools whose queue is being asked.
    asks_queue: BTreeSet<Pool>,
    shown: Shown,
}

impl Owner {
    pub(crate) fn new(config: Config, place: Place, backend: Arc<Backend>) -> Self {
        let now = Instant::now();
        let offers_from = match place.start {
            Start::Alone => now,
            Start::Listening => now + LOST_AFTER,
        };
        let desks = Desks::new(place.shards.len(), usize::from(place.of));
        Self {
            slots: Slots::new(config.runs_max, config.bytes_max),
            began: backend.clock.now(),
            backend,
            config,
            place,
            timers: Timers::default(),
            detector: Detector::default(),
            desks,
            pools: Pools::default(),
            known: Known::default(),
            inputs: FuturesUnordered::new(),
            followed: BTreeMap::new(),
            registry_seen: BTreeMap::new(),
            held_back: Vec::new(),
            ready: VecDeque::new(),
            waiting: 0,
            writing: 0,
            offering: BTreeMap::new(),
            sent_on: false,
            offer_faults: 0,
            offers_from,
            settling: BTreeMap::new(),
            inherited: BTreeSet::new(),
            hands: BTreeMap::new(),
            unwanted: Unwanted::default(),
            damaged: BTreeMap::new(),
            looks_at: now,
            asks_queue: BTreeSet::new(),
            shown: Shown::default(),
        }
    }

    /// Owns the shards until it is told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), Error> {
        // What is owed can only be offered once it is known where agents are: then the shards are opened.
        self.wait_for(input::agents(self.backend.clone(), None, 0));
        for kind in LIVE {
            self.wait_for(input::changed(self.backend.clone(), kind, 0, 0));
        }
        loop {
            let wake_at = self.wake_at();
            tokio::select! { biased;
                () = stop.cancelled() => break,
                Some(input) = self.inputs.next() => self.take(input)?,
                () = sleep_until(wake_at) => {}
            }
            self.take_what_is_there()?;
            self.turn();
        }
        self.finish().await;
        Ok(())
    }

    fn open_all(&mut self) {
        for shard in self.place.shards.clone() {
            self.open(shard, 0);
        }
    }

    fn take_what_is_there(&mut self) -> Result<(), Error> {
        for _ in 0..INPUTS_MAX {
            let Some(Some(input)) = self.inputs.next().now_or_never() else {
                break;
            };
            self.take(input)?;
        }
        Ok(())
    }

    /// Takes one input.
    fn take(&mut self, input: Input) -> Result<(), Error> {
        match input {
            Input::Opened(shard, runs) => self.opened(shard, runs),
            Input::NewRuns(shard, runs) => self.new_runs(shard, runs),
            Input::Inbox(shard, messages) => self.messages(shard, messages),
            Input::Heard(shard, words) => self.heard(shard, words),
            Input::Loaded(key, entries) => self.loaded(&key, entries),
            Input::Checked(key, entries) => self.checked(&key, entries),
            Input::Fetched(key, of, found) => self.fetched(&key, of, found),
            Input::Written(key, stored) => self.written(&key, stored),
            Input::Offered(pool, attempts, offered) => self.offered(&pool, &attempts, offered),
            Input::Queue(pool, queue) => self.queue_seen(&pool, queue),
            Input::Agents(news) => self.agents_seen(news),
            Input::Changed(kind, changes) => self.registry_changed(kind, changes),
            Input::Rested(key) => self.rested(&key),
            Input::Done => Ok(()),
        }
    }

    /// What is to be done by itself, after each round of inputs.
    fn turn(&mut self) {
        self.wake_due();
        self.look_after();
        for _ in 0..DECIDED_MAX {
            let Some(key) = self.ready.pop_front() else {
                break;
            };
            self.drive(&key);
        }
        self.pump();
        self.settle();
        self.take_on_again();
        self.slots.trim();
        self.show();
    }

    /// When there is something to do even if nothing happens.
    fn wake_at(&self) -> Instant {
        let now = Instant::now();
        if !self.ready.is_empty() {
            return now;
        }
        let mut at = now + SLEEP_MAX;
        if !self.detector.is_idle() {
            at = at.min(self.looks_at);
        }
        if self.offers_from > now && !self.detector.behind().is_empty() {
            at = at.min(self.offers_from);
        }
        if self.waiting < WAKES_MAX
            && let Some(due) = self.timers.next()
        {
            let ms = due.millis_since(self.backend.clock.now());
            at = at.min(now + Duration::from_millis(ms).min(SLEEP_MAX));
        }
        at
    }

    fn wait_for(&self, waiting: Waiting) {
        self.inputs.push(waiting);
    }

    /// Puts something to do into a run's mail.
    fn post(&mut self, key: &RunKey, mail: Mail) {
        self.waiting += 1;
        if self.damaged.contains_key(key) {
            self.refuse_damaged(key, mail);
            return;
        }
        let slot = self.slots.entry(key);
        slot.mail.push_back(mail);
        self.make_ready(key);
    }

    /// The run is looked at in this turn, if nothing is being done with it.
    fn make_ready(&mut self, key: &RunKey) {
        if let Some(slot) = self.slots.get_mut(key)
            && slot.doing == Doing::Nothing
            && !slot.ready
        {
            slot.ready = true;
            self.ready.push_back(key.clone());
        }
    }

    /// Takes on again what was held back.
    fn take_on_again(&mut self) {
        if self.waiting >= self.config.waiting_max {
            return;
        }
        for source in std::mem::take(&mut self.held_back) {
            match source {
                Source::NewRuns(shard) => self.follow_new_runs(shard),
                Source::Inbox(shard) => self.follow_inbox(shard),
            }
        }
    }

    fn show(&mut self) {
        let memory = (self.slots.len(), self.timers.len());
        self.shown.show(self.detector.counts(), memory);
    }

    /// Waits for what is being appended, and answers it. What is not finished in time is found by the next owner.
    async fn finish(&mut self) {
        let until = Instant::now() + STOP_WITHIN;
        while self.writing > 0 {
            tokio::select! { biased;
                () = sleep_until(until) => return,
                input = self.inputs.next() => match input {
                    Some(Input::Written(key, stored)) => {
                        if self.written(&key, stored).is_err() {
                            return;
                        }
                    }
                    Some(_) => {}
                    None => return,
                },
            }
        }
        for (shard, sequences) in std::mem::take(&mut self.settling) {
            // What is not settled is decided once more by the next owner, to no events.
            if let Err(error) = self.backend.inbox.settle(shard, &sequences).await {
                tracing::debug!(%error, "the inbox was not settled before the end");
            }
        }
    }
}
