//! The description of the API, for programs and for people.

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use engine::digest::Digest;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::auth::right::Right;
use crate::respond::tagged_bytes;
use crate::route::{Route, Shape};

/// The page brings everything that it needs, and may load nothing else but the description beside it.
const CSP: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// The description does not change while the process lives.
static DESCRIPTION: LazyLock<(Bytes, String)> = LazyLock::new(|| {
    let bytes = super::openapi::document().to_string().into_bytes();
    let tag = format!("\"{}\"", &Digest::of(&bytes).to_string()[..32]);
    (bytes.into(), tag)
});

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/openapi.json", Right::Open),
            "getOpenApi",
            "This description.",
            description,
        )
        .answer(200, "OpenAPI 3.1.", Shape::any("application/json")),
        Route::get(
            ("/docs", Right::Open),
            "getDocs",
            "This description as a page.",
            page,
        )
        .answer(200, "The page.", Shape::text("text/html")),
    ]
}

async fn description() -> Response {
    let (bytes, tag) = &*DESCRIPTION;
    let kind = HeaderValue::from_static("application/json");
    tagged_bytes(StatusCode::OK, kind, bytes.clone(), tag)
}

async fn page() -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let mut response = tagged_bytes(
        StatusCode::OK,
        kind,
        include_str!("docs.html"),
        "\"docs-1\"",
    );
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("content-security-policy"), CSP);
    response
}
