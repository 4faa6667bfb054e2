//! Whether the program lives, is ready, is well; and its figures. Open to everybody: no secrets, no names.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use engine::id::Tenant;
use engine::registry::Kind;
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::right::Right;
use crate::gate::Shared;
use crate::problem::{Problem, RETRY_SECONDS};
use crate::respond;
use crate::route::{Route, Shape};

/// Of the Prometheus text format.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/livez", Right::Open),
            "getLive",
            "Whether the process answers.",
            live,
        )
        .answer(200, "It does.", Shape::text("text/plain")),
        Route::get(
            ("/readyz", Right::Open),
            "getReady",
            "Whether requests can be taken.",
            ready,
        )
        .answer(200, "They can.", Shape::text("text/plain"))
        .empty(503, "Not yet, or not any more."),
        Route::get(
            ("/healthz", Right::Open),
            "getHealth",
            "How each part of the program is.",
            health,
        )
        .answer(200, "All parts are well.", Shape::json::<Health>())
        .answer(503, "One is not.", Shape::json::<Health>()),
        Route::get(
            ("/metrics", Right::Open),
            "getMetrics",
            "Figures, for Prometheus.",
            figures,
        )
        .answer(200, "The figures.", Shape::text("text/plain")),
    ]
}

/// How the program is.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok` or `degraded`.
    status: &'static str,
    /// Of the program.
    version: &'static str,
    /// Each part.
    components: Vec<Part>,
}

/// How a part of the program is.
#[derive(Serialize, ToSchema)]
#[schema(as = HealthComponent)]
struct Part {
    /// Its name.
    name: String,
    /// Whether it works.
    ok: bool,
    /// In words.
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(gate): State<Shared>) -> Response {
    if gate.is_ready() {
        return "ok\n".into_response();
    }
    Problem::unavailable("not ready: starting or stopping").into_response()
}

async fn health(State(gate): State<Shared>) -> Response {
    let mut components = vec![
        Part {
            name: "gateway".to_owned(),
            ok: gate.is_ready(),
            detail: String::new(),
        },
        store(&gate).await,
    ];
    for component in &gate.parts.components {
        let state = component.state().await;
        components.push(Part {
            name: component.name().to_owned(),
            ok: state.ok,
            detail: state.detail,
        });
    }
    let well = components.iter().all(|part| part.ok);
    let (status, code) = match well {
        true => ("ok", StatusCode::OK),
        false => ("degraded", StatusCode::SERVICE_UNAVAILABLE),
    };
    let health = Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        components,
    };
    let mut response = respond::plain(StatusCode::OK, &health);
    if !well {
        let soon = HeaderValue::from(RETRY_SECONDS);
        response.headers_mut().insert(RETRY_AFTER, soon);
    }
    // Set afterwards: the body of a 503 here is the list, and no problem.
    response
        .extensions_mut()
        .insert(crate::problem::AsItIs(code));
    response
}

async fn store(gate: &Shared) -> Part {
    let prefix = Kind::ApiKeys.of(&Tenant::default());
    let answer = gate.backend.registry.list(&prefix, "", 1).await;
    Part {
        name: "store".to_owned(),
        ok: answer.is_ok(),
        detail: answer.err().map(|e| e.to_string()).unwrap_or_default(),
    }
}

async fn figures(State(gate): State<Shared>) -> Result<Response, Problem> {
    let handle = gate
        .parts
        .metrics
        .as_ref()
        .ok_or_else(|| Problem::unavailable("this process keeps no metrics"))?;
    let mut response = handle.render().into_response();
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, METRICS);
    Ok(response)
}
