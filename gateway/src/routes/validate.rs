//! The checks of saving, without saving; and what documents look like.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use engine::definition::StepKind;
use engine::digest::Digest;
use engine::event::Section;
use engine::language::{self, CheckedWorkflow, Document};
use engine::manifest::Actions;
use engine::principal::Permission;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::right::Right;
use crate::documents::Written;
use crate::gate::Shared;
use crate::problem::{Problem, Spot};
use crate::respond;
use crate::route::{Keyed, Route, Shape};
use crate::routes::workflows::YAML;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            ("/api/v1/validate", Right::Validate),
            "validateDocument",
            "Check a document of any kind. Nothing is saved.",
            validate,
        )
        .keyed(Keyed::Natural)
        .body(Shape::object(YAML))
        .body(Shape::object("application/json"))
        .answer(200, "It is right.", Shape::json::<Validated>()),
        Route::get(
            ("/schemas/workflow.json", Right::Open),
            "getDocumentSchema",
            "JSON Schema of the documents.",
            schema,
        )
        .answer(200, "The schema.", Shape::any("application/json")),
    ]
}

/// A document that is right.
#[derive(Serialize, ToSchema)]
struct Validated {
    /// `workflow` or `hook`.
    kind: &'static str,
    /// Its name.
    name: String,
    /// Of its definition, for a workflow.
    #[schema(value_type = Option<String>)]
    digest: Option<Digest>,
    /// READ, MODIFY or ADMIN: the ceiling of its steps, for a workflow.
    #[schema(value_type = Option<String>)]
    permission: Option<Permission>,
    /// What may be wrong with it.
    warnings: Vec<Spot>,
    /// Its steps in their order, for a workflow.
    graph: Vec<Node>,
}

/// A step of a graph.
#[derive(Serialize, ToSchema)]
pub(crate) struct Node {
    /// `steps`, `on_failure` or `finally`.
    #[schema(value_type = String)]
    section: Section,
    /// Its id.
    id: String,
    /// `uses`, `wait` or `assert`.
    kind: &'static str,
    /// `agent/action`.
    uses: Option<String>,
    /// READ, MODIFY or ADMIN.
    #[schema(value_type = Option<String>)]
    permission: Option<Permission>,
    /// The steps that it waits for.
    needs: Vec<String>,
}

async fn validate(
    State(gate): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let written = Written::read(&headers, body)?;
    let actions = gate.actions();
    let validated = match written.check(&gate.room, actions.clone()).await? {
        Document::Workflow(checked) => Validated {
            kind: "workflow",
            name: checked.definition.name.clone(),
            digest: Some(checked.definition.digest()),
            permission: Some(checked.definition.permission),
            graph: graph(&checked, &actions),
            warnings: checked
                .warnings
                .into_iter()
                .map(|warning| written.spot(warning))
                .collect(),
        },
        Document::Hook(hook) => Validated {
            kind: "hook",
            name: hook.name.clone(),
            digest: None,
            permission: None,
            graph: Vec::new(),
            warnings: Vec::new(),
        },
    };
    Ok(respond::plain(StatusCode::OK, &validated))
}

/// The steps of a workflow in their order.
fn graph(checked: &CheckedWorkflow, actions: &Actions) -> Vec<Node> {
    let workflow = &checked.definition;
    let all = workflow.steps.iter();
    let all = all.chain(&workflow.on_failure).chain(&workflow.finally);
    let nodes = language::graph(&checked.plan).into_iter().zip(all);
    nodes
        .map(|((section, id, needs), step)| {
            let (kind, uses) = match &step.kind {
                StepKind::Uses { action, .. } => ("uses", Some(action)),
                StepKind::Wait { .. } => ("wait", None),
                StepKind::Assert { .. } => ("assert", None),
            };
            Node {
                section,
                id,
                kind,
                permission: uses
                    .and_then(|name| actions.get(name))
                    .map(|a| a.permission),
                uses: uses.map(ToString::to_string),
                needs,
            }
        })
        .collect()
}

async fn schema() -> Response {
    respond::json(&language::schema())
}
