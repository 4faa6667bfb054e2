//! Lists of runs.

use std::collections::{BTreeMap, BTreeSet};

use engine::id::{RunId, Shard, Tenant};
use engine::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::{limit, no_cursor, paged, readable};
use crate::port::{Page, Paged, RunFilter, RunRow};
use crate::sqlite::columns::{out_of_range, status, status_no};
use crate::sqlite::fault::Fault;

/// The time in a run's id and the time of its creation are at most this far apart, in milliseconds; so a span of time is
/// a span of ids.
const ID_TIME_OFF_MS_MAX: u64 = 60 * 60 * 1_000;

/// One part of the list of a tenant's runs.
pub(crate) fn list(
    conn: &Connection,
    version: Version,
    tenant: &Tenant,
    filter: &RunFilter,
    page: &Page,
) -> Result<Paged<RunRow>, Fault> {
    let after = match &page.after {
        Some(text) => Some(text.parse::<RunId>().map_err(|_| no_cursor(text))?),
        None => None,
    };
    let limit = limit(page);
    let conditions = Conditions::of(tenant, filter, after);
    let (mut ids, mut damaged) = (BTreeSet::new(), false);
    for walk in walks(filter) {
        ids.extend(conditions.walk(conn, &walk, (limit + 1, &mut damaged))?);
    }
    let ids = paged(ids.into_iter().rev().collect(), limit, RunId::to_string);
    let rows = ids.items.iter().map(|id| row(conn, version, tenant, *id));
    let rows = readable(rows, limit, &mut damaged)?;
    Ok(Paged {
        items: rows.into_iter().flatten().collect(),
        next: ids.next,
        incomplete: damaged,
    })
}

/// One way along an index: the runs with this value, newest first.
enum Walk<'a> {
    All,
    Column(&'static str, Value),
    Label(&'a str, &'a str),
}

/// The ways that together pass every run that can match, by the filter that leaves the least.
fn walks(filter: &RunFilter) -> Vec<Walk<'_>> {
    let texts = |column: &'static str, values: &[String]| {
        let text = |value: &String| Walk::Column(column, Value::Text(value.clone()));
        values.iter().map(text).collect()
    };
    if !filter.fingerprint.is_empty() {
        return texts("fingerprint", &filter.fingerprint);
    }
    if let Some((name, values)) = filter.labels.first() {
        return values
            .iter()
            .map(|value| Walk::Label(name, value))
            .collect();
    }
    // All but one status are rare among a million runs.
    let rare = |status| status != engine::event::RunStatus::Succeeded;
    if !filter.status.is_empty() && filter.status.iter().copied().all(rare) {
        return statuses(filter);
    }
    for (column, values) in [
        ("workflow", &filter.workflow),
        ("hook", &filter.hook),
        ("requester", &filter.requester),
    ] {
        if !values.is_empty() {
            return texts(column, values);
        }
    }
    if filter.status.is_empty() {
        vec![Walk::All]
    } else {
        statuses(filter)
    }
}

fn statuses(filter: &RunFilter) -> Vec<Walk<'_>> {
    let number = |status| Walk::Column("status", Value::Integer(status_no(status)));
    filter.status.iter().copied().map(number).collect()
}

/// What every row of the list must fulfil, as SQL and its parameters.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn of(tenant: &Tenant, filter: &RunFilter, after: Option<RunId>) -> Self {
        let mut all = Self {
            sql: "v.tenant = ?".to_owned(),
            values: vec![Value::Text(tenant.as_str().to_owned())],
        };
        if let Some(after) = after {
            all.add(" AND v.id < ?", [blob(after)]);
        }
        all.add_times(filter);
        all.add_any("v.workflow", &filter.workflow);
        all.add_any("v.hook", &filter.hook);
        all.add_any("v.fingerprint", &filter.fingerprint);
        all.add_any("v.requester", &filter.requester);
        let numbers = filter.status.iter().copied().map(status_no);
        all.add_in("v.status", numbers.map(Value::Integer).collect());
        for (name, values) in &filter.labels {
            all.sql.push_str(" AND EXISTS (SELECT 1 FROM view_label AS w WHERE w.tenant = v.tenant AND w.id = v.id");
            all.add(" AND w.name = ?", [Value::Text(name.clone())]);
            all.add_any("w.value", values);
            all.sql.push(')');
        }
        if let Some(ending) = &filter.ending {
            all.add_ending(ending);
        }
        all
    }

    fn add(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    fn add_any(&mut self, column: &str, values: &[String]) {
        self.add_in(column, values.iter().cloned().map(Value::Text).collect());
    }

    fn add_in(&mut self, column: &str, values: Vec<Value>) {
        if !values.is_empty() {
            let places = vec!["?"; values.len()].join(", ");
            // The plus keeps the database from taking this column's index instead of the one that is walked.
            self.add(&format!(" AND +{column} IN ({places})"), values);
        }
    }

    fn add_times(&mut self, filter: &RunFilter) {
        if let Some(since) = filter.since {
            let first = since.millis().saturating_sub(ID_TIME_OFF_MS_MAX);
            self.add(" AND v.created_at >= ?", [millis(since)]);
            self.add(" AND v.id >= ?", [blob(first_id(first))]);
        }
        if let Some(until) = filter.until {
            let end = until.millis().saturating_add(ID_TIME_OFF_MS_MAX);
            self.add(" AND v.created_at < ?", [millis(until)]);
            self.add(" AND v.id < ?", [blob(first_id(end))]);
        }
    }

    /// The id printed ends so. Whole bytes are compared as such, which costs little for each row that is passed.
    fn add_ending(&mut self, ending: &str) {
        let digits: String = ending.chars().filter(|c| *c != '-').collect();
        let upper = digits.to_ascii_uppercase();
        let length = i64::try_from(upper.chars().count()).unwrap_or(i64::MAX);
        if upper.is_empty() {
            return;
        }
        if let Some(bytes) = last_bytes(&upper) {
            let count = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
            self.add(
                " AND substr(v.id, -?) = ?",
                [Value::Integer(count), Value::Blob(bytes)],
            );
        }
        self.add(
            " AND substr(hex(v.id), -?) = ?",
            [Value::Integer(length), Value::Text(upper)],
        );
    }

    /// The newest ids on one way, at most `max`; and whether one is damaged.
    fn walk(
        &self,
        conn: &Connection,
        walk: &Walk<'_>,
        (max, damaged): (usize, &mut bool),
    ) -> rusqlite::Result<Vec<RunId>> {
        let all = &self.sql;
        let mut values = self.values.clone();
        let sql = match walk {
            Walk::All => {
                format!("SELECT v.id FROM view_run AS v WHERE {all} ORDER BY v.id DESC")
            }
            Walk::Column(column, value) => {
                values.push(value.clone());
                format!(
                    "SELECT v.id FROM view_run AS v INDEXED BY view_run_{column}
                     WHERE {all} AND v.{column} = ? ORDER BY v.id DESC"
                )
            }
            Walk::Label(name, value) => {
                values.extend([name, value].map(|text| Value::Text((*text).to_owned())));
                format!(
                    "SELECT l.id FROM view_label AS l CROSS JOIN view_run AS v
                     ON v.tenant = l.tenant AND v.id = l.id
                     WHERE {all} AND l.tenant = v.tenant AND l.name = ? AND l.value = ?
                     ORDER BY l.id DESC"
                )
            }
        };
        let mut statement = conn.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| id(row, 0))?;
        readable(rows, max, damaged)
    }
}

/// Whole bytes at the end of upper-case hexadecimal digits; `None` when there are none, or other characters.
fn last_bytes(upper: &str) -> Option<Vec<u8>> {
    let even = upper.len() - upper.len() % 2;
    if even == 0 || !upper.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let tail = &upper[upper.len() - even..];
    let byte = |at: usize| u8::from_str_radix(&tail[at..at + 2], 16).ok();
    (0..even).step_by(2).map(byte).collect()
}

fn first_id(millis: u64) -> RunId {
    RunId::new(Timestamp::from_millis(millis), Shard(0), 0)
}

fn blob(id: RunId) -> Value {
    Value::Blob(id.as_bytes().to_vec())
}

fn millis(time: Timestamp) -> Value {
    Value::Integer(crate::sqlite::columns::int(time.millis()))
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<RunId> {
    RunId::from_bytes(row.get(column)?).ok_or_else(|| out_of_range(column))
}

/// Where the number of a run's last record is.
#[derive(Clone, Copy)]
pub(crate) enum Version {
    /// In its row.
    OfRow,
    /// Beside the records, in the table `run`; the row is written when it changes otherwise.
    OfRecords,
}

/// The row of a run, with the number of its last record as it is now.
fn row(
    conn: &Connection,
    version: Version,
    tenant: &Tenant,
    run: RunId,
) -> rusqlite::Result<Option<RunRow>> {
    let version = match version {
        Version::OfRow => "version",
        Version::OfRecords => {
            "coalesce((SELECT n FROM run WHERE tenant = ?1 AND id = ?2), version)"
        }
    };
    let sql = format!(
        "SELECT {version},
            workflow, revision, status, reason, labels, requester, hook, fingerprint,
            created_at, started_at, ended_at
        FROM view_run WHERE tenant = ?1 AND id = ?2"
    );
    conn.prepare_cached(&sql)?
        .query_row((tenant.as_str(), run.as_bytes()), |row| {
            let requester: String = row.get(6)?;
            let labels: Vec<u8> = row.get(5)?;
            let time = |column| -> rusqlite::Result<Option<Timestamp>> {
                Ok(row
                    .get::<_, Option<u64>>(column)?
                    .map(Timestamp::from_millis))
            };
            Ok(RunRow {
                id: run,
                version: row.get(0)?,
                workflow: row.get(1)?,
                revision: row.get(2)?,
                status: status(row.get(3)?).ok_or_else(|| out_of_range(3))?,
                reason: row.get(4)?,
                labels: self::labels(&labels),
                requester: requester.parse().map_err(|_| out_of_range(6))?,
                hook: row.get(7)?,
                fingerprint: row.get(8)?,
                created_at: Timestamp::from_millis(row.get(9)?),
                started_at: time(10)?,
                ended_at: time(11)?,
            })
        })
        .optional()
}

/// The labels in a row; a view that is damaged there shows none.
pub(crate) fn labels(bytes: &[u8]) -> BTreeMap<String, String> {
    minicbor::decode(bytes).unwrap_or_default()
}
