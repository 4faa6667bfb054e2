//! The HTTP API as a client without any comfort: what the server answers is what a test sees.

use crate::web;
use anyhow::{Context as _, Result, bail};
use http::{HeaderMap, Method, StatusCode};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::{Value, json};

/// An API key and its secret.
#[derive(Clone, Debug, Deserialize)]
pub struct ApiKey {
    /// Which key.
    pub api_key_id: String,
    /// What proves it.
    pub api_secret: String,
}

/// Somebody who calls the API: with a token, or as nobody.
#[derive(Clone, Debug)]
pub struct Api {
    base: String,
    token: Option<String>,
}

/// What the server answered, be it an error.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub text: String,
}

impl Api {
    /// A caller without a token.
    #[must_use]
    pub fn nobody(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            token: None,
        }
    }

    /// A caller with the token that this key gets.
    ///
    /// # Errors
    /// The server does not answer or refuses the key.
    pub async fn login(base: &str, key: &ApiKey) -> Result<Self> {
        let nobody = Self::nobody(base);
        let body = json!({ "api_key_id": key.api_key_id, "api_secret": key.api_secret });
        let token = nobody.post("/api/v1/auth/token", &body).await?.ok()?;
        let token = token["token"].as_str().context("the answer has no token")?;
        Ok(Self {
            token: Some(token.to_owned()),
            ..nobody
        })
    }

    /// The same caller by another way, such as through a proxy.
    #[must_use]
    pub fn by(&self, base: &str) -> Self {
        Self {
            base: base.to_owned(),
            token: self.token.clone(),
        }
    }

    /// Somebody else: a new key of this name, with this role.
    ///
    /// # Errors
    /// The key is refused.
    pub async fn somebody(&self, name: &str, role: &str) -> Result<Self> {
        let key = json!({ "name": name, "role": role });
        let made = self.post("/api/v1/api-keys", &key).await?.ok()?;
        Self::login(&self.base, &serde_json::from_value(made)?).await
    }

    /// The token, if there is one.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A request with the token, for those who need more than the short forms below; see [`Api::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = web::client().request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// No answer came; an answer that is an error is none here.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let answer = request.send().await?;
        Ok(Answer {
            status: answer.status(),
            headers: answer.headers().clone(),
            text: answer.text().await?,
        })
    }

    /// GET.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::GET, path)).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// PUT of a YAML document.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn put_yaml(&self, path: &str, document: &str) -> Result<Answer> {
        let request = self
            .request(Method::PUT, path)
            .header("content-type", "application/yaml");
        self.send(request.body(document.to_owned())).await
    }

    /// PATCH of a JSON merge patch.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn patch(&self, path: &str, patch: &Value) -> Result<Answer> {
        let request = self
            .request(Method::PATCH, path)
            .header("content-type", "application/merge-patch+json");
        self.send(request.body(patch.to_string())).await
    }

    /// DELETE.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn delete(&self, path: &str) -> Result<Answer> {
        self.send(self.request(Method::DELETE, path)).await
    }
}

impl Answer {
    /// The body of a success; empty is null.
    ///
    /// # Errors
    /// It is an error, which is shown whole, or its body is no JSON.
    pub fn ok(&self) -> Result<Value> {
        if !self.status.is_success() {
            bail!("answered {}: {}", self.status, self.text);
        }
        self.json()
    }

    /// The body of an answer of exactly this status; empty is null.
    ///
    /// # Errors
    /// It has another status and is shown whole, or its body is no JSON.
    pub fn with_status(&self, status: u16) -> Result<Value> {
        if self.status.as_u16() != status {
            bail!(
                "answered {} instead of {status}: {}",
                self.status,
                self.text
            );
        }
        self.json()
    }

    /// A header, empty if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default()
    }

    fn json(&self) -> Result<Value> {
        if self.text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.text).with_context(|| format!("no JSON: {}", self.text))
    }
}
