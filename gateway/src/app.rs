//! The router, made from the table of routes, and what stands around it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, OriginalUri, Request};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, options};
use futures::TryFutureExt as _;
use http::header::{ALLOW, HOST};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use tower::ServiceExt as _;

use crate::gate::Shared;
use crate::guard::{Row, around, before};
use crate::problem::Problem;
use crate::routes;

/// Routes of the contract that this version does not have, by their beginnings and what follows a name.
const LATER: [&str; 24] = [
    "/api/v1/runs/*/rerun",
    "/api/v1/runs/*/signals/*",
    "/api/v1/runs/*/logs",
    "/api/v1/providers",
    "/api/v1/providers/*",
    "/api/v1/providers/*/config",
    "/api/v1/providers/*/health",
    "/api/v1/connectors",
    "/api/v1/connectors/*",
    "/api/v1/connectors/*/config",
    "/api/v1/connectors/*/health",
    "/api/v1/hooks/*/deliveries/*/redeliver",
    "/api/v1/hooks/*/redeliver",
    "/api/v1/users",
    "/api/v1/users/*",
    "/api/v1/roles",
    "/api/v1/roles/*",
    "/api/v1/settings",
    "/api/v1/settings/*",
    "/api/v1/schedules",
    "/api/v1/schedules/*",
    "/api/v1/pauses",
    "/api/v1/pauses/*",
    "/api/v1/audit",
];

/// Answers requests of one peer.
#[derive(Clone)]
pub struct App {
    gate: Shared,
    router: Router,
    peer: Option<SocketAddr>,
}

impl App {
    /// For a peer of which nothing is known.
    pub(crate) fn new(gate: &Shared) -> Self {
        Self {
            gate: gate.clone(),
            router: router(gate),
            peer: None,
        }
    }

    /// The same for another peer.
    pub(crate) fn of(&self, peer: SocketAddr) -> Self {
        let peer = Some(peer);
        Self {
            peer,
            ..self.clone()
        }
    }

    /// Answers a request, whatever it is.
    pub async fn answer(self, mut request: Request) -> Response {
        let Self { gate, router, peer } = self;
        // What comes over no connection names no host.
        let is_heard = peer.is_none() || request.version() != Version::HTTP_11;
        let is_heard = is_heard || has_one_host(request.headers());
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        let routed = async move |request| {
            if !is_heard {
                return Problem::malformed("the request must name one host").into_response();
            }
            let answered = router.oneshot(request);
            answered.unwrap_or_else(|never| match never {}).await
        };
        around(&gate, request, routed).await
    }
}

/// RFC 9112, section 3.2. Of two hosts a proxy may have looked at one, and whoever comes next at the other.
fn has_one_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let is_host = |host: &[u8]| !host.contains(&b'@') && Authority::try_from(host).is_ok();
    // Empty where the address that is asked for has none.
    host.is_empty() || is_host(host.as_bytes())
}

fn router(gate: &Shared) -> Router {
    let mut paths: BTreeMap<&str, (MethodRouter<Shared>, Vec<Method>)> = BTreeMap::new();
    for route in routes::all() {
        let row = Arc::new(Row::from(&route));
        let (handlers, methods) = paths.entry(route.path).or_default();
        methods.push(route.method);
        let guarded = route
            .handler
            .layer(from_fn_with_state((gate.clone(), row), before));
        *handlers = std::mem::take(handlers).merge(guarded);
    }
    let mut router = Router::new();
    for (path, (handlers, methods)) in paths {
        router = router.route(path, handlers.merge(options_of(methods)));
    }
    router
        .fallback(unknown)
        .layer(DefaultBodyLimit::disable())
        .with_state(gate.clone())
}

/// Answers `OPTIONS` of a path with its methods.
fn options_of(mut methods: Vec<Method>) -> MethodRouter<Shared> {
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    methods.push(Method::OPTIONS);
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let allow = HeaderValue::from_str(&names.join(",")).expect("methods are plain text");
    options(move || async move { (StatusCode::NO_CONTENT, [(ALLOW, allow)]) })
}

async fn unknown(OriginalUri(uri): OriginalUri) -> Response {
    let path = uri.path();
    if LATER.iter().any(|pattern| matches_pattern(pattern, path)) {
        return Problem::not_supported(&format!("the route {path}")).into_response();
    }
    StatusCode::NOT_FOUND.into_response()
}

/// Whether a path has the form of a pattern, in which `*` stands for one part.
fn matches_pattern(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some("*"), Some(part)) if !part.is_empty() => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_one_part() {
        assert!(matches_pattern("/a/*/c", "/a/b/c"));
        assert!(!matches_pattern("/a/*/c", "/a//c"));
        assert!(!matches_pattern("/a/*", "/a/b/c"));
        assert!(!matches_pattern("/a", "/a/b"));
    }
}
