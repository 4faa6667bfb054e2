//! What a plugin says while its call runs, passed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use engine::job::Job;
use store::port::{News, Topic};
use tokio::time::timeout;
use tracing::debug;

use crate::caller::{Events, Said};
use crate::{Masks, Shared, config, failure};

/// How long memory is waited for: a checkpoint saves time, so it may not cost much.
const MEMORY_PATIENCE: Duration = Duration::from_secs(1);
/// A larger checkpoint is not kept.
const CHECKPOINT_BYTES_MAX: usize = 1024 * 1024;

/// So many lines of an attempt are passed on, its progress included.
const LINES_MAX: u32 = 10_000;

/// Passes on what is said during one attempt: progress and log lines to watchers, checkpoints to memory.
pub(crate) struct Sink {
    shared: Arc<Shared>,
    job: Arc<Job>,
    masks: Arc<Masks>,
    saved: AtomicBool,
    lines: AtomicU32,
}

impl Sink {
    pub(crate) fn new(shared: Arc<Shared>, job: Arc<Job>, masks: Arc<Masks>) -> Self {
        Self {
            shared,
            job,
            masks,
            saved: AtomicBool::new(false),
            lines: AtomicU32::new(0),
        }
    }

    /// What the attempt before this one saved, when that was lost. Saved again under this attempt's number, for this
    /// one may be lost, too, before it saves anything new.
    pub(crate) async fn resumed(&self) -> Bytes {
        if !self.job.resume && !engine::planted!("checkpoint_of_failed_attempt") {
            return Bytes::new();
        }
        let key = self.job.checkpoint_key();
        let Ok(Ok(Some(stored))) =
            timeout(MEMORY_PATIENCE, self.shared.ports.memory.get(&key)).await
        else {
            return Bytes::new();
        };
        let Some((attempt, bytes)) = stored.split_first_chunk() else {
            return Bytes::new();
        };
        if u32::from_be_bytes(*attempt) != self.job.attempt.0.saturating_sub(1) {
            return Bytes::new();
        }
        let bytes = Bytes::copy_from_slice(bytes);
        self.save(&bytes).await;
        bytes
    }

    /// The attempt has an outcome: nobody may go on from what it saved.
    pub(crate) async fn forget(&self) {
        let is_kept = engine::planted!("checkpoint_of_failed_attempt");
        if self.saved.load(Ordering::Relaxed) && !is_kept {
            let key = self.job.checkpoint_key();
            // What stays is of an attempt that was not lost, and is not used.
            let _ = timeout(MEMORY_PATIENCE, self.shared.ports.memory.remove(&key)).await;
        }
    }

    async fn save(&self, checkpoint: &Bytes) {
        if checkpoint.len() > CHECKPOINT_BYTES_MAX {
            debug!(
                step = self.job.name,
                bytes = checkpoint.len(),
                "a checkpoint over 1 MiB is not kept"
            );
            return;
        }
        self.saved.store(true, Ordering::Relaxed);
        let mut stored = BytesMut::with_capacity(4 + checkpoint.len());
        stored.put_u32(self.job.attempt.0);
        stored.put_slice(checkpoint);
        let ttl = config::time(self.shared.config.checkpoints);
        let key = self.job.checkpoint_key();
        let put = self.shared.ports.memory.put(&key, &stored, ttl);
        if let Ok(Err(error)) = timeout(MEMORY_PATIENCE, put).await {
            debug!(step = self.job.name, %error, "a checkpoint was not kept");
        }
    }

    fn tell(&self, news: News) {
        let said = self.lines.fetch_add(1, Ordering::Relaxed);
        let news = match said.cmp(&LINES_MAX) {
            std::cmp::Ordering::Less => news,
            std::cmp::Ordering::Equal => News::Log {
                step: self.job.name.clone(),
                level: "warn".to_owned(),
                message: format!("{LINES_MAX} lines and more: the rest is left out"),
            },
            std::cmp::Ordering::Greater => {
                // It stays over the limit however many there are.
                self.lines.store(LINES_MAX + 1, Ordering::Relaxed);
                return;
            }
        };
        self.shared
            .ports
            .live
            .publish(Topic::Run(self.job.key.clone()), news);
    }

    fn clean(&self, text: String) -> String {
        if self.masks.is_empty() {
            return failure::cut(text);
        }
        failure::cut(self.masks.text(&text).into_owned())
    }
}

#[async_trait]
impl Events for Sink {
    async fn said(&self, event: Said) {
        let step = self.job.name.clone();
        match event {
            Said::Progress { percent, message } => self.tell(News::Progress {
                step,
                percent: percent.clamp(0.0, 100.0).round() as u32,
                message: self.clean(message),
            }),
            Said::Log { level, message } => self.tell(News::Log {
                step,
                level: level.to_owned(),
                message: self.clean(message),
            }),
            Said::Checkpoint(bytes) => self.save(&bytes).await,
        }
    }
}
