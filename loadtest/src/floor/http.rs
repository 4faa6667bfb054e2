//! The routes of the floor: those of the product that the load uses.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::runs::{Runs, State};
use crate::workflows::HOOK_WORKFLOW;

/// How long the end of a run is waited for by one request.
const WAIT: Duration = Duration::from_secs(30);

/// Serves until this is dropped.
pub(super) async fn serve(listener: TcpListener, runs: &Arc<Runs>) {
    let connections = TaskTracker::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // A reply is one small packet: it must not wait for the next one.
        let _ = stream.set_nodelay(true);
        let runs = Arc::clone(runs);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&runs), request));
            // A client that goes away is no news here: it says itself what it missed.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    runs: Arc<Runs>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match routed(&runs, request).await {
        Ok(answer) => answer,
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            json!({"detail": format!("{error:#}")}),
        ),
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}

async fn routed(runs: &Runs, request: Request<Incoming>) -> anyhow::Result<(StatusCode, Value)> {
    let waits = request.headers().contains_key("prefer");
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    let nothing = Value::Null;
    Ok(match (&parts.method, path.as_slice()) {
        (&Method::POST, ["api", "v1", "auth", "token"]) => {
            let expires_at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
            (
                StatusCode::OK,
                json!({"token": "none", "expires_at": expires_at}),
            )
        }
        (&Method::PUT, ["api", "v1", "workflows", _]) => (StatusCode::OK, nothing),
        (&Method::DELETE, ["api", "v1", "hooks", _]) => (StatusCode::NO_CONTENT, nothing),
        (&Method::POST, ["api", "v1", "hooks"]) => (StatusCode::CREATED, json!({"secret": "none"})),
        (&Method::POST, ["hooks", _]) => delivered(runs, &body).await?,
        (&Method::POST, ["api", "v1", "workflows", workflow, "runs"]) => {
            started(runs, workflow, &body, waits).await?
        }
        (&Method::GET, ["api", "v1", "runs"]) => (
            StatusCode::OK,
            listed(runs, parts.uri.query().unwrap_or_default()),
        ),
        (&Method::GET, ["api", "v1", "runs", run]) => shown(runs, run).await,
        _ => (StatusCode::NOT_FOUND, nothing),
    })
}

async fn delivered(runs: &Runs, body: &[u8]) -> anyhow::Result<(StatusCode, Value)> {
    let alert: Value = serde_json::from_slice(body)?;
    let id = runs
        .accept(HOOK_WORKFLOW, alert["alerts"].to_string().into_bytes())
        .await?;
    let taken = json!({"runs": [{"id": id.to_string()}]});
    Ok((StatusCode::ACCEPTED, taken))
}

async fn started(
    runs: &Runs,
    workflow: &str,
    body: &[u8],
    waits: bool,
) -> anyhow::Result<(StatusCode, Value)> {
    let inputs: Value = serde_json::from_slice(body)?;
    let id = runs
        .accept(workflow, inputs.to_string().into_bytes())
        .await?;
    if !waits {
        return Ok((StatusCode::ACCEPTED, run(id, State::Running)));
    }
    let state = runs.ended(id, WAIT).await.unwrap_or(State::Failed);
    let status = match state {
        State::Running => StatusCode::ACCEPTED,
        State::Succeeded | State::Failed => StatusCode::OK,
    };
    Ok((status, run(id, state)))
}

async fn shown(runs: &Runs, id: &str) -> (StatusCode, Value) {
    let id = id.parse().unwrap_or(0);
    match runs.ended(id, WAIT).await {
        Some(state) => (StatusCode::OK, run(id, state)),
        None => (StatusCode::NOT_FOUND, Value::Null),
    }
}

/// A page with as many items as there are runs behind the cursor; nobody looks into them.
fn listed(runs: &Runs, query: &str) -> Value {
    let arg = |name: &str| {
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    let number = |name: &str| {
        arg(name)
            .and_then(|text| text.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let all = runs.count(arg("workflow").unwrap_or_default());
    let (from, limit) = (number("cursor"), number("limit"));
    let to = all.min(from + limit);
    let items: Vec<u64> = (from..to).collect();
    let next = (to < all).then(|| to.to_string());
    json!({"items": items, "next_cursor": next})
}

fn run(id: u64, state: State) -> Value {
    let status = match state {
        State::Running => "running",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
    };
    json!({"id": id.to_string(), "status": status})
}
