use engine::digest::Digest;
use engine::event::Event;
use engine::id::{CommandId, RunKey, Tenant};
use engine::record::Record;
use tokio::sync::broadcast;

/// What watchers see as it happens. May be lost at any moment; nobody waits for a watcher.
pub trait Live: Send + Sync {
    /// Tells those who listen.
    fn publish(&self, topic: Topic, news: News);

    /// Listens from now on. A slow listener misses the oldest and is told so.
    fn subscribe(&self, topic: Topic) -> Subscription;
}

/// What one listens to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// One run.
    Run(RunKey),
    /// All runs of a tenant: records only.
    Tenant(Tenant),
    /// The answer to one command.
    Command(CommandId),
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum News {
    /// A record was stored. Published by the store itself, after it is durable.
    Record {
        /// The record.
        record: std::sync::Arc<Record>,
        /// Its events.
        events: std::sync::Arc<[Event]>,
        /// SHA-256 of its stored bytes.
        hash: Digest,
    },
    /// A plugin told how far it is.
    Progress {
        /// The step's name.
        step: String,
        /// 0 to 100.
        percent: u32,
        /// In words.
        message: String,
    },
    /// A plugin logged a line.
    Log {
        /// The step's name.
        step: String,
        /// `debug`, `info`, `warn` or `error`.
        level: String,
        /// The line.
        message: String,
    },
    /// A command was decided.
    Answered {
        /// The number of the record that holds it, or of the last one when it changed nothing.
        n: u64,
        /// Whether it was so already.
        already: bool,
        /// Why it was refused.
        refused: Option<(engine::code::Code, String)>,
    },
}

/// A listener's end.
pub type Subscription = broadcast::Receiver<News>;
