//! Events from outside: is it authentic, what happened, who wants it, which runs come of it.
//!
//! One file for each type of hook says what its events are; `episode` says when an alert is the same alert, and
//! [`settle`] makes keys and runs of it, so that nothing is lost and nothing is started twice, whoever dies where.

pub(crate) mod alertmanager;
pub(crate) mod credential;
pub(crate) mod episode;
pub(crate) mod generic;
pub(crate) mod github;
pub(crate) mod rate;
pub(crate) mod settle;
pub(crate) mod trigger;
pub(crate) mod verify;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use engine::id::RunId;
use serde_json::Value as Json;

/// So many runs are remembered as created.
const KNOWN_MAX: usize = 100_000;

/// A delivery that was found authentic.
pub(crate) struct Delivery<'a> {
    /// Its id.
    pub(crate) id: &'a str,
    /// The hook's name.
    pub(crate) hook: &'a str,
    /// W3C trace context.
    pub(crate) traceparent: &'a str,
}

/// Something that happened, as expressions see it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Occurrence {
    /// What `event` is.
    pub(crate) event: Json,
    /// Of the alert, or of the group.
    pub(crate) fingerprint: Option<String>,
}

/// A run that a delivery made or found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) workflow: String,
    pub(crate) run: RunId,
    /// Whether it ended before it began, because the trigger is wrong.
    pub(crate) failed: bool,
}

/// What came of one occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// It changed something: these runs were made, or told that the alert is over.
    Of(Vec<Found>),
    /// It was known already, with these runs.
    Known(Vec<Found>),
    /// Nobody wanted it.
    Unmatched,
}

/// Runs that are known to be created: a repeated alert need not look for them.
#[derive(Default)]
pub(crate) struct Created(Mutex<BTreeSet<RunId>>);

impl Created {
    pub(crate) fn knows(&self, run: RunId) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&run)
    }

    pub(crate) fn learn(&self, run: RunId) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(run);
        if known.len() > KNOWN_MAX {
            // Ids sort by time: the oldest goes.
            known.pop_first();
        }
    }
}
