//! Answers: JSON with an ETag, and what the conditions of a request make of it.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use engine::digest::Digest;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;

/// Nothing of this API is for a cache on the way.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Clients may keep it, and ask each time whether it still holds.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listed<T> {
    /// The rows.
    pub(crate) items: Vec<T>,
    /// `cursor` of the next part, if there is one.
    pub(crate) next_cursor: Option<String>,
    /// Rows may be missing: the view is being rebuilt, or rows of it are damaged.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) incomplete: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl<T> Listed<T> {
    /// A list that has only this part.
    pub(crate) fn all(items: Vec<T>) -> Self {
        Self {
            items,
            next_cursor: None,
            incomplete: false,
        }
    }
}

/// 200 with a JSON body whose ETag is its digest.
pub(crate) fn json<T: Serialize>(body: &T) -> Response {
    let bytes = encode(body);
    let tag = digest_tag(&bytes);
    tagged_bytes(StatusCode::OK, JSON, bytes, &tag)
}

/// The ETag that [`json`] gives this body.
pub(crate) fn json_tag<T: Serialize>(body: &T) -> String {
    digest_tag(&encode(body))
}

fn digest_tag(bytes: &[u8]) -> String {
    format!("\"{}\"", &Digest::of(bytes).to_string()[..32])
}

/// 200 with a JSON body and its ETag.
pub(crate) fn tagged<T: Serialize>(body: &T, tag: &str) -> Response {
    tagged_bytes(StatusCode::OK, JSON, encode(body), tag)
}

/// An answer with a JSON body and no ETag.
pub(crate) fn plain<T: Serialize>(status: StatusCode, body: &T) -> Response {
    let mut response = Response::new(Body::from(encode(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

/// 201 or 202 with the place of what was made.
pub(crate) fn located<T: Serialize>(status: StatusCode, place: &str, body: &T) -> Response {
    let mut response = plain(status, body);
    if let Ok(place) = HeaderValue::from_str(place) {
        response.headers_mut().insert(LOCATION, place);
    }
    response
}

/// An answer of any media type with an ETag.
pub(crate) fn tagged_bytes(
    status: StatusCode,
    kind: HeaderValue,
    bytes: impl Into<Body>,
    tag: &str,
) -> Response {
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, REVALIDATE);
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// 204.
pub(crate) fn empty() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

fn encode<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json::to_vec(body).expect("answers have text as keys")
}

/// 304 when the client has what the answer would say (RFC 9110, section 13.1.2).
pub(crate) fn unless_known(request: &HeaderMap, response: Response) -> Response {
    let known = response.status() == StatusCode::OK
        && response
            .headers()
            .get(ETAG)
            .and_then(|tag| tag.to_str().ok())
            .is_some_and(|tag| names(request, &IF_NONE_MATCH, tag));
    if !known {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(CONTENT_TYPE);
    Response::from_parts(parts, Body::empty())
}

/// Whether a condition names `tag`; `*` names every one.
pub(crate) fn names(headers: &HeaderMap, condition: &http::HeaderName, tag: &str) -> bool {
    headers
        .get_all(condition)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == "*" || one == tag)
}

/// Checks `If-Match` and `If-None-Match` of a change against what there is: `None` when there is nothing.
///
/// # Errors
/// 412 when one does not hold.
pub(crate) fn check_change(headers: &HeaderMap, present: Option<&str>) -> Result<(), Problem> {
    if headers.contains_key(IF_MATCH) && !present.is_some_and(|tag| names(headers, &IF_MATCH, tag))
    {
        return Err(Problem::precondition(match present {
            Some(tag) => format!("If-Match does not hold: the present ETag is {tag}"),
            None => "If-Match does not hold: there is nothing of this name".to_owned(),
        }));
    }
    if let Some(tag) = present
        && names(headers, &IF_NONE_MATCH, tag)
    {
        return Err(Problem::precondition(format!(
            "If-None-Match does not hold: it exists, with ETag {tag}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn create_only_and_change_only_are_held() {
        let create = headers(IF_NONE_MATCH, "*");
        assert!(check_change(&create, None).is_ok());
        assert!(check_change(&create, Some("\"1\"")).is_err());
        let change = headers(IF_MATCH, "\"2\", \"3\"");
        assert!(check_change(&change, Some("\"3\"")).is_ok());
        assert!(check_change(&change, Some("\"4\"")).is_err());
        assert!(check_change(&change, None).is_err());
        assert!(check_change(&HeaderMap::new(), None).is_ok());
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let known = headers(IF_NONE_MATCH, "W/\"1\"");
        let answer = |tag| unless_known(&known, tagged(&"body", tag)).status();
        assert_eq!(answer("\"1\""), StatusCode::NOT_MODIFIED);
        assert_eq!(answer("\"2\""), StatusCode::OK);
    }
}
