//! A client that holds every answer to the description of the API.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::schema;

/// Somebody who asks.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    token: Option<String>,
}

/// A question before it is sent.
pub(crate) struct Ask {
    client: Client,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
    pub(crate) json: Value,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let http = reqwest::Client::builder().no_proxy().build();
        Self {
            http: http.expect("a client"),
            address,
            token: None,
        }
    }

    pub(crate) async fn log_in(&self, id: &str, secret: &str) -> Self {
        let answer = self
            .post("/api/v1/auth/token")
            .json(&json!({"api_key_id": id, "api_secret": secret}))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        self.with_token(&answer.text("token"))
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) fn token(&self) -> String {
        self.token.clone().expect("somebody who is logged in")
    }

    /// Makes an API key and logs in with it.
    pub(crate) async fn make_key(&self, name: &str, role: &str) -> Self {
        let answer = self
            .post("/api/v1/api-keys")
            .json(&json!({"name": name, "role": role}))
            .await;
        assert_eq!(answer.status, 201, "{}", answer.json);
        self.log_in(name, &answer.text("api_secret")).await
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        Ask {
            client: self.clone(),
            method,
            path: path.to_owned(),
            headers: Vec::new(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path).send(None).await
    }

    pub(crate) fn post(&self, path: &str) -> Ask {
        self.ask(Method::POST, path)
    }

    pub(crate) fn put(&self, path: &str) -> Ask {
        self.ask(Method::PUT, path)
    }

    pub(crate) fn patch(&self, path: &str) -> Ask {
        self.ask(Method::PATCH, path)
    }

    pub(crate) fn delete(&self, path: &str) -> Ask {
        self.ask(Method::DELETE, path)
    }

    /// The same, whoever asks.
    pub(crate) async fn open_as(&self, path: &str) -> reqwest::Response {
        let mut request = self.http.get(format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.send().await.expect("an answer")
    }

    /// The answer while its body is still coming.
    pub(crate) async fn open(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let mut request = self.http.get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.bearer_auth(self.token());
        request.send().await.expect("an answer")
    }
}

impl Ask {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) async fn json(self, body: &Value) -> Answer {
        let ask = self.header("content-type", "application/json");
        ask.send(Some(body.to_string())).await
    }

    pub(crate) async fn yaml(self, body: &str) -> Answer {
        let ask = self.header("content-type", "application/yaml");
        ask.send(Some(body.to_owned())).await
    }

    pub(crate) async fn patch(self, body: &Value) -> Answer {
        let ask = self.header("content-type", "application/merge-patch+json");
        ask.send(Some(body.to_string())).await
    }

    pub(crate) async fn empty(self) -> Answer {
        self.send(None).await
    }

    pub(crate) async fn send(self, body: Option<String>) -> Answer {
        let url = format!("http://{}{}", self.client.address, self.path);
        let mut request = self.client.http.request(self.method.clone(), url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if let Some(token) = &self.client.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.text().await.expect("text");
        let json = serde_json::from_str(&body).unwrap_or(Value::Null);
        let answer = Answer {
            status,
            headers,
            body,
            json,
        };
        schema::check(&self.method, &self.path, &answer);
        answer
    }
}

impl Answer {
    /// A text of the answer.
    pub(crate) fn text(&self, field: &str) -> String {
        let text = self.json[field].as_str();
        text.unwrap_or_else(|| panic!("no {field} in {}", self.json))
            .to_owned()
    }

    /// A header as text; empty if there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|v| v.to_str().ok());
        value.unwrap_or_default()
    }

    /// The problem's code, of an answer that must be one with this status.
    pub(crate) fn code(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        self.json["code"].as_str().expect("a code")
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> &[Value] {
        self.json["items"].as_array().expect("a list")
    }
}
