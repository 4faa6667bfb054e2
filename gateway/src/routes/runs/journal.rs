//! The records of a run, with their hashes.

use axum::extract::{Path, State};
use axum::response::Response;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::gate::Shared;
use crate::journal::{ShownRecord, damaged_problem, run_key};
use crate::page::{no_cursor, write_cursor};
use crate::problem::Problem;
use crate::request::{Args, CURSOR_ARG, LIMIT_ARG};
use crate::respond::{self, Listed};
use crate::route::{Route, Shape};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/runs/{id}/journal", Right::Read),
            "getJournal",
            "The records of a run, in order, each with the hash that the next one names.",
            journal,
        )
        .args(&[LIMIT_ARG, CURSOR_ARG])
        .answer(200, "The records.", Shape::list::<ShownRecord>()),
    ]
}

async fn journal(
    State(gate): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    args: Args,
) -> Result<Response, Problem> {
    let key = run_key(&caller.tenant, &id)?;
    let page = args.page()?;
    let after = match &page.after {
        None => 0,
        Some(cursor) => cursor.parse().map_err(|_| no_cursor())?,
    };
    let entries = match gate.backend.journal.read(&key, after).await {
        Ok(entries) => entries,
        Err(store::Error::Corrupt(what)) => return Err(damaged_problem(&what)),
        Err(error) => return Err(error.into()),
    };
    if entries.is_empty() && !gate.exists(&key).await? {
        return Err(Problem::not_found("run", &id));
    }
    let more = entries.len() > page.limit;
    let entries = &entries[..entries.len().min(page.limit)];
    let items = entries
        .iter()
        .map(ShownRecord::of)
        .collect::<Result<Vec<_>, _>>()?;
    let last = entries.last().filter(|_| more);
    Ok(respond::json(&Listed {
        items,
        next_cursor: last.map(|entry| write_cursor(&entry.record.n.to_string())),
        incomplete: false,
    }))
}
