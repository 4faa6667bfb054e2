//! Sees everything that happens, as it happens, and holds it against the invariants.
//!
//! It stands directly at the store and at the simulated systems, where nothing goes wrong on the way: what it sees is
//! what is true, whatever the roles believe.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use engine::command::Command;
use engine::digest::Digest;
use engine::event::{ApprovalState, Event};
use engine::id::{CommandId, Nonce, RunKey};
use engine::job::{AttemptKey, Job};
use engine::principal::{Principal, Role};
use engine::record::{Encoded, Record};
use engine::run::{Run, Stamp};
use engine::time::Timestamp;
use store::port::RunRow;
use tokio::sync::Notify;

use crate::invariant::{Invariant, all};
use crate::workflows::Saved;

/// Something that happened.
pub(crate) enum Moment<'a> {
    /// A record is stored.
    Appended {
        run: &'a Seen,
        before: Option<&'a Run>,
        record: &'a Record,
        events: &'a [Event],
    },
    /// A worker asked for leave, for the first time with this nonce.
    Asked {
        attempt: &'a AttemptKey,
        nonce: Nonce,
    },
    /// A worker was granted leave.
    Granted {
        attempt: &'a AttemptKey,
        nonce: Nonce,
    },
    /// An agent was told where the question with these words stands.
    Told {
        attempt: &'a AttemptKey,
        said: Digest,
        state: ApprovalState,
    },
    /// A plugin got a call.
    Called {
        job: &'a Job,
        params: &'a [u8],
        checkpoint: &'a [u8],
    },
    /// A system was changed, under this key, and so often by now.
    Changed { key: &'a str, times: u32 },
    /// A client was told 202.
    Accepted { request: &'a str, run: &'a RunKey },
    /// Somebody's role changed; `None`: they are out.
    Role {
        who: &'a Principal,
        role: Option<Role>,
    },
    /// Somebody was told that this command was decided, or that it is so already.
    Settled {
        run: &'a RunKey,
        id: CommandId,
        command: &'a Command,
    },
    /// The store is lost, and another life of it begins out of a backup. What is known of it is what was known when the
    /// backup was made.
    Restored {
        /// What is not as it was then.
        differs: &'a [String],
    },
    /// An owner of shards stopped by itself.
    Stopped { why: &'a str },
    /// Nothing has gone wrong since.
    Calm { since: Timestamp },
    /// What the list of all runs shows at the end.
    Listed { rows: &'a [RunRow] },
    /// Nothing happens any more, and nothing went wrong for a long time.
    End,
}

/// A run as its journal tells.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) run: Run,
    pub(crate) entries: Vec<(Record, Digest)>,
}

/// Everything that an invariant may look at.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) now: Timestamp,
    pub(crate) runs: BTreeMap<RunKey, Seen>,
    /// What was saved before anything began.
    pub(crate) saved: &'static Saved,
    /// Runs whose stored records nobody can read any more.
    pub(crate) damaged: BTreeSet<RunKey>,
}

impl Known {
    /// When the newest record was made.
    pub(crate) fn newest(&self) -> Timestamp {
        let last = self.runs.values().filter_map(|seen| seen.entries.last());
        let newest = last.map(|(record, _)| record.at).max();
        newest.unwrap_or(Timestamp::from_millis(0))
    }

    /// The runs that can be read.
    pub(crate) fn sound(&self) -> impl Iterator<Item = (&RunKey, &Seen)> {
        self.runs
            .iter()
            .filter(|(key, _)| !self.damaged.contains(key))
    }
}

/// What is wrong, and by which invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: &'static str,
    pub(crate) what: String,
}

/// What a judge knew when a backup was made.
pub(crate) struct Memory {
    known: Known,
    invariants: Vec<Box<dyn Invariant>>,
}

impl Memory {
    pub(crate) fn known(&self) -> &Known {
        &self.known
    }
}

pub(crate) struct Judge {
    inner: Mutex<Inner>,
    /// Told when there is a verdict.
    pub(crate) broken: Notify,
}

struct Inner {
    known: Known,
    invariants: Vec<Box<dyn Invariant>>,
    verdict: Option<Violation>,
}

impl Judge {
    pub(crate) fn new(saved: &'static Saved) -> Self {
        let known = Known {
            now: Timestamp::from_millis(0),
            saved,
            runs: BTreeMap::new(),
            damaged: BTreeSet::new(),
        };
        let inner = Inner {
            known,
            invariants: all(),
            verdict: None,
        };
        Self {
            inner: Mutex::new(inner),
            broken: Notify::new(),
        }
    }

    /// Something else than a record happened.
    pub(crate) fn see(&self, now: Timestamp, moment: &Moment<'_>) {
        let mut inner = self.lock();
        inner.known.now = now;
        inner.judge(moment);
        self.tell(&inner);
    }

    /// A record was stored.
    pub(crate) fn appended(&self, now: Timestamp, record: &Encoded, events: &[Event]) {
        let mut inner = self.lock();
        inner.known.now = now;
        inner.appended(record, events);
        self.tell(&inner);
    }

    /// What is known now.
    pub(crate) fn memory(&self) -> Memory {
        let inner = self.lock();
        Memory {
            known: inner.known.clone(),
            invariants: inner.invariants.iter().map(|i| i.keep()).collect(),
        }
    }

    /// The store is what it was when this was all that was known, as far as `differs` does not say otherwise.
    pub(crate) fn restored(&self, now: Timestamp, memory: Memory, differs: &[String]) {
        let mut inner = self.lock();
        inner.known = Known {
            now,
            ..memory.known
        };
        inner.invariants = memory.invariants;
        inner.judge(&Moment::Restored { differs });
        self.tell(&inner);
    }

    fn tell(&self, inner: &Inner) {
        if inner.verdict.is_some() {
            self.broken.notify_one();
        }
    }

    /// The records of a run were damaged.
    pub(crate) fn damaged(&self, key: &RunKey) {
        self.lock().known.damaged.insert(key.clone());
    }

    /// The first thing that was wrong.
    pub(crate) fn verdict(&self) -> Option<Violation> {
        self.lock().verdict.clone()
    }

    /// Looks at what is known.
    pub(crate) fn known<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.lock().known)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("an invariant never panics")
    }
}

impl Inner {
    fn judge(&mut self, moment: &Moment<'_>) {
        if self.verdict.is_some() {
            return;
        }
        for invariant in &mut self.invariants {
            if let Err(what) = invariant.see(moment, &self.known) {
                let invariant = invariant.name();
                self.verdict = Some(Violation { invariant, what });
                return;
            }
        }
    }

    fn appended(&mut self, record: &Encoded, events: &[Event]) {
        match self.grow(record, events) {
            Ok(before) => {
                let run = self.known.runs.remove(&record.key).expect("it just grew");
                self.judge(&Moment::Appended {
                    run: &run,
                    before: before.as_ref(),
                    record,
                    events,
                });
                self.known.runs.insert(record.key.clone(), run);
            }
            Err(what) => {
                let invariant = "legal states";
                self.verdict.get_or_insert(Violation { invariant, what });
            }
        }
    }

    /// Makes the same run from the same events, which must give the same record to the last bit: what the owner had in
    /// memory was the fold of the journal.
    fn grow(&mut self, record: &Encoded, events: &[Event]) -> Result<Option<Run>, String> {
        let entry = (record.clone().into_record(), record.hash());
        let Some(seen) = self.known.runs.get_mut(&record.key) else {
            let run = Run::fold([entry.clone()]).map_err(|e| e.to_string())?;
            let entries = vec![entry];
            self.known
                .runs
                .insert(record.key.clone(), Seen { run, entries });
            return Ok(None);
        };
        let before = seen.run.clone();
        let stamp = Stamp {
            at: record.at,
            nonce: record.nonce,
            cause: record.cause.clone(),
        };
        let again = seen.run.commit(events, stamp);
        if again != *record {
            return Err(format!(
                "{}: record {} is not what its events make of the journal: {again:?} != {record:?}",
                record.key.run, record.n
            ));
        }
        seen.entries.push(entry);
        Ok(Some(before))
    }
}
