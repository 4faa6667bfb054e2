//! A worker over an inline store, on paused time; the test is the owner and the plugins.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::command::{Command, Outcome};
use engine::id::{Nonce, Shard};
use engine::job::{Answer, AttemptKey, Job, Word};
use engine::registry::{self, AgentConfig, Kind};
use engine::time::Timestamp;
use store::Backend;
use store::clock::{Clock, SystemRandom};
use store::embedded::{Embedded, Handle, Options, Place};
use store::port::{Expect, Heard};
use store::seal::{RootKey, Seal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use worker::{Config, Worker};

use crate::jobs::{self, NOW};
use crate::puppet::{Called, Puppet};

/// Nothing here takes longer than that; paused time makes it short.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Bench {
    pub(crate) backend: Backend,
    pub(crate) drain: CancellationToken,
    pub(crate) worker: JoinSet<()>,
    pub(crate) unwanted: Arc<Mutex<BTreeSet<AttemptKey>>>,
    pub(crate) in_hand: mpsc::UnboundedReceiver<(Shard, Vec<AttemptKey>, u32)>,
    pub(crate) begins: mpsc::UnboundedReceiver<Begin>,
    pub(crate) reports: mpsc::UnboundedReceiver<Report>,
    pub(crate) calls: mpsc::UnboundedReceiver<Called>,
    pub(crate) puppet: Arc<Puppet>,
    _owner: JoinSet<()>,
    _handle: Handle,
}

/// A worker asked for a grant. Dropping it answers nothing.
pub(crate) struct Begin {
    pub(crate) attempt: AttemptKey,
    pub(crate) nonce: Nonce,
    reply: oneshot::Sender<Answer>,
}

/// A worker reported. Dropping it answers nothing.
pub(crate) struct Report {
    pub(crate) attempt: AttemptKey,
    pub(crate) outcome: Outcome,
    reply: oneshot::Sender<Answer>,
}

impl Begin {
    pub(crate) fn grant(self, start_by_ms: u64) {
        let start_by = Timestamp::from_millis(NOW + start_by_ms);
        // A worker that does not wait any more asks again.
        let _ = self.reply.send(Answer::Granted { start_by });
    }

    pub(crate) fn deny(self) {
        let reason = "not now, not ever".to_owned();
        let _ = self.reply.send(Answer::Denied { reason });
    }
}

impl Report {
    pub(crate) fn confirm(self) -> Outcome {
        let _ = self.reply.send(Answer::Heard {
            unwanted: Vec::new(),
        });
        self.outcome
    }
}

/// The paused time, from [`NOW`] on.
struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.0.elapsed().as_millis()).expect("a short test");
        Timestamp::from_millis(NOW + passed)
    }
}

pub(crate) fn seal() -> Seal {
    Seal::new(&RootKey::new([7; 32]))
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let clock = Arc::new(TestClock(Instant::now()));
        let options = Options::new(clock, Arc::new(SystemRandom));
        let (backend, handle) = Embedded::inline(Place::Memory, options).expect("an empty store");
        for pinned in jobs::pinned() {
            let key = registry::def_key(&jobs::tenant(), pinned.digest());
            let put = backend
                .registry
                .put(&key, &pinned.bytes(), Expect::Absent)
                .await;
            put.expect("an empty registry");
        }
        let settings = AgentConfig {
            revision: 3,
            ..AgentConfig::default()
        };
        let key = Kind::AgentConfig.key(&jobs::tenant(), "demo");
        let put = backend
            .registry
            .put(&key, &registry::encode(&settings), Expect::Absent)
            .await;
        put.expect("an empty registry");
        let (puppet, calls) = Puppet::new();
        let place = worker::Place {
            name: "w1".to_owned(),
            shards: vec![Shard(0), Shard(1)],
        };
        let drain = CancellationToken::new();
        let mut worker = JoinSet::new();
        let made = Worker::new(config, place, backend.clone(), seal(), puppet.clone());
        worker.spawn(made.run(drain.clone()));
        let (ears, owner) = Ears::open(&backend);
        Self {
            backend,
            drain,
            worker,
            unwanted: ears.unwanted,
            in_hand: ears.in_hand,
            begins: ears.begins,
            reports: ears.reports,
            calls,
            puppet,
            _owner: owner,
            _handle: handle,
        }
    }

    pub(crate) async fn offer(&self, job: Job) {
        self.backend
            .jobs
            .offer("default", vec![job])
            .await
            .expect("an open queue");
    }

    pub(crate) async fn called(&mut self) -> Called {
        within(self.calls.recv())
            .await
            .expect("a worker that lives")
    }

    pub(crate) async fn asked(&mut self) -> Begin {
        within(self.begins.recv())
            .await
            .expect("a worker that lives")
    }

    pub(crate) async fn reported(&mut self) -> Report {
        within(self.reports.recv())
            .await
            .expect("a worker that lives")
    }

    /// What a READ became of.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        self.reported().await.confirm()
    }

    /// What a change became of, and the id it was sent under.
    pub(crate) async fn durable(&self) -> (Nonce, Outcome) {
        let received = within(self.backend.inbox.receive(Shard(0), 0, 10)).await;
        let mut messages = received.expect("an open store");
        assert_eq!(messages.len(), 1, "one report");
        let (_, message) = messages.remove(0);
        let command = minicbor::decode(&message.body).expect("a command");
        let Command::Report { outcome, .. } = command else {
            panic!("no report, but {command:?}")
        };
        (message.id, outcome)
    }

    /// Waits until the owner of the shard is told, and what.
    pub(crate) async fn in_hand(&mut self, shard: Shard) -> (Vec<AttemptKey>, u32) {
        loop {
            let (of, attempts, free) = within(self.in_hand.recv())
                .await
                .expect("a worker that lives");
            if of == shard {
                return (attempts, free);
            }
        }
    }

    /// Nothing happens that a test could see, for so long.
    pub(crate) async fn quiet(&mut self, time: Duration) {
        tokio::select! {
            biased;
            _ = self.calls.recv() => panic!("a call"),
            _ = self.begins.recv() => panic!("a question for a grant"),
            report = self.reports.recv() => panic!("a report: {:?}", report.map(|r| r.outcome)),
            sent = self.backend.inbox.receive(Shard(0), 0, 1) => panic!("a durable report: {sent:?}"),
            () = tokio::time::sleep(time) => {}
        }
    }

    /// Asks the worker to stop, and waits until it has.
    pub(crate) async fn stopped(&mut self) {
        self.drain.cancel();
        within(self.worker.join_next())
            .await
            .expect("one worker")
            .expect("no panic");
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it does not happen")
}

/// What the owner of shards 0 and 1 hears, sorted.
pub(crate) struct Ears {
    pub(crate) unwanted: Arc<Mutex<BTreeSet<AttemptKey>>>,
    pub(crate) in_hand: mpsc::UnboundedReceiver<(Shard, Vec<AttemptKey>, u32)>,
    pub(crate) begins: mpsc::UnboundedReceiver<Begin>,
    pub(crate) reports: mpsc::UnboundedReceiver<Report>,
}

#[derive(Clone)]
struct Sorted {
    unwanted: Arc<Mutex<BTreeSet<AttemptKey>>>,
    in_hand: mpsc::UnboundedSender<(Shard, Vec<AttemptKey>, u32)>,
    begins: mpsc::UnboundedSender<Begin>,
    reports: mpsc::UnboundedSender<Report>,
}

impl Ears {
    pub(crate) fn open(backend: &Backend) -> (Self, JoinSet<()>) {
        let (in_hand, hear_in_hand) = mpsc::unbounded_channel();
        let (begins, hear_begins) = mpsc::unbounded_channel();
        let (reports, hear_reports) = mpsc::unbounded_channel();
        let unwanted = Arc::default();
        let sorted = Sorted {
            unwanted: Arc::clone(&unwanted),
            in_hand,
            begins,
            reports,
        };
        let mut owner = JoinSet::new();
        for shard in [Shard(0), Shard(1)] {
            let (jobs, sorted) = (Arc::clone(&backend.jobs), sorted.clone());
            owner.spawn(async move {
                while let Ok(heard) = jobs.hear(shard, 100).await {
                    heard
                        .into_iter()
                        .for_each(|heard| sorted.sort(shard, heard));
                }
            });
        }
        let ears = Self {
            unwanted,
            in_hand: hear_in_hand,
            begins: hear_begins,
            reports: hear_reports,
        };
        (ears, owner)
    }
}

impl Sorted {
    fn sort(&self, shard: Shard, Heard { word, reply }: Heard) {
        // A test that has ended hears no more.
        match word {
            Word::InHand {
                attempts,
                free_slots,
                ..
            } => {
                let unwanted = self.unwanted.lock().expect("no panic");
                let unwanted = attempts
                    .iter()
                    .filter(|a| unwanted.contains(a))
                    .cloned()
                    .collect();
                let _ = reply.send(Answer::Heard { unwanted });
                let _ = self.in_hand.send((shard, attempts, free_slots));
            }
            Word::Begin { attempt, nonce, .. } => {
                let _ = self.begins.send(Begin {
                    attempt,
                    nonce,
                    reply,
                });
            }
            Word::Report {
                attempt, outcome, ..
            } => {
                let _ = self.reports.send(Report {
                    attempt,
                    outcome,
                    reply,
                });
            }
            Word::Ask { .. } => drop(reply),
        }
    }
}
