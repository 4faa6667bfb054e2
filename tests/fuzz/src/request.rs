//! Requests as text: a line with method and address, headers, an empty line, the body.

use std::cell::RefCell;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::principal::Role;
use hmac::{Hmac, KeyInit, Mac};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};
use sha2::Sha256;

use crate::world::{Answer, SECRET, World};

/// An installation grows with what it accepts, so another takes its place after so many inputs.
const INPUTS_MAX: u32 = 2_000;

thread_local! {
    static WORLD: RefCell<Option<(World, u32)>> = const { RefCell::new(None) };
}

/// Calls with an installation.
pub(crate) fn with_world<T>(call: impl FnOnce(&World) -> T) -> T {
    WORLD.with_borrow_mut(|kept| {
        let (world, used) = kept
            .take()
            .filter(|(_, used)| *used < INPUTS_MAX)
            .unwrap_or_else(|| (World::new(), 0));
        let called = call(&world);
        *kept = Some((world, used + 1));
        called
    })
}

/// A request from its text, if there can be one.
///
/// So that inputs can be read and get further than the door: `Bearer engineer` becomes a token of that role, `Bearer
/// canary` and `Basic canary` the hook's secret, and a header whose value is `sha256=signed` the signature of the body.
pub(crate) fn of_text<'t>(text: &'t str, world: &World) -> Option<(Request<Body>, &'t str)> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, place) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(place);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        let name: HeaderName = name.parse().ok()?;
        let value = if name == AUTHORIZATION {
            proof(value, world)
        } else {
            signed(value, body)
        };
        request = request.header(name, HeaderValue::try_from(value).ok()?);
    }
    let request = request.body(Body::from(body.to_owned())).ok()?;
    Some((request, body))
}

fn proof(value: &str, world: &World) -> String {
    if value == "Basic canary" {
        return format!("Basic {}", STANDARD.encode(SECRET));
    }
    match value.strip_prefix("Bearer ") {
        Some("canary") => format!("Bearer {SECRET}"),
        Some(word) => word.parse::<Role>().map_or_else(
            |_| value.to_owned(),
            |role| format!("Bearer {}", world.token(role)),
        ),
        None => value.to_owned(),
    }
}

fn signed(value: &str, body: &str) -> String {
    if value != "sha256=signed" {
        return value.to_owned();
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
    mac.update(body.as_bytes());
    let digits = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    format!("sha256={digits}")
}

/// What holds of every answer: nothing is a bug of the server, a refusal says what it is, no secret is told.
pub(crate) fn assert_sound(answer: &Answer, said: &str) {
    let told = String::from_utf8_lossy(&answer.body);
    assert_ne!(answer.status.as_u16(), 500, "{told}");
    assert!(answer.headers.contains_key("x-request-id"));
    if answer.status.is_client_error() && !answer.body.is_empty() {
        let problem: serde_json::Value =
            serde_json::from_slice(&answer.body).expect("a problem is JSON");
        assert!(
            problem["code"].is_string() && problem["status"] == answer.status.as_u16(),
            "{told}"
        );
    }
    assert!(said.contains(SECRET) || !told.contains(SECRET), "{told}");
}
