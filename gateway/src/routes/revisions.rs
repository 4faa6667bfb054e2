//! The revisions of a workflow.

use axum::extract::{Path, State};
use axum::response::Response;
use engine::digest::Digest;
use engine::principal::Principal;
use engine::registry::{Kind, SavedWorkflow, decode, revision_key};
use engine::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::gate::Shared;
use crate::page::{no_cursor, write_cursor};
use crate::problem::Problem;
use crate::request::{Args, CURSOR_ARG, LIMIT_ARG};
use crate::respond::{self, Listed};
use crate::route::{Route, Shape};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/workflows/{name}/revisions", Right::Read),
            "listWorkflowRevisions",
            "The revisions of a workflow, newest first.",
            list,
        )
        .args(&[LIMIT_ARG, CURSOR_ARG])
        .answer(200, "The revisions.", Shape::list::<Revision>()),
    ]
}

/// A revision of a workflow.
#[derive(Serialize, ToSchema)]
#[schema(as = WorkflowRevision)]
pub(crate) struct Revision {
    /// Its number.
    revision: u64,
    /// Of its definition.
    #[schema(value_type = String)]
    digest: Digest,
    /// When it was saved.
    #[schema(value_type = String, format = DateTime)]
    saved_at: Timestamp,
    /// By whom.
    #[schema(value_type = String)]
    saved_by: Principal,
}

/// Only the revisions of the page are read: each holds a whole text.
async fn list(
    State(gate): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    args: Args,
) -> Result<Response, Problem> {
    let newest = gate.workflow(&caller.tenant, &name).await?.revision;
    let page = args.page()?;
    // The cursor is the newest revision that is left.
    let left = page.after.map(|text| text.parse::<u64>());
    let left = left.transpose().map_err(|_| no_cursor())?;
    let high = left.unwrap_or(newest).min(newest);
    let low = high.saturating_sub(page.limit as u64);
    let prefix = Kind::Revisions.key(&caller.tenant, &format!("{name}/"));
    let after = revision_key(&caller.tenant, &name, low);
    let registry = &gate.backend.registry;
    let items = registry.list(&prefix, &after, page.limit).await?;
    let items = items.iter().rev().filter_map(|item| {
        let saved: SavedWorkflow = decode(&item.value).ok()?;
        (saved.revision <= high).then_some(Revision {
            revision: saved.revision,
            digest: saved.digest,
            saved_at: saved.saved_at,
            saved_by: saved.saved_by,
        })
    });
    Ok(respond::json(&Listed {
        items: items.collect(),
        next_cursor: (low > 0).then(|| write_cursor(&low.to_string())),
        incomplete: false,
    }))
}
