//! `Idempotency-Key`: the same request twice is one request.
//!
//! Requests that create runs keep the key themselves ([`crate::submit`]). For all others the first answer is kept here.
//! While there is none yet, a repetition is carried out again under the same command id, which changes nothing twice.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::Response;
use engine::code::Code;
use engine::digest::Digest;
use engine::duration::Duration;
use engine::id::{CommandId, Nonce, Tenant};
use engine::key::{FirstAnswer, KeyState, idempotency_key};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use store::port::KeyValue;

use crate::auth::Caller;
use crate::gate::Gate;
use crate::problem::Problem;
use crate::respond;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// A key is kept so long.
pub(crate) const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// A key is not longer, in characters.
const KEY_MAX: usize = 255;
/// A first answer that is larger is not kept, in bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// The id under which a request asks something of a run: that of its key, or a new one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking(pub(crate) Option<CommandId>);

impl<S: Send + Sync> FromRequestParts<S> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(parts
            .extensions
            .get::<Self>()
            .copied()
            .unwrap_or(Self(None)))
    }
}

/// The key of a request, if it has one.
///
/// # Errors
/// 400 when it is empty, too long, or not plain text, or when there are two.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        let detail = "there is more than one Idempotency-Key, and a request has one";
        return Err(Problem::malformed(detail));
    }
    let key = value.to_str().ok().filter(|key| {
        (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|b| (0x20..0x7f).contains(&b))
    });
    key.map(Some).ok_or_else(|| {
        Problem::malformed("Idempotency-Key must be 1 to 255 printable ASCII characters")
    })
}

/// Refuses the header where the answer holds a secret.
///
/// # Errors
/// 400 when it is there.
pub(crate) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(HEADER) {
        return Err(Problem::malformed(
            "this route takes no Idempotency-Key: its answer holds a secret, and no copy of it is kept",
        ));
    }
    Ok(())
}

/// 422 when a key is used again with another body.
pub(crate) fn mismatch() -> Problem {
    Problem::invalid(
        "this Idempotency-Key was used with another body: use a new one",
        Vec::new(),
    )
    .code(Code::IdempotencyMismatch)
}

/// Marks an answer as one that was given before.
pub(crate) fn replayed(mut response: Response) -> Response {
    let yes = HeaderValue::from_static("true");
    response.headers_mut().insert(REPLAYED, yes);
    response
}

/// Passes a request on, unless its key has an answer already.
pub(crate) async fn first_answer(
    gate: &Arc<Gate>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(key) = key_of(request.headers())? else {
        return Ok(next.run(request).await);
    };
    let caller = request.extensions().get::<Caller>().cloned();
    let caller = caller.ok_or_else(Problem::internal)?;
    let name = idempotency_key(&caller.who, request.uri().path(), key);
    let (mut parts, body) = request.into_parts();
    let bytes = to_bytes(body, gate.config.edge.body_bytes)
        .await
        .map_err(|_| Problem::malformed("the body ended in the middle"))?;
    let body = Digest::of(&bytes);
    let kept = match open(gate, &caller.tenant, &name, body).await? {
        Opened::New(kept) => kept,
        Opened::Known(answer) => return Ok(replayed(answer)),
    };
    parts.extensions.insert(Asking(Some(command_of(&name))));
    let answer = next
        .run(Request::from_parts(parts, Body::from(bytes)))
        .await;
    keep(gate, &caller.tenant, (&name, kept), (body, answer)).await
}

/// A command id that is the same whenever the same key is used.
fn command_of(name: &str) -> CommandId {
    let mut id = [0u8; 16];
    id.copy_from_slice(&Digest::of(name.as_bytes()).as_bytes()[..16]);
    Nonce(id)
}

enum Opened {
    New(KeyValue),
    Known(Response),
}

async fn open(gate: &Gate, tenant: &Tenant, name: &str, body: Digest) -> Result<Opened, Problem> {
    let (keys, now) = (&gate.backend.keys, gate.now());
    let expires = now.plus(KEPT);
    let value = KeyState::Answer { body, answer: None }.encode();
    match keys.create(tenant, name, &value, expires).await {
        Ok(revision) => {
            return Ok(Opened::New(KeyValue {
                value,
                revision,
                expires,
            }));
        }
        Err(store::Error::Conflict(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let kept = keys.get(tenant, name, now).await?;
    let kept = kept.ok_or_else(|| Problem::unavailable("the key just expired: try again"))?;
    match KeyState::decode(&kept.value) {
        Ok(KeyState::Answer { body: first, .. }) if first != body => Err(mismatch()),
        Ok(KeyState::Answer {
            answer: Some(answer),
            ..
        }) => Ok(Opened::Known(first(&answer)?)),
        Ok(KeyState::Answer { answer: None, .. }) => Ok(Opened::New(kept)),
        // The name holds the path, so another kind of value cannot be under it.
        Ok(KeyState::Submit { .. } | KeyState::Event { .. } | KeyState::Episode(_)) | Err(_) => {
            Err(Problem::internal())
        }
    }
}

fn first(answer: &FirstAnswer) -> Result<Response, Problem> {
    let status = StatusCode::from_u16(answer.status).map_err(|_| Problem::internal())?;
    if answer.body.is_null() {
        let mut response = respond::empty();
        *response.status_mut() = status;
        return Ok(response);
    }
    Ok(respond::plain(status, &answer.body))
}

/// Keeps an answer that stands: not one that says "later".
async fn keep(
    gate: &Gate,
    tenant: &Tenant,
    (name, kept): (&str, KeyValue),
    (body, response): (Digest, Response),
) -> Result<Response, Problem> {
    let status = response.status();
    if !matches!(status.as_u16(), 200 | 201 | 204) {
        return Ok(response);
    }
    let (parts, answer) = response.into_parts();
    let bytes = to_bytes(answer, usize::MAX)
        .await
        .map_err(|_| Problem::internal())?;
    let json = match bytes.is_empty() {
        true => Some(serde_json::Value::Null),
        false => serde_json::from_slice(&bytes).ok(),
    };
    if let Some(json) = json.filter(|_| bytes.len() <= ANSWER_MAX) {
        let answer = FirstAnswer {
            status: status.as_u16(),
            body: json,
        };
        let state = KeyState::Answer {
            body,
            answer: Some(answer),
        };
        let expires = gate.now().plus(KEPT);
        let put = gate
            .backend
            .keys
            .put(tenant, name, &kept, &state.encode(), expires)
            .await;
        // Whoever was faster kept an answer to the same request.
        if let Err(error) = put {
            tracing::debug!(%error, "a first answer was not kept");
        }
    }
    Ok(Response::from_parts(parts, Body::from(bytes)))
}
