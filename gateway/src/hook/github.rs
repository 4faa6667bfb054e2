//! GitHub's webhooks.
//!
//! GitHub signs the body and nothing else: the headers that name the event and the delivery prove nothing. So the
//! signed bytes make two deliveries one, and a copy under another id starts nothing.

use engine::digest::Digest;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};
use serde_json::{Value as Json, json};

use crate::hook::Occurrence;
use crate::request::header;

const EVENT: HeaderName = HeaderName::from_static("x-github-event");
const DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");
/// GitHub's own ids are UUIDs, and its longest event has some 40 characters.
const HEADER_MAX: usize = 128;

/// The event of a delivery: `type` and `delivery` from its headers, `body`, and the body's `action`, `''` without one.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn occurrence(headers: &HeaderMap, body: &[u8]) -> Result<Occurrence, String> {
    let form = header(headers, &CONTENT_TYPE).unwrap_or_default();
    if form.starts_with("application/x-www-form-urlencoded") {
        let why = "it is a form: set the webhook's content type to application/json";
        return Err(why.to_owned());
    }
    let (kind, delivery) = (word(headers, &EVENT)?, word(headers, &DELIVERY)?);
    let body = strict_json::read(body).map_err(|e| e.to_string())?;
    if !body.is_object() {
        return Err("a JSON object is expected".to_owned());
    }
    let action = body
        .get("action")
        .and_then(Json::as_str)
        .unwrap_or_default();
    Ok(Occurrence {
        event: json!({"type": kind, "action": action, "delivery": delivery, "body": body}),
        fingerprint: None,
    })
}

/// Whether GitHub only tries whether somebody is here, as it does when a webhook is made.
pub(crate) fn is_ping(what: &Occurrence) -> bool {
    what.event["type"] == "ping"
}

/// What makes two deliveries one.
pub(crate) fn identity(body: &[u8]) -> String {
    Digest::of(body).to_string()
}

/// A header that must be there, as one word of plain text.
fn word<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, String> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(format!("{name} must be there once"));
    };
    let word = value.to_str().ok().filter(|text| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        !text.is_empty() && text.len() <= HEADER_MAX && text.bytes().all(known)
    });
    word.ok_or_else(|| format!("{name} must be a word of letters, digits, _ and -"))
}
