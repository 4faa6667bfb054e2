use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine::code::Code;
use engine::event::{Failure, TimeSpan};
use engine::job::Job;
use engine::principal::Principal;

/// Who calls plugins for the loop. The module [`crate::plugins`] is one; a simulation is another.
///
/// Dropping a future of `call` or `look_up` cancels the call: nobody wants the answer any more.
#[async_trait]
pub trait Caller: Send + Sync {
    /// Waits until a plugin can be called that offers exactly the job's pinned action, and works with that revision of
    /// its settings.
    ///
    /// # Errors
    /// [`NotSent`], at the latest after `within`.
    async fn ready(&self, job: &Job, settings: u64, within: Duration) -> Result<(), NotSent>;

    /// Makes a call, once.
    async fn call(&self, call: PluginCall<'_>, events: Arc<dyn Events>) -> CallResult;

    /// Asks what became of the earlier calls with the job's idempotency key.
    async fn look_up(&self, call: PluginCall<'_>) -> LookUpResult;
}

/// One call of a plugin.
#[derive(Clone, Debug)]
pub struct PluginCall<'a> {
    /// The job: names, attempt, idempotency key. Its parameters are not for sending.
    pub job: &'a Job,
    /// Who is said to have asked; nobody, where that is not known for certain.
    pub requester: Option<&'a Principal>,
    /// The parameters to send, with secrets filled in.
    pub params: Bytes,
    /// The span of time to send.
    pub time_range: Option<TimeSpan>,
    /// How long the plugin may be waited for. Zero: it must be up, or nothing is sent.
    pub ready: Duration,
    /// How long the answer is waited for.
    pub timeout: Duration,
    /// What the lost attempt before this one saved, or empty.
    pub checkpoint: Bytes,
    /// The revision of the settings that the call must be made with; with any other nothing is sent.
    pub settings: Option<u64>,
    /// What must never be written down as it is.
    pub masks: Arc<crate::Masks>,
}

/// Takes what a plugin says while a call of it runs.
#[async_trait]
pub trait Events: Send + Sync {
    /// It said something.
    async fn said(&self, event: Said);
}

/// What a plugin says while a call of it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    /// How far it is.
    Progress {
        /// 0 to 100.
        percent: f64,
        /// In words.
        message: String,
    },
    /// A line for the log.
    Log {
        /// `debug`, `info`, `warn` or `error`.
        level: &'static str,
        /// The line.
        message: String,
    },
    /// Where the work is, for the next attempt if this one is lost.
    Checkpoint(Bytes),
}

/// Why nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// No such plugin could be reached.
    #[error("{0}")]
    Unavailable(String),
    /// The plugin that is there does not offer what the run has pinned.
    #[error("{0}")]
    NotOffered(String),
    /// The plugin works with other settings than the call was consented to with.
    #[error("{0}")]
    OtherSettings(String),
}

/// Whether a failed call changed something, as the plugin says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// No, and nothing is under way.
    NotMade,
    /// Perhaps, or it does not say.
    Unknown,
    /// Yes, and it stands.
    Made,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum CallResult {
    /// It answered a result: JSON text, not looked at yet.
    Succeeded {
        /// The text.
        output: Bytes,
    },
    /// It answered a failure.
    Failed {
        /// Why. Its `not_made` is not set yet.
        failure: Failure,
        /// Whether it changed something.
        change: Change,
    },
    /// Nothing was sent.
    NotSent(NotSent),
    /// It was sent, and no answer came in time.
    TimedOut,
    /// It was sent, and no usable answer will come.
    Lost {
        /// Of the kind of fault: `plugin_unavailable`, `plugin_protocol` or `limit`.
        code: Code,
        /// What happened.
        reason: String,
        /// Whether the plugin's process is known to be dead.
        plugin_dead: bool,
    },
}

/// What a look-up answered.
#[derive(Clone, Debug, PartialEq)]
pub enum LookUpResult {
    /// The change was made.
    Done {
        /// Its result: JSON text, not looked at yet.
        output: Bytes,
    },
    /// There is no trace of it.
    NotDone,
    /// It cannot be told.
    Unknown {
        /// Why.
        reason: String,
    },
}
