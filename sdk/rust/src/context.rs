//! What a handler knows about its call, and what it can say while it runs.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use bytes::Bytes;
use proto::{
    limits,
    v1::{self, LogLevel, execute_event::Event},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{ActionError, Config, error::cut};

pub use proto::v1::{Principal, TimeRange};

/// The least time between two progress reports; those in between are dropped.
const PROGRESS_EVERY: std::time::Duration = std::time::Duration::from_millis(100);
/// The most log lines of one call; the rest is counted and dropped.
const LOG_LINES_MAX: u32 = 10_000;

/// One call, as its handler sees it. Clones are the same call.
#[derive(Clone, Debug)]
pub struct Context(Arc<Call>);

#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) request: v1::ExecuteRequest,
    pub(crate) config: Arc<Config>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) cancelled: CancellationToken,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) said: Said,
}

/// What was said so far.
#[derive(Debug, Default)]
pub(crate) struct Said {
    progress_due: Mutex<Option<Instant>>,
    lines: AtomicU32,
    lines_lost: AtomicU32,
}

impl Context {
    pub(crate) fn new(call: Call) -> Self {
        Self(Arc::new(call))
    }

    /// Says how far the call is: 0 to 100 percent, and what is being done (up to 1 KiB). At most ten reports
    /// a second are passed on.
    pub fn progress(&self, percent: f64, message: impl Into<String>) {
        let percent = if percent.is_nan() {
            0.0
        } else {
            percent.clamp(0.0, 100.0)
        };
        if self.progress_is_due() {
            let message = cut(message.into(), limits::PROGRESS_MESSAGE);
            // Whoever does not keep up loses reports, and never holds the handler up.
            let _ = self
                .0
                .events
                .try_send(Event::Progress(v1::Progress { percent, message }));
        }
    }

    fn progress_is_due(&self) -> bool {
        let now = Instant::now();
        let mut due = self
            .0
            .said
            .progress_due
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if due.is_some_and(|due| now < due) {
            return false;
        }
        *due = Some(now + PROGRESS_EVERY);
        true
    }

    /// Writes a line (up to 8 KiB) into the log of the run. A call that writes faster than the engine reads,
    /// or more than 10,000 lines, loses lines; how many is said at its end.
    pub fn log(&self, level: LogLevel, message: impl Into<String>) {
        let said = &self.0.said;
        let room = said.lines.fetch_add(1, Ordering::Relaxed) < LOG_LINES_MAX;
        if !room || self.0.events.try_send(line(level, message.into())).is_err() {
            said.lines_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Logs at level info.
    pub fn info(&self, message: impl Into<String>) {
        self.log(LogLevel::Info, message);
    }

    /// Logs at level warn.
    pub fn warn(&self, message: impl Into<String>) {
        self.log(LogLevel::Warn, message);
    }

    /// How many lines were lost, as one more line.
    pub(crate) fn lost_lines(&self) -> Option<Event> {
        let lost = self.0.said.lines_lost.load(Ordering::Relaxed);
        (lost > 0).then(|| {
            line(
                LogLevel::Warn,
                format!("{lost} lines of this log were lost: there were too many"),
            )
        })
    }

    /// Saves where the work is, so that the next attempt goes on from there when this one is lost. A
    /// checkpoint may be lost too: it saves work, it proves nothing.
    ///
    /// # Errors
    /// `checkpoint_too_large`, above 1 MiB.
    pub async fn checkpoint(&self, bytes: impl Into<Bytes>) -> Result<(), ActionError> {
        let bytes = bytes.into();
        if bytes.len() > limits::CHECKPOINT {
            let message = format!(
                "the checkpoint has {} bytes; at most {} are allowed",
                bytes.len(),
                limits::CHECKPOINT
            );
            return Err(ActionError::failed("checkpoint_too_large", message));
        }
        // Nobody listening means that the call was given up: the handler learns that from `cancelled`.
        let _ = self
            .0
            .events
            .send(Event::Checkpoint(v1::Checkpoint { bytes }))
            .await;
        Ok(())
    }

    /// [`Context::checkpoint`] of a value, as JSON.
    ///
    /// # Errors
    /// As there, and when the value cannot be written as JSON.
    pub async fn save<T: Serialize + Sync>(&self, state: &T) -> Result<(), ActionError> {
        self.checkpoint(serde_json::to_vec(state)?).await
    }

    /// What the attempt before this one saved last.
    #[must_use]
    pub fn saved_checkpoint(&self) -> Option<&Bytes> {
        Some(&self.0.request.checkpoint).filter(|bytes| !bytes.is_empty())
    }

    /// What [`Context::save`] saved; `None` also when it cannot be read, for then the work starts over.
    #[must_use]
    pub fn saved<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.saved_checkpoint()?).ok()
    }

    /// The settings, as they were when the call began.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Stable over all attempts of the step. An action that changes something leaves it there as a trace.
    #[must_use]
    pub fn idempotency_key(&self) -> &str {
        &self.0.request.idempotency_key
    }

    /// Only rises for one idempotency key.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.0.request.fence
    }

    /// Which try of the step this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.request.attempt
    }

    /// When the call will be cut off.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// How long until the call is cut off; `None`: never.
    #[must_use]
    pub fn time_left(&self) -> Option<std::time::Duration> {
        Some(self.0.deadline?.saturating_duration_since(Instant::now()))
    }

    /// Who asked for the call, and with which rights.
    #[must_use]
    pub fn principal(&self) -> Option<&Principal> {
        self.0.request.principal.as_ref()
    }

    /// The span of time that the call is about, if it names one. It wins over parameters.
    #[must_use]
    pub fn time_range(&self) -> Option<&TimeRange> {
        self.0.request.time_range.as_ref()
    }

    /// The run's id.
    #[must_use]
    pub fn run(&self) -> &str {
        &self.0.request.execution_id
    }

    /// The step's id.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.0.request.step_id
    }

    /// The tenant's id.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.0.request.tenant_id
    }

    /// Waits until nobody wants the answer any more. A READ handler is stopped a second later; one that
    /// changes something is left to end until its deadline.
    pub async fn cancelled(&self) {
        self.0.cancelled.cancelled().await;
    }

    /// Whether nobody wants the answer any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.is_cancelled()
    }
}

fn line(level: LogLevel, message: String) -> Event {
    let at_epoch_ms = epoch_ms();
    Event::Log(v1::LogLine {
        level: level.into(),
        message: cut(message, limits::LOG_LINE),
        at_epoch_ms,
    })
}

/// Milliseconds since 1970, by this machine's clock. The SDK is a shell: no simulation runs it.
pub(crate) fn epoch_ms() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
