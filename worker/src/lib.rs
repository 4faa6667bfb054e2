//! The worker: takes jobs, calls plugins, reports. It only does; it never decides.
//!
//! It must never change a system without a grant: a MODIFY or ADMIN call is built from the approved bytes and from
//! nothing else, and made only after the owner has recorded the intent. It keeps nothing: whatever it holds may be lost
//! at any moment, and the owner finds that out.
//!
//! Start reading at [`Worker::run`]; one attempt is `attempt.rs`; [`plugins`] is the only module that talks to plugins.

use std::sync::Arc;

use store::Backend;
use store::seal::Seal;
use tokio_util::sync::CancellationToken;

mod attempt;
mod caller;
mod config;
mod failure;
mod grant;
mod hands;
mod mask;
mod metric;
mod output;
pub mod plugins;
mod report;
mod run;
mod said;
mod schemas;
mod secrets;
mod sink;

pub use caller::{CallResult, Caller, Change, Events, LookUpResult, NotSent, PluginCall, Said};
pub use config::{Config, Place, Plugins as PluginsConfig, Remote as RemoteConfig};
pub use mask::Masks;

/// A worker that has not begun.
pub struct Worker(Shared);

/// What every part of a worker needs.
pub(crate) struct Shared {
    config: Config,
    place: Place,
    ports: Backend,
    seal: Seal,
    caller: Arc<dyn Caller>,
    schemas: schemas::Schemas,
    drain: CancellationToken,
}

impl Worker {
    /// A worker over these ports, which opens secrets with `seal` and calls plugins by `caller`.
    #[must_use]
    pub fn new(
        config: Config,
        place: Place,
        ports: Backend,
        seal: Seal,
        caller: Arc<dyn Caller>,
    ) -> Self {
        Self(Shared {
            config,
            place,
            ports: ports.sealing_memory(&seal),
            seal,
            caller,
            schemas: schemas::Schemas::default(),
            drain: CancellationToken::new(),
        })
    }

    /// Works until `drain` is cancelled, then finishes or hands back what it has in hand.
    ///
    /// Dropping this future is a crash: what was in hand is found lost by its owner.
    pub async fn run(mut self, drain: CancellationToken) {
        self.0.drain = drain;
        run::Loop::new(Arc::new(self.0)).run().await;
    }
}
