//! The run machine: `decide` turns a command into events, `apply` makes them part of the state, `owed` says what must be
//! done next.
//!
//! Start reading at [`Run::decide`]; then `advance`, which takes a run as far as it goes by itself.

mod advance;
mod apply;
mod asking;
mod begin;
mod cancel;
mod decide;
mod draft;
mod due;
mod ending;
mod fan_out;
mod items;
mod lose;
mod outcome;
mod prepare;
mod questions;
mod report;
mod resolve;
mod restored;
mod scope;
mod settle;
mod state;
mod step;
mod tries;
mod wake;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use state::{At, Consent, Counts, End, FanOut, Head, Question, State, Step, Steps, Stop, Try};

use crate::digest::Digest;
use crate::event::{Event, Failure, RunCreated, RunStatus, Section};
use crate::id::{Attempt, CommandId, Nonce, RunKey, StepNo};
use crate::job::{self, Job, JobKind, Terms};
use crate::record::{self, BadRecord, Cause, Encoded, Record, Summary};
use crate::time::Timestamp;
use crate::value::{INLINE_BYTES_MAX, INLINE_BYTES_MAX_LONG, LONG_JOURNAL_BYTES};

/// A run remembers the ids of its last commands.
const COMMANDS_KEPT: usize = 1_000;

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// The events; none when there is nothing to do, or it is so already.
    pub events: Vec<Event>,
    /// Values that must be in `Blobs` before the events are appended.
    pub blobs: Vec<(Digest, Vec<u8>)>,
}

/// A run: the fold of its journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    state: State<Vec<Step>>,
    n: u64,
    hash: Digest,
    at: Timestamp,
    bytes: u64,
    events: u64,
    commands: VecDeque<CommandId>,
}

/// An attempt that must be queued, or in somebody's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owed {
    /// Which step.
    pub step: StepNo,
    /// Which attempt.
    pub attempt: Attempt,
    /// Whether its call was granted: it is never offered again, only watched.
    pub granted: bool,
}

impl Run {
    /// The first record of a new run. With `failure` the run has ended with it: an event is never swallowed.
    #[must_use]
    pub fn create(
        key: RunKey,
        created: RunCreated,
        failure: Option<Failure>,
        stamp: Stamp,
    ) -> (Self, Encoded, Vec<Event>) {
        let created = Arc::new(created);
        let mut run = Self::new(key, &created, stamp.at);
        let mut events = vec![Event::RunCreated(created)];
        if let Some(failure) = failure {
            events.push(Event::RunEnded {
                status: RunStatus::Failed,
                outputs: BTreeMap::new(),
                failure: Some(failure),
            });
        }
        let record = run.commit(&events, stamp);
        (run, record, events)
    }

    fn new(key: RunKey, created: &Arc<RunCreated>, at: Timestamp) -> Self {
        let head = Head {
            key,
            created: Arc::clone(created),
            created_at: at,
            started_at: None,
            ended_at: None,
            section: Section::Steps,
            stop: None,
            cancelled: false,
            timed_out: false,
            halted: false,
            vars: Arc::default(),
            names: Arc::default(),
            ready: Default::default(),
            open: Default::default(),
            questions: Default::default(),
            left: 0,
            touched: false,
            changed: false,
            parked: None,
            restores: 0,
            restored_at: None,
            end: None,
            counts: Counts::default(),
        };
        Self {
            state: State {
                head,
                steps: Vec::new(),
            },
            n: 0,
            hash: Digest::ZERO,
            at,
            bytes: 0,
            events: 0,
            commands: VecDeque::new(),
        }
    }

    /// The run that these records make, in order from the first.
    ///
    /// # Errors
    /// [`BadRecord`] when one cannot be read or does not follow the one before it.
    pub fn fold(entries: impl IntoIterator<Item = (Record, Digest)>) -> Result<Self, BadRecord> {
        let mut run: Option<Self> = None;
        for (record, hash) in entries {
            let events = record.events()?;
            match &mut run {
                Some(run) => run.follow(&record, &events, hash)?,
                None => run = Some(Self::begin(&record, &events, hash)?),
            }
        }
        run.ok_or_else(|| BadRecord::Garbage("the journal is empty".to_owned()))
    }

    /// The run that its first record makes: `events` are those inside, `hash` is that of its stored bytes.
    ///
    /// # Errors
    /// [`BadRecord`] when no journal begins with it.
    pub fn begin(record: &Record, events: &[Event], hash: Digest) -> Result<Self, BadRecord> {
        let Some(Event::RunCreated(created)) = events.first() else {
            return Err(BadRecord::Garbage("RunCreated comes first".to_owned()));
        };
        let mut run = Self::new(record.key.clone(), created, record.at);
        run.follow(record, events, hash)?;
        Ok(run)
    }

    /// Makes the next record of its journal part of the run; one that does not follow changes nothing.
    ///
    /// # Errors
    /// [`BadRecord::Chain`] when it is not the next one.
    pub fn follow(
        &mut self,
        record: &Record,
        events: &[Event],
        hash: Digest,
    ) -> Result<(), BadRecord> {
        record::check_chain(record, self.key(), self.n, self.hash)?;
        self.advance_to(record, events, hash, record.payload.len() as u64);
        Ok(())
    }

    fn advance_to(&mut self, record: &Record, events: &[Event], hash: Digest, size: u64) {
        for event in events {
            self.state.apply(event, record.at);
        }
        self.n = record.n;
        self.hash = hash;
        self.at = record.at;
        self.bytes += size;
        self.events += events.len() as u64;
        if self.commands.len() == COMMANDS_KEPT {
            self.commands.pop_front();
        }
        self.commands.push_back(record.cause.id);
    }

    /// Makes `events` part of the run, and gives the record to append. If appending it fails, drop the run and load it.
    #[must_use = "the record must be appended"]
    pub fn commit(&mut self, events: &[Event], stamp: Stamp) -> Encoded {
        let mut record = Record {
            format: record::FORMAT,
            key_id: None,
            codec: 0,
            key: self.key().clone(),
            n: self.n + 1,
            prev_hash: self.hash,
            at: stamp.at.max(self.at),
            nonce: stamp.nonce,
            cause: stamp.cause,
            summary: self.summary(),
            payload: record::encode_events(events),
        };
        let size = record.payload.len() as u64;
        self.advance_to(&record, events, Digest::ZERO, size);
        record.summary = self.summary();
        let record = Encoded::of(record);
        self.hash = record.hash();
        record
    }

    /// Whose run, which run.
    #[must_use]
    pub fn key(&self) -> &RunKey {
        &self.state.head.key
    }

    /// The number of its last record.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The hash of its last record.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// When its last record was decided.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Its state, to be shown.
    #[must_use]
    pub fn state(&self) -> &State<Vec<Step>> {
        &self.state
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        self.state.status()
    }

    /// When to ask [`crate::command::Command::Wake`]; a time of the past means at once.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.state.due()
    }

    /// The same while a worker has one of its attempts in hand.
    #[must_use]
    pub fn due_while(&self, in_hand: bool) -> Option<Timestamp> {
        self.state.due_while(in_hand)
    }

    /// What can be known of it without its events.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let owes = self.owed().next().is_some();
        Summary {
            status: self.status(),
            due: self.due(),
            owes,
        }
    }

    /// Attempts that must be queued, or in somebody's hands.
    pub fn owed(&self) -> impl Iterator<Item = Owed> + '_ {
        let parked = self.state.head.parked.is_some();
        let open = self.state.head.open.iter().filter(move |_| !parked);
        let steps = open.filter_map(|no| self.state.steps.get(*no));
        steps.filter_map(|step| {
            let (attempt, _) = step.at.attempt()?;
            let granted = matches!(step.at, At::Granted { .. });
            Some(Owed {
                step: step.no,
                attempt,
                granted,
            })
        })
    }

    /// Until when a granted call may begin; `None` when this attempt has no grant for this nonce.
    #[must_use]
    pub fn granted(&self, step: StepNo, attempt: Attempt, nonce: Nonce) -> Option<Timestamp> {
        let step = self.state.steps.get(step)?;
        let At::Granted {
            attempt: held,
            nonce: bound,
            start_by,
            ..
        } = step.at
        else {
            return None;
        };
        (held == attempt && bound == nonce).then_some(start_by)
    }

    /// Whether somebody still waits for this attempt; if not, a READ call may be cut.
    #[must_use]
    pub fn wanted(&self, step: StepNo, attempt: Attempt) -> bool {
        self.owed()
            .any(|owed| owed.step == step && owed.attempt == attempt)
    }

    /// The job of a step's present attempt.
    #[must_use]
    pub fn job(&self, no: StepNo) -> Option<Job> {
        let step = self.state.steps.get(no)?;
        let (attempt, look_up) = step.at.attempt()?;
        let created = &self.state.head.created;
        let last_lost = step.attempts.iter().rev().nth(1).is_some_and(|t| t.lost);
        Some(Job {
            key: self.key().clone(),
            step: no,
            name: step.name.clone(),
            attempt,
            kind: if look_up {
                JobKind::LookUp
            } else {
                JobKind::Call
            },
            action: self.state.action(step)?.clone(),
            call: step.call.as_deref()?.clone(),
            requester: created.requester.clone(),
            approval: self.consent(step),
            idempotency_key: format!("{}.{}", self.key().run, no.0),
            traceparent: created.traceparent.clone(),
            dispatched_at: step.attempts.last()?.started_at,
            workflow: created.workflow.as_ref().map(|w| w.name.clone()),
            labels: created.labels.clone(),
            try_number: step.failed_tries + 1,
            resume: last_lost,
            definition: created.definition,
            revision: created.workflow.as_ref().map(|w| w.revision),
        })
    }

    fn consent(&self, step: &Step) -> Option<job::Consent> {
        let (holder, consent) = self.state.consent(step)?;
        let asked = &consent.asked;
        Some(job::Consent {
            bytes: asked.bytes.clone(),
            digest: consent.approved_digest()?,
            item: step.item().map_or(0, |(_, index)| index),
            step: self.state.steps.get(holder)?.name.clone(),
            terms: Terms {
                asking: asked.asking,
                by: asked.by.clone(),
                quorum: asked.quorum,
                not_requester: asked.not_requester,
                expires_at: asked.expires_at,
            },
        })
    }

    /// Up to how many bytes a value stands in the event itself.
    #[must_use]
    pub fn inline_bytes_max(&self) -> usize {
        if self.bytes > LONG_JOURNAL_BYTES {
            INLINE_BYTES_MAX_LONG
        } else {
            INLINE_BYTES_MAX
        }
    }
}

/// When, under which nonce and for which command a record is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// When it was decided.
    pub at: Timestamp,
    /// Tells this writing from another one.
    pub nonce: Nonce,
    /// The command that it answers.
    pub cause: Cause,
}
