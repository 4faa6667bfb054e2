//! The ground of a simulation: the real embedded store, with the judge standing at it.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use engine::event::Event;
use engine::id::{RunKey, Shard};
use engine::job::{Answer, Job, Word};
use engine::principal::{Principal, Role};
use engine::record::Encoded;
use engine::registry::{ApiKey, Kind, SavedHook, decode, name_of};
use futures::FutureExt;
use store::clock::{Clock, Random};
use store::embedded::{Embedded, Handle, Kept, Options, Place};
use store::port::{Change, Entry, Expect, Heard, Item, Message, NewRun, Offered, OpenRuns, Queue};
use store::{Backend, Error, Inbox, Jobs, Journal, Memory, Registry};
use tokio::sync::Notify;

use crate::exchange::Exchange;
use crate::judge::{Judge, Moment};
use crate::roles::SHARDS;
use crate::time::{SimClock, SimRandom};
use crate::trace::Trace;

/// The store of a simulation, in memory.
pub(crate) struct Ground {
    judge: Arc<Judge>,
    trace: Arc<Trace>,
    clock: Arc<SimClock>,
    random: Arc<SimRandom>,
    bells: Arc<Bells>,
    jobs: Arc<Exchange<dyn Jobs>>,
    memory: Arc<Exchange<dyn Memory>>,
    /// What the memory was before it was lost.
    old_memory: Mutex<Option<Arc<dyn Memory>>>,
    damaged: Damaged,
    open: Mutex<(Backend, Option<Handle>)>,
}

impl Ground {
    pub(crate) fn new(
        judge: Arc<Judge>,
        trace: Arc<Trace>,
        clock: Arc<SimClock>,
        random: Arc<SimRandom>,
    ) -> Self {
        let options = options(&clock, &random);
        let (backend, handle) = Embedded::inline(Place::Memory, options).expect("memory is free");
        Self {
            judge,
            trace,
            bells: Arc::default(),
            jobs: Exchange::new(backend.jobs.clone()),
            memory: Exchange::new(backend.memory.clone()),
            old_memory: Mutex::default(),
            damaged: Damaged::default(),
            clock,
            random,
            open: Mutex::new((backend, Some(handle))),
        }
    }

    /// The ports, seen by the judge.
    pub(crate) fn backend(&self) -> Backend {
        let open = self.open.lock().expect("nobody panics with it");
        let inner = open.0.clone();
        let (judge, clock, bells) = (&self.judge, &self.clock, &self.bells);
        Backend {
            journal: Arc::new(SeenJournal {
                inner: inner.journal.clone(),
                damaged: self.damaged.clone(),
                judge: judge.clone(),
                trace: self.trace.clone(),
                clock: clock.clone(),
                bells: bells.clone(),
            }),
            inbox: Arc::new(SeenInbox {
                inner: inner.inbox.clone(),
                bells: bells.clone(),
            }),
            registry: Arc::new(SeenRegistry {
                inner: inner.registry.clone(),
                judge: judge.clone(),
                clock: clock.clone(),
                bells: bells.clone(),
            }),
            jobs: Arc::new(SeenJobs {
                inner: self.jobs.clone(),
                judge: judge.clone(),
                clock: clock.clone(),
            }),
            memory: self.memory.clone(),
            ..inner
        }
    }

    /// Stops the store as a crash of its process would, and opens it again: what may be lost is lost.
    pub(crate) fn restart(&self) {
        let mut open = self.open.lock().expect("nobody panics with it");
        let handle = open.1.take().expect("it is put back below");
        let options = options(&self.clock, &self.random);
        let (backend, handle) = handle
            .restart(options)
            .expect("what was stored opens again");
        self.jobs.put(backend.jobs.clone());
        self.memory.put(backend.memory.clone());
        *open = (backend, Some(handle));
    }

    /// What a backup of this moment holds.
    pub(crate) fn keep(&self) -> Kept {
        let open = self.open.lock().expect("nobody panics with it");
        let handle = open.1.as_ref().expect("it is only taken to be put back");
        handle.keep().expect("memory is free")
    }

    /// The store is lost. What is there now is what the backup holds, in which the records of these runs are damaged.
    pub(crate) fn restore(&self, kept: Kept, damaged: BTreeSet<RunKey>) {
        let mut open = self.open.lock().expect("nobody panics with it");
        open.1.take().expect("it is put back below").close();
        let options = options(&self.clock, &self.random);
        let again = kept.restore(options).expect("what was kept opens");
        self.jobs.put(again.backend.jobs.clone());
        self.memory.put(again.backend.memory.clone());
        *self.damaged.lock() = damaged;
        *open = (again.backend, Some(again.handle));
    }

    /// The queues are lost, and nothing else.
    pub(crate) fn lose_jobs(&self) {
        self.jobs.put(self.emptied().0);
    }

    /// Checkpoints are lost, and nothing else.
    pub(crate) fn lose_memory(&self) {
        let mut old = self.old_memory.lock().expect("nobody panics with it");
        *old = Some(self.memory.get());
        self.memory.put(self.emptied().1);
    }

    /// What was lost is back, and what came after it is gone.
    pub(crate) fn rewind_memory(&self) {
        let old = self
            .old_memory
            .lock()
            .expect("nobody panics with it")
            .take();
        if let Some(old) = old {
            self.memory.put(old);
        }
    }

    /// From now on the records of a run do not fit their checksums.
    pub(crate) fn damage(&self, key: &RunKey) {
        self.damaged.lock().insert(key.clone());
    }

    fn emptied(&self) -> (Arc<dyn Jobs>, Arc<dyn Memory>) {
        let open = self.open.lock().expect("nobody panics with it");
        let handle = open.1.as_ref().expect("it is only taken to be put back");
        handle.emptied()
    }
}

fn options(clock: &Arc<SimClock>, random: &Arc<SimRandom>) -> Options {
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (clock.clone(), random.clone());
    let fatal = Arc::new(|why: &str| panic!("the store ends the process: {why}"));
    Options {
        fatal,
        ..Options::new(clock, random)
    }
}

/// Wakes those who wait for the store, in the order in which they began to, and nobody else. (The store's own way wakes
/// them in an order that the runtime draws by lot.)
#[derive(Default)]
struct Bells {
    new_runs: [Bell; SHARDS as usize],
    inbox: [Bell; SHARDS as usize],
    registry: Bell,
}

#[derive(Default)]
struct Bell(Notify);

impl Bell {
    fn ring(&self) {
        self.0.notify_waiters();
    }

    /// Asks, now and whenever the bell rings, until there is an answer.
    async fn until<T>(
        &self,
        mut ask: impl FnMut() -> futures::future::BoxFuture<'static, Result<T, Error>>,
    ) -> Result<T, Error> {
        loop {
            let rung = self.0.notified();
            if let Some(answer) = ask().now_or_never() {
                return answer;
            }
            rung.await;
        }
    }
}

fn place(shard: Shard) -> usize {
    usize::from(shard.0)
}

/// Runs whose stored records are damaged.
#[derive(Clone, Default)]
struct Damaged(Arc<Mutex<BTreeSet<RunKey>>>);

impl Damaged {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<RunKey>> {
        self.0.lock().expect("nobody panics with it")
    }

    fn check(&self, key: &RunKey) -> Result<(), Error> {
        match self.what(key) {
            Some(what) => Err(Error::Corrupt(what)),
            None => Ok(()),
        }
    }

    fn what(&self, key: &RunKey) -> Option<String> {
        let is_damaged = self.lock().contains(key);
        is_damaged.then(|| format!("the checksum of run {} does not fit", key.run))
    }
}

/// Tells the judge what is stored.
struct SeenJournal {
    inner: Arc<dyn Journal>,
    damaged: Damaged,
    judge: Arc<Judge>,
    trace: Arc<Trace>,
    clock: Arc<SimClock>,
    bells: Arc<Bells>,
}

#[async_trait]
impl Journal for SeenJournal {
    async fn append(&self, record: &Encoded, events: &[Event]) -> Result<(), Error> {
        self.damaged.check(&record.key)?;
        self.inner.append(record, events).await?;
        let (run, n, cause) = (record.key.run, record.n, &record.cause.command);
        let names = events.iter().map(name_of_event);
        let names: Vec<String> = names.collect();
        self.trace.note(
            self.clock.elapsed_ms(),
            format_args!("stored {run} {n} for {cause}: {}", names.join(", ")),
        );
        self.judge.appended(self.clock.now(), record, events);
        if record.n == 1 {
            self.bells.new_runs[place(run.shard())].ring();
        }
        Ok(())
    }

    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error> {
        self.damaged.check(key)?;
        self.inner.read(key, after).await
    }

    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error> {
        let mut open = self.inner.open_runs(shard).await?;
        for run in &mut open.runs {
            if let Some(what) = self.damaged.what(&run.key) {
                run.summary = Err(what);
            }
        }
        Ok(open)
    }

    async fn new_runs(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<NewRun>, Error> {
        let ask = || {
            let inner = self.inner.clone();
            async move { inner.new_runs(shard, sequence, max).await }.boxed()
        };
        self.bells.new_runs[place(shard)].until(ask).await
    }
}

/// Wakes who waits for commands.
struct SeenInbox {
    inner: Arc<dyn Inbox>,
    bells: Arc<Bells>,
}

#[async_trait]
impl Inbox for SeenInbox {
    async fn send(&self, shard: Shard, message: &Message) -> Result<(), Error> {
        self.inner.send(shard, message).await?;
        self.bells.inbox[place(shard)].ring();
        Ok(())
    }

    async fn receive(
        &self,
        shard: Shard,
        sequence: u64,
        max: usize,
    ) -> Result<Vec<(u64, Message)>, Error> {
        let ask = || {
            let inner = self.inner.clone();
            async move { inner.receive(shard, sequence, max).await }.boxed()
        };
        self.bells.inbox[place(shard)].until(ask).await
    }

    async fn settle(&self, shard: Shard, sequences: &[u64]) -> Result<(), Error> {
        self.inner.settle(shard, sequences).await
    }
}

/// Takes no more than the beginning of a text: what follows is not even formatted.
struct Beginning(String);

impl fmt::Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() > 100 {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

/// The name of an event and the step that it is about.
fn name_of_event(event: &Event) -> String {
    let mut text = Beginning(String::new());
    // It ends with an error when it has enough.
    let _ = write!(text, "{event:?}");
    let text = text.0;
    let name = text.split([' ', '(']).next().unwrap_or_default();
    let step = text
        .split_once("step: StepNo(")
        .and_then(|(_, rest)| rest.split(')').next());
    step.map_or_else(|| name.to_owned(), |step| format!("{name} {step}"))
}

/// Whose role an item of the registry tells; `None`: they have none.
fn standing(key: &str, value: &[u8]) -> Result<Option<(Principal, Option<Role>)>, Error> {
    let name = name_of(key).to_owned();
    if key.starts_with(&Kind::ApiKeys.prefix()) {
        let saved: ApiKey = decode(value).map_err(Error::Corrupt)?;
        let role = saved.is_active().then_some(saved.role);
        return Ok(Some((Principal::Key(name), role)));
    }
    if key.starts_with(&Kind::Hooks.prefix()) {
        let saved: SavedHook = decode(value).map_err(Error::Corrupt)?;
        return Ok(Some((Principal::Hook(name), Some(saved.hook.role))));
    }
    Ok(None)
}

/// Tells the judge who may do what.
struct SeenRegistry {
    inner: Arc<dyn Registry>,
    judge: Arc<Judge>,
    clock: Arc<SimClock>,
    bells: Arc<Bells>,
}

#[async_trait]
impl Registry for SeenRegistry {
    async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        self.inner.get(key).await
    }

    async fn list(&self, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Error> {
        self.inner.list(prefix, after, max).await
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, Error> {
        let revision = self.inner.put(key, value, expect).await?;
        if let Some((who, role)) = standing(key, value)? {
            let moment = Moment::Role { who: &who, role };
            self.judge.see(self.clock.now(), &moment);
        }
        self.bells.registry.ring();
        Ok(revision)
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), Error> {
        self.inner.delete(key, revision).await
    }

    async fn watch(&self, prefix: &str, revision: u64) -> Result<Vec<Change>, Error> {
        let ask = || {
            let (inner, prefix) = (self.inner.clone(), prefix.to_owned());
            async move { inner.watch(&prefix, revision).await }.boxed()
        };
        self.bells.registry.until(ask).await
    }
}

/// Tells the judge who asks for leave, and who gets it.
struct SeenJobs {
    inner: Arc<Exchange<dyn Jobs>>,
    judge: Arc<Judge>,
    clock: Arc<SimClock>,
}

#[async_trait]
impl Jobs for SeenJobs {
    async fn offer(&self, pool: &str, jobs: Vec<Job>) -> Result<Vec<Offered>, Error> {
        self.inner.offer(pool, jobs).await
    }

    async fn take(&self, pool: &str, max: usize) -> Result<Vec<Job>, Error> {
        self.inner.take(pool, max).await
    }

    async fn queue(&self, pool: &str) -> Result<Queue, Error> {
        self.inner.queue(pool).await
    }

    async fn say(&self, shard: Shard, word: Word) -> Result<Answer, Error> {
        let asked = match &word {
            Word::Begin { attempt, nonce, .. } => Some((attempt.clone(), *nonce)),
            Word::InHand { .. } | Word::Report { .. } | Word::Ask { .. } => None,
        };
        let question = match &word {
            Word::Ask { attempt, words, .. } => Some((attempt.clone(), words.digest())),
            Word::InHand { .. } | Word::Report { .. } | Word::Begin { .. } => None,
        };
        if let Some((attempt, nonce)) = &asked {
            let nonce = *nonce;
            self.judge
                .see(self.clock.now(), &Moment::Asked { attempt, nonce });
        }
        let answer = self.inner.say(shard, word).await?;
        if let (Some((attempt, nonce)), Answer::Granted { .. }) = (&asked, &answer) {
            let nonce = *nonce;
            self.judge
                .see(self.clock.now(), &Moment::Granted { attempt, nonce });
        }
        if let (Some((attempt, said)), Answer::Question { state, .. }) = (&question, &answer) {
            let (said, state) = (*said, *state);
            let told = Moment::Told {
                attempt,
                said,
                state,
            };
            self.judge.see(self.clock.now(), &told);
        }
        Ok(answer)
    }

    async fn hear(&self, shard: Shard, max: usize) -> Result<Vec<Heard>, Error> {
        self.inner.hear(shard, max).await
    }
}
