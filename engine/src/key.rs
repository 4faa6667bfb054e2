//! What stands in the keys that lead to runs: Idempotency-Keys, alert episodes, events of hooks.
//!
//! A key is created before its runs, with their ids inside: whoever comes later under the same key finds the same runs
//! and creates what is missing. Before a run is removed, every key that it names ([`crate::event::RunCreated::keys`])
//! is marked with [`KeyState::mark_gone`], so that nobody creates it again.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::RunId;
use crate::principal::Principal;
use crate::time::Timestamp;

/// A run id may be created for so long after the time inside it, in milliseconds; after that its owner drops it.
pub const CREATE_WITHIN_MS: u64 = 5 * 60 * 1_000;

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum KeyState {
    /// A request that creates one run.
    Submit {
        /// Of the request's body.
        body: Digest,
        /// The run.
        run: PlannedRun,
    },
    /// Another request: its first answer, once there is one.
    Answer {
        /// Of the request's body.
        body: Digest,
        /// What was answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<FirstAnswer>,
    },
    /// An event of a hook that stands for itself.
    Event {
        /// Its runs.
        runs: Vec<PlannedRun>,
    },
    /// An alert, or a group of alerts, from its first firing until it is resolved.
    Episode(Episode),
}

/// The answer to the first request with an Idempotency-Key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirstAnswer {
    /// Its status.
    pub status: u16,
    /// Its JSON body.
    pub body: serde_json::Value,
}

/// A run that a key leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// Of which workflow; empty for an ad-hoc call.
    pub workflow: String,
    /// Its id.
    pub run: RunId,
    /// It was removed: it must not be created again.
    #[serde(default)]
    pub gone: bool,
    /// The end of the alert that started it cancels it, unless it has changed something.
    #[serde(default)]
    pub cancel: bool,
}

impl PlannedRun {
    /// A run that is to be created.
    #[must_use]
    pub fn new(workflow: &str, run: RunId) -> Self {
        Self {
            workflow: workflow.to_owned(),
            run,
            gone: false,
            cancel: false,
        }
    }
}

/// What is known of one alert (or group) of one hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// When it ended; `None` while it fires.
    pub ended_at: Option<Timestamp>,
    /// Every `startsAt` that was seen in it, at most [`SEEN_MAX`] of them.
    pub seen: BTreeSet<Timestamp>,
    /// When it was delivered last.
    pub last_seen: Timestamp,
    /// The runs that its opening started.
    pub runs: Vec<PlannedRun>,
    /// The runs that its end started (`resolved: start`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended_runs: Vec<PlannedRun>,
}

/// So many `startsAt` an episode remembers: the oldest are dropped, for only new ones open another episode.
pub const SEEN_MAX: usize = 64;

impl KeyState {
    /// The bytes that are stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("its keys are text")
    }

    /// From stored bytes.
    ///
    /// # Errors
    /// What does not fit.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|e| e.to_string())
    }

    /// Marks `run` as removed; answers whether that changed anything.
    pub fn mark_gone(&mut self, run: RunId) -> bool {
        let mut changed = false;
        for planned in self.runs_mut() {
            if planned.run == run && !planned.gone {
                planned.gone = true;
                changed = true;
            }
        }
        changed
    }

    fn runs_mut(&mut self) -> Vec<&mut PlannedRun> {
        match self {
            Self::Submit { run, .. } => vec![run],
            Self::Answer { .. } => Vec::new(),
            Self::Event { runs } => runs.iter_mut().collect(),
            Self::Episode(episode) => {
                let Episode {
                    runs, ended_runs, ..
                } = episode;
                runs.iter_mut().chain(ended_runs).collect()
            }
        }
    }
}

/// The name of an Idempotency-Key: per principal and path.
#[must_use]
pub fn idempotency_key(who: &Principal, path: &str, key: &str) -> String {
    format!("idempotency/{}", digest_of(&[&who.to_string(), path, key]))
}

/// The name of the key of an alert's episode, or of a group's.
#[must_use]
pub fn episode_key(hook: &str, per: &str, fingerprint: &str) -> String {
    format!("episode/{hook}/{}", digest_of(&[per, fingerprint]))
}

/// The name of the key of an event that stands for itself.
#[must_use]
pub fn event_key(hook: &str, identity: &str) -> String {
    format!("event/{hook}/{}", digest_of(&[identity]))
}

/// A digest in which no two lists of parts look the same.
fn digest_of(parts: &[&str]) -> Digest {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Shard;

    fn run(n: u64) -> PlannedRun {
        PlannedRun::new("hello", RunId::new(Timestamp::from_millis(n), Shard(0), n))
    }

    #[test]
    fn a_removed_run_is_marked_wherever_a_key_names_it() {
        let episode = Episode {
            ended_at: None,
            seen: BTreeSet::new(),
            last_seen: Timestamp::from_millis(1),
            runs: vec![run(1), run(2)],
            ended_runs: vec![run(3)],
        };
        let mut state = KeyState::Episode(episode);
        assert!(state.mark_gone(run(2).run));
        assert!(state.mark_gone(run(3).run));
        assert!(!state.mark_gone(run(3).run), "again changes nothing");
        assert!(!state.mark_gone(run(9).run), "another's changes nothing");
        let KeyState::Episode(read) = KeyState::decode(&state.encode()).expect("what was written")
        else {
            panic!("another kind came back");
        };
        let gone: Vec<bool> = read.runs.iter().map(|r| r.gone).collect();
        assert_eq!((gone, read.ended_runs[0].gone), (vec![false, true], true));
    }

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other() {
        let who = |name: &str| Principal::Key(name.to_owned());
        assert_ne!(
            idempotency_key(&who("a"), "b/c", "d"),
            idempotency_key(&who("a"), "b", "c/d")
        );
        assert_ne!(
            episode_key("h", "alert", "x"),
            episode_key("h", "group", "x")
        );
    }
}
