use engine::duration::Duration;
use engine::id::Shard;
use serde::{Deserialize, Serialize};

/// What can be set about the owner of shards and the janitor. The defaults suit one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Runs kept in memory, at most; more are read again from their journals when they are needed.
    pub runs_max: usize,
    /// Bytes of journals and values kept in memory, at most.
    pub bytes_max: usize,
    /// Commands that wait to be decided, at most; beyond that no new runs and no commands from outside are taken on.
    pub waiting_max: usize,
    /// An ended run is archived after so long.
    pub archive_after: Duration,
    /// An ended run is removed after so long.
    pub keep: Duration,
    /// Of the ended runs so many of the newest are kept, at most.
    pub keep_runs: u64,
    /// The janitor looks for something to do so often.
    pub janitor_every: Duration,
    /// The janitor moves or removes so many runs at once, and then lets others have the store.
    pub janitor_batch: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            runs_max: 20_000,
            bytes_max: 256 * 1024 * 1024,
            waiting_max: 20_000,
            archive_after: Duration::from_secs(10 * 60),
            keep: Duration::from_secs(30 * 86_400),
            keep_runs: 1_000_000,
            janitor_every: Duration::from_secs(10),
            janitor_batch: 200,
        }
    }
}

/// What the owner is told by who starts it, and no file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shards that it owns. Owning only saves work: two owners of one shard waste effort and corrupt nothing.
    pub shards: Vec<Shard>,
    /// How many there are: of what workers have room for it offers its part.
    pub of: u16,
    /// What may still be going on when it starts.
    pub start: Start,
    /// Whether agents that change systems may outlive the process that called them: what they were asked last may still
    /// be under way when this owner starts, wherever its workers are.
    pub agents_outlive: bool,
    /// Whether a requester's own consent does not count.
    pub not_requester: bool,
    /// Where runs are shown, without a slash at the end.
    pub url_base: String,
}

/// What may still be going on when an owner starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing: everything runs in this process, and whatever was in the hands of the last one died with it; its plugins
    /// too, unless [`Place::agents_outlive`].
    Alone,
    /// Workers may have jobs in hand: the owner listens to them first.
    Listening,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_stay_as_they_are_documented() {
        let printed = serde_json::to_value(Config::default()).expect("plain values");
        let expected = serde_json::json!({
            "runs_max": 20_000, "bytes_max": 268_435_456, "waiting_max": 20_000,
            "archive_after": "10m", "keep": "30d", "keep_runs": 1_000_000,
            "janitor_every": "10s", "janitor_batch": 200,
        });
        assert_eq!(printed, expected);
        assert!(serde_json::from_str::<Config>(r#"{"archve_after": "1m"}"#).is_err());
    }
}
