//! Cancelling many runs at once.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use engine::code::Code;
use engine::command::Command;
use engine::event::RunStatus;
use engine::id::{RunId, Tenant};
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use store::port::{Page, RunFilter};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::command::Asked;
use crate::gate::{Gate, Shared};
use crate::problem::{Problem, Spot};
use crate::request::{Args, json};
use crate::respond;
use crate::route::{Route, Shape};
use crate::routes::runs::commands::check_comment;
use crate::routes::runs::list::{FILTERS, LATER, filter};

/// So many runs are asked at once.
const AT_ONCE: usize = 64;
/// More are refused: narrow the filter.
const MATCHED_MAX: usize = 10_000;
/// So many rows are read at once.
const PAGE: usize = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            ("/api/v1/runs/cancel", Right::Start),
            "cancelRuns",
            "Cancel all runs that match. Those that have ended are left out.",
            cancel,
        )
        .waits()
        .body(Shape::json::<Request>())
        .answer(
            200,
            "How many matched, and how many are cancelled.",
            Shape::json::<Cancelled>(),
        ),
    ]
}

/// Which runs to cancel, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelRuns)]
struct Request {
    /// As the arguments of the list of runs; at least one.
    #[schema(value_type = Object)]
    filter: Map<String, Json>,
    /// Not supported in this version.
    #[serde(default)]
    compensate: Option<bool>,
    /// Why; stands in the journals.
    #[serde(default)]
    reason: Option<String>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
#[schema(as = CancelledRuns)]
struct Cancelled {
    /// Runs that matched and had not ended.
    matched: usize,
    /// Runs that are cancelled, or were already.
    cancelled: usize,
}

async fn cancel(
    State(gate): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let request: Request = json(&headers, &body)?;
    if request.compensate.is_some() {
        return Err(super::commands::no_compensation());
    }
    check_comment("/reason", request.reason.as_deref())?;
    let args = as_args(&request.filter)?;
    let runs = match filter(&args)? {
        Some(filter) if filter == RunFilter::default() => return Err(everything()),
        Some(filter) => matching(&gate, &caller.tenant, filter).await?,
        None => Vec::new(),
    };
    let command = Command::Cancel {
        who: caller.who.clone(),
        reason: request.reason,
        if_unchanged: false,
    };
    let matched = runs.len();
    let asked = stream::iter(runs)
        .map(|run| {
            let key = gate.run_key(&caller.tenant, run);
            let id = gate.backend.random.nonce();
            let (gate, command) = (&gate, &command);
            async move { gate.ask(&key, id, command).await }
        })
        .buffer_unordered(AT_ONCE);
    let cancelled = asked
        .filter(|asked| {
            let done = matches!(asked, Ok(Asked::Decided | Asked::Already));
            std::future::ready(done)
        })
        .count()
        .await;
    let answer = Cancelled { matched, cancelled };
    Ok(respond::plain(StatusCode::OK, &answer))
}

fn everything() -> Problem {
    Problem::invalid_at(
        "/filter",
        "name at least one thing: this would cancel every run",
    )
}

/// The filter as arguments of the list.
fn as_args(filter: &Map<String, Json>) -> Result<Args, Problem> {
    let wrong = |name: &str, message: &str| {
        let spot = Spot::at(format!("/filter/{name}"), message);
        Problem::invalid(format!("filter.{name}: {message}"), vec![spot])
    };
    if filter.is_empty() {
        return Err(everything());
    }
    let mut pairs = Vec::new();
    for (name, value) in filter {
        if LATER.contains(&name.as_str()) {
            let problem = wrong(name, "it is not supported in this version");
            return Err(problem.code(Code::NotSupported));
        }
        let arg = FILTERS.iter().find(|arg| arg.name == name);
        let arg = arg.ok_or_else(|| wrong(name, "there is no such filter"))?;
        let texts = match value {
            Json::String(text) => vec![text.clone()],
            Json::Array(all) => all
                .iter()
                .map(|one| one.as_str().map(str::to_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| wrong(name, "a text, or a list of texts"))?,
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => {
                return Err(wrong(name, "a text, or a list of texts"));
            }
        };
        let says_nothing = |text: &String| text.split(',').all(str::is_empty);
        if texts.is_empty() || texts.iter().any(says_nothing) {
            return Err(wrong(
                name,
                "it is empty: leave it out, or say what to match",
            ));
        }
        if !arg.takes(texts.len()) {
            return Err(wrong(name, "it has one value"));
        }
        // A list is OR, except of labels, which are asked for one by one.
        match name.as_str() {
            "label" => pairs.extend(texts.into_iter().map(|text| (name.clone(), text))),
            _ => pairs.push((name.clone(), texts.join(","))),
        }
    }
    Ok(Args::of(pairs))
}

async fn matching(
    gate: &Gate,
    tenant: &Tenant,
    mut filter: RunFilter,
) -> Result<Vec<RunId>, Problem> {
    let open: Vec<RunStatus> = RunStatus::ALL.into_iter().filter(|s| !s.is_end()).collect();
    if filter.status.is_empty() {
        filter.status = open;
    } else {
        filter.status.retain(|status| !status.is_end());
        if filter.status.is_empty() {
            return Ok(Vec::new());
        }
    }
    let mut page = Page {
        limit: PAGE,
        after: None,
    };
    let mut found = Vec::new();
    loop {
        let rows = gate.backend.views.runs(tenant, &filter, &page).await?;
        found.extend(rows.items.into_iter().map(|row| row.id));
        if found.len() > MATCHED_MAX {
            return Err(Problem::invalid_at(
                "/filter",
                format!("more than {MATCHED_MAX} runs match: narrow it"),
            ));
        }
        match rows.next {
            Some(next) => page.after = Some(next),
            None => return Ok(found),
        }
    }
}
