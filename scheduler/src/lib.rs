//! The scheduler: owns shards of runs, decides, appends, and pays what is owed; keeps timers; is the only failure
//! detector. And the janitor, which looks after runs that have ended.
//!
//! It never calls a plugin, never talks to people, and keeps nothing that a restart could not do without. It runs as one
//! task per [`Scheduler`], spawns none, and takes time and chance from its [`Backend`], so that the simulation can drive
//! it on one thread.
//!
//! Start reading at `owner/mod.rs`.

use std::sync::Arc;

use engine::id::{RunId, Shard};
use store::Backend;
use tokio_util::sync::CancellationToken;

mod config;
mod desk;
mod detector;
mod facts;
mod figures;
mod janitor;
mod mail;
mod owner;
mod owners;
mod pools;
mod restored;
mod shares;
mod slots;
mod timers;
mod unwanted;

pub use config::{Config, Place, Start};
pub use janitor::Janitor;
pub use owners::Owners;
pub use restored::{begin_life, life_began};

/// An owner of shards.
pub struct Scheduler {
    owner: owner::Owner,
}

impl Scheduler {
    /// An owner of `place.shards`, which begins when it is run.
    #[must_use]
    pub fn new(config: Config, place: Place, backend: Backend) -> Self {
        let backend = Arc::new(backend);
        Self {
            owner: owner::Owner::new(config, place, backend),
        }
    }

    /// Owns its shards until `stop` is cancelled. What is being appended then is finished and answered; what is dropped
    /// instead, at any point, is found again by the next owner.
    ///
    /// # Errors
    /// [`Error`] when a shard cannot be owned at all; a fault of one run parks that run and ends nothing.
    pub async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        Box::pin(self.owner.run(stop)).await
    }
}

/// Why shards cannot be owned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A newer version wrote a record.
    #[error(
        "run {run} has a record of format {format}, which this version does not read: run the version that wrote it"
    )]
    Newer {
        /// Whose record.
        run: RunId,
        /// Its format.
        format: u16,
    },
    /// More than one run is damaged.
    #[error("shard {} is damaged: {what}; restore it from a backup (nothing was changed)", shard.0)]
    Damaged {
        /// Which.
        shard: Shard,
        /// What, by name.
        what: String,
    },
}
