//! A careless server: it speaks enough of the APIs of Prometheus and Alertmanager, and says back whatever it was told,
//! credentials included.

use crate::serve::{Served, serve};
use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse as _;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};

/// Serves until it is dropped.
#[derive(Debug)]
pub struct Echo {
    served: Served,
    heard: Arc<Mutex<Vec<String>>>,
}

/// In a request, it makes the server refuse it.
pub const REFUSE: &str = "refuse-it";
/// In a request, it makes the server answer nonsense.
pub const BABBLE: &str = "babble-it";

impl Echo {
    /// Starts it.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&heard);
        let router = Router::new().fallback(
            async move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                let said = said(&uri, &headers, &body);
                book.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(said.clone());
                answer(&method, &uri, &said)
            },
        );
        Ok(Self {
            served: serve(router).await?,
            heard,
        })
    }

    /// Where it listens, as agents are told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.served.address)
    }

    /// Everything that it was told, a text for each request: path, credentials, and the body, read where it is a form.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock();
        heard.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn said(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> String {
    let authorization = headers.get("authorization");
    let authorization = authorization.map_or("", |value| value.to_str().unwrap_or("no text"));
    let form: Vec<String> = match serde_json::from_slice::<Value>(body) {
        Ok(json) => strings(&json).map(str::to_owned).collect(),
        Err(_) => String::from_utf8_lossy(body)
            .split('&')
            .map(plain)
            .collect(),
    };
    let query = plain(uri.query().unwrap_or_default());
    format!("{} {query} {authorization} {}", uri.path(), form.join(" "))
}

/// The texts of a document.
fn strings(json: &Value) -> Box<dyn Iterator<Item = &str> + '_> {
    match json {
        Value::String(text) => Box::new(std::iter::once(text.as_str())),
        Value::Array(items) => Box::new(items.iter().flat_map(strings)),
        Value::Object(fields) => Box::new(fields.values().flat_map(strings)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Box::new(std::iter::empty()),
    }
}

/// A field of a form as it was before it was encoded.
fn plain(field: &str) -> String {
    let field = field.replace('+', " ");
    let mut parts = field.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let coded = part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.extend(coded);
        bytes.extend(part.get(2..).unwrap_or_default().as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn answer(method: &Method, uri: &Uri, said: &str) -> axum::response::Response {
    if said.contains(BABBLE) {
        return format!("you said {said}").into_response();
    }
    if said.contains(REFUSE) {
        let error = format!("not for {said}");
        let body = json!({ "status": "error", "errorType": "bad_data", "error": error });
        return (StatusCode::BAD_REQUEST, axum::Json(body)).into_response();
    }
    let body = match (uri.path(), method) {
        ("/api/v2/silences", &Method::GET) => json!([]),
        ("/api/v2/alerts", _) => json!([{
            "fingerprint": "f1", "status": { "state": "active" }, "labels": { "said": said },
            "annotations": { said: "yes" }, "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "2026-01-02T00:00:00Z",
        }]),
        ("/api/v2/silences", _) => json!({ "silenceID": said }),
        _ => {
            let series = json!({ "metric": { "said": said }, "value": [1, "1"] });
            let data = json!({ "resultType": "vector", "result": [series] });
            json!({ "status": "success", "data": data })
        }
    };
    axum::Json(body).into_response()
}
