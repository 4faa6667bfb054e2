//! Lists of runs.

use axum::extract::State;
use axum::response::Response;
use engine::event::RunStatus;
use engine::id::RunId;
use engine::principal::Principal;
use engine::time::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use store::port::{RunFilter, RunRow};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::gate::Shared;
use crate::page::{listed, not_of_this_list};
use crate::problem::Problem;
use crate::request::{Arg, Args, CURSOR_ARG, LIMIT_ARG};
use crate::respond::{self, Listed};
use crate::route::{Route, Shape};

/// What runs are filtered by.
pub(super) const FILTERS: [Arg; 9] = [
    Arg::several("workflow", "Of these workflows."),
    Arg::several("status", "In one of these states."),
    Arg::several(
        "label",
        "`name=value`, with commas between values of one name; a repetition asks for all of them.",
    ),
    Arg::one("since", "Created then or later (RFC 3339)."),
    Arg::one("until", "Created before (RFC 3339)."),
    Arg::several("hook", "From one of these hooks."),
    Arg::several("fingerprint", "For one of these alerts."),
    Arg::several("requester", "Asked for by one of these principals."),
    Arg::one("ending", "Whose id ends so: six characters or more."),
];
/// Filters of the contract that this version does not have.
pub(super) const LATER: [&str; 2] = ["parent", "environment"];
/// A shorter ending names too many.
const ENDING_MIN: usize = 6;
/// Each value is looked for by itself.
const VALUES_MAX: usize = 100;
/// Each label is looked up for each run.
const LABELS_MAX: usize = 20;

const ARGS: [Arg; 13] = {
    let [a, b, c, d, e, f, g, h, i] = FILTERS;
    let [parent, environment] = LATER;
    let parent = Arg::one(parent, "Not supported in this version.");
    let environment = Arg::one(environment, "Not supported in this version.");
    [
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        i,
        parent,
        environment,
        LIMIT_ARG,
        CURSOR_ARG,
    ]
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/runs", Right::Read),
            "listRuns",
            "The runs, newest first. At most 100 values of an argument and 20 labels are asked for at once.",
            list,
        )
        .args(&ARGS)
        .answer(200, "The runs.", Shape::list::<Row>()),
    ]
}

/// A run in a list.
#[derive(Serialize, ToSchema)]
#[schema(as = RunRow)]
pub(crate) struct Row {
    /// Its id.
    #[schema(value_type = String)]
    id: RunId,
    /// The number of its last record.
    version: u64,
    /// Its workflow; null for an ad-hoc call.
    workflow: Option<String>,
    /// The workflow's revision.
    revision: Option<u64>,
    /// Its status.
    #[schema(value_type = String)]
    status: RunStatus,
    /// The code of its failure, or what it waits for.
    reason: Option<String>,
    /// Its labels.
    labels: BTreeMap<String, String>,
    /// Who asked for it.
    #[schema(value_type = String)]
    requester: Principal,
    /// The hook that it came from.
    hook: Option<String>,
    /// The alert that it is for.
    fingerprint: Option<String>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was taken up.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// Where it can be looked at.
    url: String,
}

impl Row {
    fn of(row: RunRow, url: String) -> Self {
        Self {
            id: row.id,
            version: row.version,
            workflow: row.workflow,
            revision: row.revision,
            status: row.status,
            reason: row.reason,
            labels: row.labels,
            requester: row.requester,
            hook: row.hook,
            fingerprint: row.fingerprint,
            created_at: row.created_at,
            started_at: row.started_at,
            ended_at: row.ended_at,
            url,
        }
    }
}

async fn list(State(gate): State<Shared>, caller: Caller, args: Args) -> Result<Response, Problem> {
    for name in LATER {
        if args.one(name).is_some() {
            return Err(Problem::malformed(format!(
                "the argument {name} is not supported in this version"
            ))
            .code(engine::code::Code::NotSupported));
        }
    }
    let page = args.page()?;
    let Some(filter) = filter(&args)? else {
        return Ok(respond::json(&Listed::<Row>::all(Vec::new())));
    };
    let runs = gate
        .backend
        .views
        .runs(&caller.tenant, &filter, &page)
        .await
        .map_err(not_of_this_list)?;
    Ok(respond::json(&listed(runs, |row| {
        let url = gate.run_url(row.id);
        Row::of(row, url)
    })))
}

/// What the arguments ask for; `None`: they contradict each other, so nothing.
pub(super) fn filter(args: &Args) -> Result<Option<RunFilter>, Problem> {
    let mut filter = RunFilter::default();
    let mut nothing = false;
    let mut any_of = |name| {
        bounded(args, name)?;
        let parts = args.any_of(name);
        nothing |= parts.as_ref().is_some_and(Vec::is_empty);
        Ok::<_, Problem>(parts.unwrap_or_default())
    };
    filter.workflow = any_of("workflow")?;
    filter.hook = any_of("hook")?;
    filter.fingerprint = any_of("fingerprint")?;
    filter.requester = any_of("requester")?;
    let status = any_of("status")?;
    filter.status = status
        .iter()
        .map(|s| of_status(s))
        .collect::<Result<_, _>>()?;
    filter.since = args.parsed("since", "a time in RFC 3339")?;
    filter.until = args.parsed("until", "a time in RFC 3339")?;
    filter.ending = args.one("ending").map(str::to_lowercase);
    if filter.ending.as_ref().is_some_and(|e| e.len() < ENDING_MIN) {
        return Err(Problem::malformed(format!(
            "ending must have {ENDING_MIN} characters or more"
        )));
    }
    bounded(args, "label")?;
    for group in args.groups("label") {
        filter.labels.extend(labels(&group)?);
    }
    if filter.labels.len() > LABELS_MAX {
        return Err(Problem::malformed(format!(
            "at most {LABELS_MAX} labels are asked for at once"
        )));
    }
    Ok((!nothing).then_some(filter))
}

/// # Errors
/// 400 when so many values are asked for that looking for them would hold up others.
fn bounded(args: &Args, name: &str) -> Result<(), Problem> {
    let values: usize = args.groups(name).iter().map(Vec::len).sum();
    if values <= VALUES_MAX {
        return Ok(());
    }
    Err(Problem::malformed(format!(
        "{name} has {values} values: at most {VALUES_MAX} are asked for at once"
    )))
}

fn of_status(text: &str) -> Result<RunStatus, Problem> {
    let known = RunStatus::ALL.into_iter().find(|s| s.as_str() == text);
    known.ok_or_else(|| {
        let all: Vec<&str> = RunStatus::ALL.iter().map(|s| s.as_str()).collect();
        Problem::malformed(format!("{text:?} is no status of a run"))
            .hint(format!("they are {}", all.join(", ")))
    })
}

/// `a=1,b=2` and `a=1,a=2`: values of one name are alternatives.
fn labels(group: &[&str]) -> Result<Vec<(String, Vec<String>)>, Problem> {
    let mut labels: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut last: Option<String> = None;
    for part in group {
        let (name, value) = match (part.split_once('='), &last) {
            (Some((name, value)), _) => (name.to_owned(), value),
            (None, Some(name)) => (name.clone(), *part),
            (None, None) => {
                return Err(Problem::malformed(format!(
                    "the label {part:?} must be name=value"
                )));
            }
        };
        labels
            .entry(name.clone())
            .or_default()
            .push(value.to_owned());
        last = Some(name);
    }
    Ok(labels.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_label_are_alternatives() {
        let of = |group: &[&str]| labels(group).expect("labels");
        let team = |values: &[&str]| {
            let values = values.iter().map(|v| (*v).to_owned()).collect();
            vec![("team".to_owned(), values)]
        };
        assert_eq!(of(&["team=a", "b"]), team(&["a", "b"]));
        assert_eq!(of(&["team=a", "team=b"]), team(&["a", "b"]));
        assert!(labels(&["team"]).is_err());
        assert!(of_status("faild").is_err());
    }
}
