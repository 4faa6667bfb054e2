//! The end of a run's life: ended runs are archived, those over the retention are removed, and what nobody names any
//! more is swept.
//!
//! It works beside the owner and never on its path, in batches, and rests as long as it works. Everything here may be
//! cut off at any point and done again; two janitors waste effort and spoil nothing.

use std::sync::Arc;
use std::time::Duration;

use engine::event::Event;
use engine::id::RunKey;
use engine::key::KeyState;
use engine::time::Timestamp;
use store::port::Retention;
use store::{Backend, Error};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::figures;

/// Values of a run that was never created are swept when its id is so old: nobody may create it any more.
const BLOBS_KEPT_MS: u64 = 24 * 3_600 * 1_000;
/// It rests at least so long between two batches.
const REST_MIN: Duration = Duration::from_millis(10);
/// So many batches of one part, then the others have their turn: what comes in as fast as it is worked off must not keep
/// everything else.
const TURN: usize = 50;
/// So often a key is read again because somebody else changed it.
const KEY_TRIES: u32 = 16;

/// Archives, removes and sweeps.
pub struct Janitor {
    config: Config,
    backend: Arc<Backend>,
}

impl Janitor {
    /// A janitor, which begins when it is run.
    #[must_use]
    pub fn new(config: Config, backend: Backend) -> Self {
        let backend = Arc::new(backend);
        Self { config, backend }
    }

    /// Looks for something to do every [`Config::janitor_every`], until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! { biased;
            () = stop.cancelled() => {}
            () = self.rounds() => {}
        }
    }

    async fn rounds(&self) {
        let every = Duration::from_millis(self.config.janitor_every.millis());
        loop {
            sleep(every).await;
            while self.round().await == Progress::More {}
        }
    }

    /// Each part by itself: what one cannot do must not keep the others from theirs.
    async fn round(&self) -> Progress {
        let now = self.backend.clock.now();
        let old = earlier(now, BLOBS_KEPT_MS);
        let max = self.config.janitor_batch;
        let parts = [
            ("archive", self.archive().await),
            ("remove", self.remove_expired().await),
            (
                "sweep values",
                self.batches(|| self.backend.blobs.sweep(old, max)).await,
            ),
            (
                "sweep keys",
                self.batches(|| self.backend.keys.sweep(now, max)).await,
            ),
        ];
        let mut progress = Progress::Done;
        for (part, outcome) in parts {
            match outcome {
                Ok(Progress::More) => progress = Progress::More,
                Ok(Progress::Done) => {}
                Err(error) => {
                    tracing::warn!(%error, part, "the janitor tries again in the next round");
                }
            }
        }
        progress
    }

    async fn archive(&self) -> Result<Progress, Error> {
        self.batches(|| async {
            let now = self.backend.clock.now();
            let before = earlier(now, self.config.archive_after.millis());
            let archive = &self.backend.archive;
            let runs = archive.ended(before, self.config.janitor_batch).await?;
            if !runs.is_empty() {
                archive.archive(&runs).await?;
                figures::archived(runs.len());
            }
            Ok(runs.len())
        })
        .await
    }

    async fn remove_expired(&self) -> Result<Progress, Error> {
        self.batches(|| async {
            let now = self.backend.clock.now();
            let retention = Retention {
                before: earlier(now, self.config.keep.millis()),
                number: self.config.keep_runs,
            };
            let archive = &self.backend.archive;
            let runs = archive
                .expired(retention, self.config.janitor_batch)
                .await?;
            let looked_at = runs.len();
            let mut gone = Vec::with_capacity(looked_at);
            for key in runs {
                match self.mark_gone(&key, now).await {
                    Ok(()) => gone.push(key),
                    Err(Error::Unavailable(why)) => return Err(Error::Unavailable(why)),
                    // Its keys are not known: without them it would be created once more.
                    Err(error) => tracing::warn!(run = %key.run, %error, "an expired run is kept"),
                }
            }
            if gone.is_empty() {
                return Ok(0);
            }
            archive.remove(&gone).await?;
            figures::removed(gone.len());
            // Those that are kept come again in the next batch, and must not be taken for its end.
            Ok(looked_at)
        })
        .await
    }

    /// Marks a run in all keys that lead to it, so that nobody creates it again.
    async fn mark_gone(&self, key: &RunKey, now: Timestamp) -> Result<(), Error> {
        let entries = self.backend.journal.read(key, 0).await?;
        let Some(first) = entries.first() else {
            return Ok(());
        };
        let events = first.record.events();
        let events = events.map_err(|e| Error::Corrupt(e.to_string()))?;
        if let Some(Event::RunCreated(created)) = events.first() {
            for name in &created.keys {
                self.mark_key(key, name, now).await?;
            }
        }
        Ok(())
    }

    async fn mark_key(&self, key: &RunKey, name: &str, now: Timestamp) -> Result<(), Error> {
        let keys = &self.backend.keys;
        for _ in 0..KEY_TRIES {
            let Some(old) = keys.get(&key.tenant, name, now).await? else {
                return Ok(());
            };
            let mut state = KeyState::decode(&old.value)
                .map_err(|e| Error::Corrupt(format!("the key {name}: {e}")))?;
            if !state.mark_gone(key.run) {
                return Ok(());
            }
            let value = state.encode();
            match keys.put(&key.tenant, name, &old, &value, old.expires).await {
                Ok(_) => return Ok(()),
                Err(Error::Conflict(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let why = format!("the key {name} changes faster than it can be marked");
        Err(Error::Unavailable(why))
    }

    /// Works in batches until one is not full, or its turn is over.
    async fn batches<F: Future<Output = Result<usize, Error>>>(
        &self,
        mut work: impl FnMut() -> F,
    ) -> Result<Progress, Error> {
        for _ in 0..TURN {
            let since = Instant::now();
            let done = work().await?;
            if done < self.config.janitor_batch {
                return Ok(Progress::Done);
            }
            sleep(since.elapsed().max(REST_MIN)).await;
        }
        Ok(Progress::More)
    }
}

/// Whether a part has done all there was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Progress {
    Done,
    More,
}

fn earlier(now: Timestamp, ms: u64) -> Timestamp {
    Timestamp::from_millis(now.millis().saturating_sub(ms))
}

#[cfg(test)]
mod tests;
