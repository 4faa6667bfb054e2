//! The ports to everything that is kept, and the backends behind them.
//!
//! A role of Mirastack sees [`Backend`] and nothing else: it never learns which database, broker or file is behind.
//! Nothing here decides anything about a run. [`conformance`] is the definition of correct, for every backend.
//!
//! Start reading at [`port`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub mod clock;
pub mod cluster;
pub mod conformance;
pub mod embedded;
mod history;
mod lists;
mod packed;
pub mod port;
pub mod seal;
mod sqlite;
mod topics;
pub mod view;

pub use embedded::{Embedded, Handle, OpenError, Options, Place};
pub use port::{Archive, Blobs, Inbox, Jobs, Journal, Keys, Live, Memory, Registry, Views};

/// All ports of one installation. A plain struct, so that a test can swap one.
#[derive(Clone)]
pub struct Backend {
    /// The journals of runs.
    pub journal: Arc<dyn Journal>,
    /// The end of a run's life.
    pub archive: Arc<dyn Archive>,
    /// Idempotency keys and alert episodes.
    pub keys: Arc<dyn Keys>,
    /// Commands from outside.
    pub inbox: Arc<dyn Inbox>,
    /// What passes between owners and workers.
    pub jobs: Arc<dyn Jobs>,
    /// Definitions and policies.
    pub registry: Arc<dyn Registry>,
    /// Checkpoints, counters, caches.
    pub memory: Arc<dyn Memory>,
    /// Large values.
    pub blobs: Arc<dyn Blobs>,
    /// Lists and searches.
    pub views: Arc<dyn Views>,
    /// What watchers see.
    pub live: Arc<dyn Live>,
    /// What time it is.
    pub clock: Arc<dyn clock::Clock>,
    /// Where ids and nonces come from.
    pub random: Arc<dyn clock::Random>,
}

/// Why a port did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is not as expected; nothing was changed.
    #[error("not as expected: {0}")]
    Conflict(String),
    /// It is not known whether it happened; every call is safe to repeat.
    #[error("not available: {0}")]
    Unavailable(String),
    /// What is stored is damaged.
    #[error("damaged: {0}")]
    Corrupt(String),
}

/// The lock, also when a thread panicked while holding it: what is behind these locks is whole at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
