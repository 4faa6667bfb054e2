//! What a refused request is told: RFC 9457, with a stable code, the request's id, and every error of a document.

use axum::response::{IntoResponse, Response};
use engine::code::Code;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::respond::NO_STORE;

/// The media type of a problem.
pub(crate) const MEDIA_TYPE: &str = "application/problem+json";
/// A text of a problem is not longer, in bytes.
const TEXT_MAX: usize = 2_048;
/// What a client should wait when nothing better is known, in seconds.
pub(crate) const RETRY_SECONDS: u32 = 1;

/// A refusal on its way to the client. The request's id is added last, by [`finish`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) detail: String,
    pub(crate) hint: Option<String>,
    pub(crate) errors: Vec<Spot>,
    pub(crate) retry_after: Option<u32>,
}

/// What a refused request is told (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body<'a> {
    /// `urn:mirastack:error:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// What happened, and what to do about it.
    detail: &'a str,
    /// A stable code; docs/errors.md has a section for each.
    #[schema(value_type = String)]
    code: Code,
    /// Names this request in the server's log.
    request_id: &'a str,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    /// Where a document is wrong, all places at once.
    #[serde(skip_serializing_if = "<[Spot]>::is_empty")]
    errors: &'a [Spot],
}

/// A place where a document is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Spot {
    /// Where (RFC 6901).
    pub(crate) pointer: String,
    /// The line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<usize>,
    /// The column, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<usize>,
    /// What is wrong.
    pub(crate) message: String,
    /// What may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Spot {
    /// A place in a body that has no lines.
    pub(crate) fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            line: None,
            column: None,
            message: message.into(),
            hint: None,
        }
    }

    fn cut(self) -> Self {
        Self {
            pointer: cut(self.pointer),
            message: cut(self.message),
            hint: self.hint.map(cut),
            ..self
        }
    }
}

/// A text of a problem, which may quote what was sent: nobody is sent all of that back a hundred times.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

impl Problem {
    fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: cut(detail.into()),
            hint: None,
            errors: Vec::new(),
            retry_after: None,
        }
    }

    /// 400: the request cannot be read.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::Malformed, detail)
    }

    /// 401. Never says why.
    pub(crate) fn unauthenticated() -> Self {
        let detail = "this needs a valid token: POST /api/v1/auth/token gives one for an API key";
        Self::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, detail)
    }

    /// 403.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::Forbidden, detail)
    }

    /// 404, also for what belongs to another tenant.
    pub(crate) fn not_found(what: &str, name: &str) -> Self {
        let detail = format!("there is no {what} {name:?}");
        Self::new(StatusCode::NOT_FOUND, Code::NotFound, detail)
    }

    /// 404 of a route of the contract that this version does not have.
    pub(crate) fn not_supported(what: &str) -> Self {
        let detail = format!("{what} is not supported in this version");
        Self::new(StatusCode::NOT_FOUND, Code::NotSupported, detail)
    }

    /// 409 with the code of what stands in the way.
    pub(crate) fn conflict(code: Code, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 412.
    pub(crate) fn precondition(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::PRECONDITION_FAILED,
            Code::PreconditionFailed,
            detail,
        )
    }

    /// 413.
    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, detail)
    }

    /// 415.
    pub(crate) fn media_type(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Code::UnsupportedMediaType,
            detail,
        )
    }

    /// 408.
    pub(crate) fn request_timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, Code::RequestTimeout, detail)
    }

    /// 422 with all that is wrong.
    pub(crate) fn invalid(detail: impl Into<String>, errors: Vec<Spot>) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            Code::Invalid,
            detail.into(),
        );
        problem.errors = errors.into_iter().map(Spot::cut).collect();
        problem
    }

    /// 422 with one place.
    pub(crate) fn invalid_at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let spot = Spot::at(pointer, message);
        Self::invalid(format!("{}: {}", spot.pointer, spot.message), vec![spot])
    }

    /// 429.
    pub(crate) fn rate_limited(detail: impl Into<String>, seconds: u32) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, detail);
        problem.retry_after = Some(seconds.max(1));
        problem
    }

    /// 503: nothing was accepted, and it is worth trying again.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, detail);
        problem.retry_after = Some(RETRY_SECONDS);
        problem
    }

    /// 500. What went wrong is in the log, not in the answer.
    pub(crate) fn internal() -> Self {
        let detail = "a fault of this program: its log tells more under this request's id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, detail)
    }

    /// With another code than the status usually has.
    pub(crate) fn code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    /// With advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the same request may succeed later.
    pub(crate) fn retryable(&self) -> bool {
        self.retry_after.is_some() || self.status == StatusCode::REQUEST_TIMEOUT
    }

    /// What an answer without a problem of its own means, such as one of the router.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status.as_u16() {
            404 => (Code::NotFound, "there is no such route: see /openapi.json"),
            405 => (
                Code::MethodNotAllowed,
                "this path has other methods: Allow names them",
            ),
            413 => (Code::TooLarge, "the request is over its limit"),
            415 => (
                Code::UnsupportedMediaType,
                "this media type is not read here",
            ),
            408 => (Code::RequestTimeout, "the request took too long"),
            400..=499 => (Code::Malformed, "the request cannot be read"),
            _ => return Self::internal(),
        };
        Self::new(status, code, detail)
    }

    fn body(&self, request_id: &str) -> Vec<u8> {
        let body = Body {
            kind: format!("urn:mirastack:error:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
            retryable: self.retryable(),
            hint: self.hint.as_deref(),
            errors: &self.errors,
        };
        serde_json::to_vec(&body).expect("its keys are text")
    }
}

impl IntoResponse for Problem {
    /// An empty answer that carries the problem; [`finish`] writes it out.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives an answer that is no problem the status of one, such as the list of `/healthz` when a part is not well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsItIs(pub(crate) StatusCode);

/// Writes out the problem of an answer, also of one that has none of its own.
pub(crate) fn finish(mut response: Response, request_id: &str) -> Response {
    if let Some(AsItIs(status)) = response.extensions_mut().remove::<AsItIs>() {
        *response.status_mut() = status;
        return response;
    }
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    let problem = parts
        .extensions
        .remove::<Problem>()
        .unwrap_or_else(|| Problem::of_status(status));
    let headers = &mut parts.headers;
    headers.remove(http::header::CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(http::header::CACHE_CONTROL, NO_STORE);
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.status == StatusCode::UNAUTHORIZED {
        headers.insert(
            http::header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer"),
        );
    }
    Response::from_parts(parts, problem.body(request_id).into())
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Conflict(what) => Self::conflict(
                Code::Conflict,
                format!("somebody else was faster ({what}): look again, and try again"),
            ),
            store::Error::Unavailable(what) => {
                tracing::warn!(%what, "the store is not available");
                Self::unavailable("the store does not answer: try again")
            }
            store::Error::Corrupt(what) => {
                tracing::error!(%what, "the store is damaged");
                Self::internal()
                    .code(Code::RecordDamaged)
                    .hint("the server's log names what is damaged")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_carries_code_request_and_every_error() {
        let spot = Spot::at("/inputs/window", "not a duration");
        let problem = Problem::invalid("1 error", vec![spot]);
        let json: serde_json::Value = serde_json::from_slice(&problem.body("r1")).expect("JSON");
        assert_eq!(json["code"], "invalid");
        assert_eq!(json["type"], "urn:mirastack:error:invalid");
        assert_eq!(json["request_id"], "r1");
        assert_eq!(json["retryable"], false);
        assert_eq!(json["errors"][0]["pointer"], "/inputs/window");
        assert!(json["errors"][0].get("line").is_none());
    }

    #[test]
    fn what_was_sent_is_not_sent_back_whole() {
        let long = "é".repeat(1_000_000);
        let spot = Spot::at(format!("/{long}"), long.clone());
        let body = Problem::invalid(long, vec![spot]).body("r1");
        assert!(body.len() < 4 * TEXT_MAX, "{} bytes", body.len());
    }

    #[test]
    fn only_what_may_help_later_is_retryable() {
        assert!(Problem::unavailable("x").retryable());
        assert!(Problem::rate_limited("x", 0).retryable());
        assert!(!Problem::forbidden("x").retryable());
        assert!(!Problem::of_status(StatusCode::NOT_FOUND).retryable());
    }
}
