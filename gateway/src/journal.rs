//! Runs as their journals tell them.

use engine::event::{Event, RunStatus};
use engine::id::{RunId, RunKey, Tenant};
use engine::record::Record;
use engine::run::Run;
use serde::Serialize;
use serde_json::Value;
use store::port::{Entry, Page, RunFilter, RunRow};
use utoipa::ToSchema;

use crate::gate::Gate;
use crate::problem::Problem;

/// A run as it is read: whole, or only what the lists know when its journal is damaged.
pub(crate) enum Read {
    Whole(Box<Run>),
    Damaged(Box<RunRow>, String),
}

impl Gate {
    /// A run by its id.
    ///
    /// # Errors
    /// 404, 503.
    pub(crate) async fn read_run(&self, key: &RunKey) -> Result<Read, Problem> {
        let entries = match self.backend.journal.read(key, 0).await {
            Ok(entries) => entries,
            Err(store::Error::Corrupt(what)) => return self.damaged(key, what).await,
            Err(error) => return Err(error.into()),
        };
        if entries.is_empty() {
            return Err(Problem::not_found("run", &key.run.to_string()));
        }
        match fold(entries) {
            Ok(run) => Ok(Read::Whole(Box::new(run))),
            Err(what) => self.damaged(key, what).await,
        }
    }

    /// A run whose journal can be read.
    ///
    /// # Errors
    /// 404, 503, and 409 `record_damaged`.
    pub(crate) async fn whole_run(&self, key: &RunKey) -> Result<Box<Run>, Problem> {
        match self.read_run(key).await? {
            Read::Whole(run) => Ok(run),
            Read::Damaged(_, what) => Err(damaged_problem(&what)),
        }
    }

    async fn damaged(&self, key: &RunKey, what: String) -> Result<Read, Problem> {
        let filter = RunFilter {
            ending: Some(key.run.to_string()),
            ..RunFilter::default()
        };
        let page = Page {
            limit: 1,
            after: None,
        };
        let rows = self.backend.views.runs(&key.tenant, &filter, &page).await?;
        match rows.items.into_iter().next() {
            Some(row) => Ok(Read::Damaged(Box::new(row), what)),
            None => Err(damaged_problem(&what)),
        }
    }
}

/// 409: the journal cannot be read.
pub(crate) fn damaged_problem(what: &str) -> Problem {
    Problem::conflict(
        engine::code::Code::RecordDamaged,
        format!(
            "the run's journal is damaged ({what}): it is parked, and can only be looked at in the lists"
        ),
    )
}

/// The run that these entries make.
pub(crate) fn fold(entries: Vec<Entry>) -> Result<Run, String> {
    let records = entries.into_iter().map(|entry| (entry.record, entry.hash));
    Run::fold(records).map_err(|e| e.to_string())
}

/// The id of a run in a path.
///
/// # Errors
/// 404: what is no id names nothing.
pub(crate) fn run_id(text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(|_| {
        Problem::not_found("run", text).hint("a run is named by its whole id: a UUID of version 7")
    })
}

/// The run of a path.
///
/// # Errors
/// 404.
pub(crate) fn run_key(tenant: &Tenant, text: &str) -> Result<RunKey, Problem> {
    Ok(RunKey {
        tenant: tenant.clone(),
        run: run_id(text)?,
    })
}

/// A record of a run's journal.
#[derive(Serialize, ToSchema)]
#[schema(as = Record)]
pub(crate) struct ShownRecord {
    /// Its number, from 1 without gaps.
    n: u64,
    /// When it was decided.
    at: String,
    /// SHA-256 of its stored bytes.
    hash: String,
    /// The hash of the one before; zeros for the first.
    prev_hash: String,
    /// Tells this writing from another one.
    nonce: String,
    /// The format of envelope and events.
    format: u16,
    /// The command that it answers: `{id, command}`.
    cause: Value,
    /// What can be known without the events: `{status, due, owes}`.
    summary: Value,
    /// What was decided; `type` names each.
    events: Vec<Value>,
}

impl ShownRecord {
    /// A record with its events and its hash.
    pub(crate) fn new(record: &Record, events: &[Event], hash: engine::digest::Digest) -> Self {
        let json = |value: serde_json::Result<Value>| value.unwrap_or(Value::Null);
        Self {
            n: record.n,
            at: record.at.to_string(),
            hash: hash.to_string(),
            prev_hash: record.prev_hash.to_string(),
            nonce: record.nonce.to_string(),
            format: record.format,
            cause: json(serde_json::to_value(&record.cause)),
            summary: json(serde_json::to_value(record.summary)),
            events: events
                .iter()
                .map(|event| json(serde_json::to_value(event)))
                .collect(),
        }
    }

    /// A stored record.
    pub(crate) fn of(entry: &Entry) -> Result<Self, Problem> {
        let events = entry
            .record
            .events()
            .map_err(|e| damaged_problem(&e.to_string()))?;
        Ok(Self::new(&entry.record, &events, entry.hash))
    }
}

/// How a run ended, if these events end it.
pub(crate) fn end_in(events: &[Event]) -> Option<RunStatus> {
    events.iter().find_map(|event| {
        if let Event::RunEnded { status, .. } = event {
            return Some(*status);
        }
        None
    })
}
