//! A request before it is sent, and its answer after it was read.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;
use uuid::Uuid;

use crate::exit::{Exit, Failure, Result};

/// How long one sending may take, unless the call says otherwise.
const LIMIT: Duration = Duration::from_secs(20);

/// A request: built by the verbs, sent by [`crate::client::Api`].
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<(&'static str, String)>,
    accept: &'static str,
    limit: Duration,
    repeatable: bool,
    signed: bool,
}

impl Call {
    fn new<S: Into<String>>(method: Method, path: impl IntoIterator<Item = S>) -> Self {
        Self {
            method,
            path: path.into_iter().map(Into::into).collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            accept: "application/json",
            limit: LIMIT,
            repeatable: true,
            signed: true,
        }
    }

    /// `GET` of a path, given by its segments.
    pub(crate) fn get<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::GET, path)
    }

    /// `POST`, with an `Idempotency-Key` of its own.
    pub(crate) fn post<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::POST, path).keyed(&Uuid::now_v7().to_string())
    }

    /// `PUT`.
    pub(crate) fn put<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// `DELETE`.
    pub(crate) fn delete<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// `PATCH` with a JSON merge patch (RFC 7396).
    pub(crate) fn patch<S: Into<String>>(path: impl IntoIterator<Item = S>, patch: &Value) -> Self {
        let mut call = Self::new(Method::PATCH, path);
        call.body = Some(("application/merge-patch+json", patch.to_string()));
        call
    }

    /// Adds a query parameter.
    pub(crate) fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a query parameter if there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// A JSON body.
    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = Some(("application/json", body.to_string()));
        self
    }

    /// A YAML body, sent as it was written.
    pub(crate) fn yaml(mut self, body: &str) -> Self {
        self.body = Some(("application/yaml", body.to_owned()));
        self
    }

    /// Asks for another form of the answer.
    pub(crate) fn accepting(mut self, kind: &'static str) -> Self {
        self.accept = kind;
        self
    }

    /// Sends this `Idempotency-Key` instead of a made one.
    pub(crate) fn keyed(mut self, key: &str) -> Self {
        self.headers.retain(|(name, _)| *name != "idempotency-key");
        self.header("idempotency-key", key)
    }

    /// Sent once and without a key: the answer holds a secret, and the server keeps no copy of it.
    pub(crate) fn once(mut self) -> Self {
        self.headers.retain(|(name, _)| *name != "idempotency-key");
        self.repeatable = false;
        self
    }

    /// For the routes that are open to everybody.
    pub(crate) fn unsigned(mut self) -> Self {
        self.signed = false;
        self
    }

    /// How long one sending may take.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    pub(crate) fn method(&self) -> Method {
        self.method.clone()
    }

    pub(crate) fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    pub(crate) fn body(&self) -> Option<(&'static str, &str)> {
        self.body
            .as_ref()
            .map(|(kind, body)| (*kind, body.as_str()))
    }

    pub(crate) fn accept(&self) -> &'static str {
        self.accept
    }

    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    pub(crate) fn repeatable(&self) -> bool {
        self.repeatable
    }

    pub(crate) fn signed(&self) -> bool {
        self.signed
    }

    pub(crate) fn deletes(&self) -> bool {
        self.method == Method::DELETE
    }

    /// The full address; each segment is encoded, so that no name can change the route.
    pub(crate) fn url(&self, server: &Url) -> Url {
        let mut url = server.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&self.path);
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        url
    }
}

/// An answer with status 2xx.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its whole body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; an empty one is `null`.
    pub(crate) fn json(&self) -> Result<Value> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|_| {
            Failure::new(Exit::Unreachable, "the server's answer is not JSON")
                .hint("check that --server is the address of Mirastack and not of something else")
        })
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the server only took the command and has not decided it yet.
    pub(crate) fn undecided(&self) -> bool {
        self.status == StatusCode::ACCEPTED
    }
}

/// The path of a route under `/api/v1`.
pub(crate) fn v1<const N: usize>(rest: [&str; N]) -> Vec<String> {
    ["api", "v1"]
        .into_iter()
        .chain(rest)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_place_in_the_path() {
        let server = Url::parse("https://h/mira").expect("a server");
        let url = Call::get(v1(["workflows", "../keys?x=1"]))
            .query("a b", "c&d")
            .url(&server);
        assert_eq!(
            url.as_str(),
            "https://h/mira/api/v1/workflows/..%2Fkeys%3Fx=1?a+b=c%26d"
        );
    }

    #[test]
    fn a_post_carries_a_key_unless_its_answer_is_secret() {
        let key = |call: &Call| {
            call.headers()
                .iter()
                .any(|(name, _)| *name == "idempotency-key")
        };
        assert!(key(&Call::post(["x"])));
        let secret = Call::post(["x"]).once();
        assert!(!key(&secret));
        assert!(!secret.repeatable());
    }
}
