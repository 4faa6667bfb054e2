//! What happens to every request before and after its handler.
//!
//! [`around`] is outermost: it names the request, writes problems out, counts. [`before`] stands in front of one
//! route: arguments, token, right, body, Idempotency-Key, time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::FutureExt;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use tokio::time::{Instant, timeout};

use crate::auth::authenticate;
use crate::auth::right::Right;
use crate::config::std_time;
use crate::gate::{Gate, Shared};
use crate::idempotency;
use crate::problem::{self, Problem};
use crate::request::{Arg, Args, Media, Origin, media, read_body, stranger};
use crate::respond;
use crate::room::{Held, Sender, Taken};
use crate::route::{Bodies, Keyed, Route, Takes};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A body of a route that is open to everybody, in bytes: a name and a secret. A hook reads its bodies itself.
const STRANGERS_BODY_MAX: usize = 16 * 1024;

/// What the guard must know of a route.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) path: &'static str,
    pub(crate) right: Right,
    /// Whether it can only be answered from the registry, unlike what the program says of itself.
    pub(crate) asks_registry: bool,
    pub(crate) args: &'static [Arg],
    pub(crate) keyed: Keyed,
    pub(crate) takes: Takes,
    pub(crate) bodies: Bodies,
}

impl From<&Route> for Row {
    fn from(route: &Route) -> Self {
        Self {
            path: route.path,
            right: route.right,
            asks_registry: ["/api/", "/hooks/"]
                .iter()
                .any(|of| route.path.starts_with(of)),
            args: route.args,
            keyed: route.keyed,
            takes: route.takes,
            bodies: route.bodies,
        }
    }
}

/// Tells [`around`] which route answered.
#[derive(Clone, Copy)]
struct Answered(&'static str);

/// Names a request, catches a panic of its handler, writes out its problem, counts it.
pub(crate) async fn around<A>(
    gate: &Gate,
    mut request: Request,
    answer: impl FnOnce(Request) -> A,
) -> Response
where
    A: Future<Output = Response>,
{
    let start = Instant::now();
    let method = request.method().clone();
    let origin = Origin::of(request.headers(), || gate.backend.random.nonce());
    let id = origin.request_id.clone();
    request.extensions_mut().insert(origin);
    let answer = AssertUnwindSafe(async move { answer(request).await });
    let answer = answer.catch_unwind().await;
    let answer = answer.unwrap_or_else(|_| {
        tracing::error!(request_id = id, %method, "a handler panicked");
        Problem::internal().into_response()
    });
    let route = answer
        .extensions()
        .get::<Answered>()
        .map_or("unmatched", |answered| answered.0);
    let mut answer = problem::finish(answer, &id);
    let headers = answer.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(
        http::header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    tracing::debug!(request_id = id, %method, route, status = answer.status().as_u16(), "answered");
    count(route, &method, answer.status().as_u16(), start);
    answer
}

fn count(route: &'static str, method: &Method, status: u16, start: Instant) {
    // Only methods that some route has: a label must not be what a stranger sends.
    let method = match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    };
    let status = status_label(status);
    metrics::counter!("mirastack_http_requests_total", "route" => route, "method" => method, "status" => status)
        .increment(1);
    metrics::histogram!("mirastack_http_request_duration_seconds", "route" => route, "method" => method)
        .record(start.elapsed().as_secs_f64());
}

fn status_label(status: u16) -> &'static str {
    const KNOWN: [(u16, &str); 22] = [
        (200, "200"),
        (201, "201"),
        (202, "202"),
        (204, "204"),
        (304, "304"),
        (400, "400"),
        (401, "401"),
        (403, "403"),
        (404, "404"),
        (405, "405"),
        (408, "408"),
        (409, "409"),
        (412, "412"),
        (413, "413"),
        (415, "415"),
        (422, "422"),
        (429, "429"),
        (431, "431"),
        (500, "500"),
        (501, "501"),
        (503, "503"),
        (504, "504"),
    ];
    let known = KNOWN.iter().find(|(code, _)| *code == status);
    known.map_or("other", |(_, text)| text)
}

/// Stands in front of one route.
pub(crate) async fn before(
    State((gate, row)): State<(Shared, Arc<Row>)>,
    request: Request,
    next: Next,
) -> Response {
    // The body has a limit of its own, which must be the one that is heard.
    let time = std_time(gate.config.request) + std_time(gate.config.edge.body_total);
    let time = match row.takes {
        Takes::Request => time,
        Takes::Wait => time + std_time(gate.config.wait_max),
    };
    let answered = timeout(time, pass(&gate, &row, request, next)).await;
    let mut answer = match answered {
        Ok(Ok(answer)) => answer,
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => Problem::unavailable(
            "the request took too long, and may have been accepted: send it again, with the same Idempotency-Key",
        )
        .into_response(),
    };
    answer.extensions_mut().insert(Answered(row.path));
    answer
}

async fn pass(
    gate: &Arc<Gate>,
    row: &Row,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    if row.asks_registry {
        // Before that everybody is a stranger and no hook exists, and who is told so does not come again.
        gate.loaded().await;
    }
    if row.right != Right::Open {
        let caller = authenticate(gate, &parts)?;
        caller.must(row.right)?;
        parts.extensions.insert(caller);
    }
    let args = Args::read(&parts, row.args)?;
    let waits = row.takes == Takes::Wait && args.one("wait").is_some();
    parts.extensions.insert(args);
    // Kept here, for the handler has only what it takes out of the request.
    let mut held = Held::default();
    let body = match row.bodies {
        Bodies::None | Bodies::Handler => body,
        Bodies::Guard => {
            let (read, taken) = read(gate, row, &parts, body).await?;
            held = Held::new(taken);
            parts.extensions.insert(held.clone());
            Body::from(read)
        }
    };
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    let known = (reads && !waits).then(|| parts.headers.clone());
    let request = Request::from_parts(parts, body);
    let answer = match row.keyed {
        Keyed::Answer => idempotency::first_answer(gate, request, next).await?,
        Keyed::Refused => {
            idempotency::refuse(request.headers())?;
            next.run(request).await
        }
        Keyed::Natural | Keyed::Own => next.run(request).await,
    };
    held.give_back();
    Ok(match known {
        Some(headers) => respond::unless_known(&headers, answer),
        None => answer,
    })
}

/// The body, with the room that it and its values take.
async fn read(
    gate: &Gate,
    row: &Row,
    parts: &Parts,
    body: Body,
) -> Result<(Bytes, Taken), Problem> {
    let mut limits = gate.config.edge.clone();
    let sender = if row.right == Right::Open {
        limits.body_bytes = limits.body_bytes.min(STRANGERS_BODY_MAX);
        stranger(parts)
    } else {
        Sender::Known
    };
    let mut taken = gate.room.for_body(sender);
    let body = read_body(body, &limits, &mut taken).await?;
    if media(&parts.headers, &[Media::Yaml]).is_err() {
        gate.room.for_values(&body, &mut taken).await?;
    }
    Ok((body, taken))
}
