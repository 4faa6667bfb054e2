//! The definition of correct, for every backend: each promise of the ports as a case.
//!
//! A backend's test is one call of [`check`]. [`broken`] has for each case a wrapper that breaks its promise, and a test
//! that the case then fails: a case that cannot fail proves nothing.
//!
//! Cases wait for facts, never for time; where a fact does not come, they fail after [`PATIENCE`].

pub mod broken;
pub mod sample;

mod archive;
mod blobs;
mod damage;
mod inbox;
mod jobs;
mod journal;
mod keys;
mod live;
mod memory;
mod registry;
mod views;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use engine::digest::Digest;
use engine::id::RunKey;
use engine::time::Timestamp;

use crate::clock::{Clock, Random};
use crate::port::{Entry, Page};
use crate::{Backend, Error};

/// How long a case waits for a fact. With paused time that is no time at all.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A backend under test, and what can be done to it from outside.
pub struct World {
    /// The backend as it is now.
    pub backend: Backend,
    /// The clock that it was given.
    pub clock: Arc<HandClock>,
    hands: Box<dyn Hands>,
    wrap: Option<fn(Backend) -> Backend>,
}

/// What can be done to a backend from outside.
#[async_trait(?Send)]
pub trait Hands {
    /// Ends it as a crash would and opens the same data again.
    async fn restart(&mut self) -> Backend;

    /// Damages what is stored behind the backend's back. Answers whether that can be done.
    fn damage(&mut self, what: &Damage) -> bool;
}

/// A damage to what is stored.
#[derive(Clone, Debug)]
pub enum Damage {
    /// A bit of a record is flipped.
    Record(RunKey, u64),
    /// A record is gone.
    NoRecord(RunKey, u64),
    /// What is known of a run without its records is changed.
    Head(RunKey),
    /// A bit of an archived run is flipped.
    Archived(RunKey),
    /// A bit of a value in `Blobs` is flipped.
    Blob(RunKey, Digest),
}

impl World {
    /// A world around a backend that was opened with this clock.
    #[must_use]
    pub fn new(backend: Backend, clock: Arc<HandClock>, hands: Box<dyn Hands>) -> Self {
        let wrap = None;
        Self {
            backend,
            clock,
            hands,
            wrap,
        }
    }

    /// The same world seen through a wrapper, also after a restart.
    #[must_use]
    pub fn wrapped(mut self, wrap: fn(Backend) -> Backend) -> Self {
        self.backend = wrap(self.backend);
        self.wrap = Some(wrap);
        self
    }

    /// Ends the backend as a crash would and opens the same data again.
    pub async fn restart(&mut self) {
        let backend = self.hands.restart().await;
        self.backend = match self.wrap {
            Some(wrap) => wrap(backend),
            None => backend,
        };
    }

    fn damage(&mut self, what: &Damage) -> bool {
        self.hands.damage(what)
    }
}

/// A clock that is set by hand. It begins a while after every [`sample`].
#[derive(Debug)]
pub struct HandClock(AtomicU64);

impl Default for HandClock {
    fn default() -> Self {
        Self(AtomicU64::new(1_800_010_000_000))
    }
}

impl HandClock {
    /// Sets it.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.millis(), Ordering::Relaxed);
    }

    fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }

    fn in_ms(&self, ms: u64) -> Timestamp {
        Timestamp::from_millis(self.now().millis() + ms)
    }
}

impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Numbers that count up: the same for each world.
#[derive(Debug, Default)]
pub struct CountingRandom(AtomicU64);

impl Random for CountingRandom {
    fn bits(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Why a case failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self(format!("a call was answered: {error}"))
    }
}

type Verdict = Result<(), Broken>;

/// A promise, and how it is tried.
#[derive(Clone, Copy)]
pub struct Case {
    /// The promise.
    pub name: &'static str,
    /// The module that has it, which is named like the port that it is about.
    pub module: &'static str,
    run: fn(World) -> Pin<Box<dyn Future<Output = Verdict>>>,
}

impl Case {
    /// Tries it in a fresh world.
    ///
    /// # Errors
    /// [`Broken`] with what was not as promised.
    pub async fn run(&self, world: World) -> Result<(), Broken> {
        (self.run)(world).await
    }
}

/// Every case.
#[must_use]
pub fn every_case() -> Vec<Case> {
    let all = [
        journal::CASES,
        archive::CASES,
        keys::CASES,
        inbox::CASES,
        jobs::CASES,
        registry::CASES,
        memory::CASES,
        blobs::CASES,
        views::runs::CASES,
        views::approvals::CASES,
        views::deliveries::CASES,
        live::CASES,
        damage::CASES,
    ];
    all.concat()
}

/// Tries every case in a world of its own.
///
/// # Panics
/// With the list of the cases that failed.
pub async fn check(make: impl AsyncFn() -> World) {
    check_those(every_case(), make).await;
}

/// Tries the cases of these ports, each in a world of its own.
///
/// # Panics
/// With the list of the cases that failed, or there are none.
pub async fn check_of(ports: &[&str], make: impl AsyncFn() -> World) {
    let mut cases = every_case();
    cases.retain(|case| ports.iter().any(|port| case.module.ends_with(port)));
    assert!(!cases.is_empty(), "no case is about {ports:?}");
    check_those(cases, make).await;
}

async fn check_those(cases: Vec<Case>, make: impl AsyncFn() -> World) {
    let mut failed = Vec::new();
    for case in cases {
        if let Err(Broken(what)) = case.run(make().await).await {
            failed.push(format!("{}: {what}", case.name));
        }
    }
    assert!(failed.is_empty(), "broken promises:\n{}", failed.join("\n"));
}

/// The cases of a file, by the names of their functions.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        pub(in crate::conformance) const CASES: &[$crate::conformance::Case] = &[$($crate::conformance::Case {
            name: stringify!($name),
            module: module_path!(),
            run: |world| Box::pin($name(world)),
        }),*];
    };
}

/// Fails the case unless the condition holds.
macro_rules! must {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::conformance::Broken(format!($($text)+)));
        }
    };
}

/// Fails the case unless both are the same.
macro_rules! same {
    ($left:expr, $right:expr) => {
        match (&$left, &$right) {
            (left, right) => {
                if left != right {
                    let text = format!("line {}: {left:?} is not {right:?}", line!());
                    return Err($crate::conformance::Broken(text));
                }
            }
        }
    };
}

/// Fails the case unless there is nothing in it.
macro_rules! none {
    ($list:expr) => {
        match &$list {
            list => {
                if !list.is_empty() {
                    let text = format!("line {}: {list:?} is not empty", line!());
                    return Err($crate::conformance::Broken(text));
                }
            }
        }
    };
}

/// Fails the case unless the call was answered with this kind of error.
macro_rules! refused {
    ($kind:ident, $outcome:expr) => {
        match $outcome {
            Err($crate::Error::$kind(_)) => {}
            other => {
                let text = format!("line {}: {other:?} is not {}", line!(), stringify!($kind));
                return Err($crate::conformance::Broken(text));
            }
        }
    };
}

use {cases, must, none, refused, same};

/// Waits for a fact.
async fn soon<T>(what: &str, fact: impl Future<Output = T>) -> Result<T, Broken> {
    let waited = tokio::time::timeout(PATIENCE, fact).await;
    waited.map_err(|_| Broken(format!("it did not come: {what}")))
}

/// The numbers of records.
fn numbers(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.record.n).collect()
}

/// The first `limit` rows of a list.
fn first(limit: usize) -> Page {
    Page { limit, after: None }
}

/// Appends all records of a sample.
async fn store(backend: &Backend, run: &sample::Sample) -> Result<(), Error> {
    for (record, events) in &run.records {
        backend.journal.append(record, events).await?;
    }
    Ok(())
}
