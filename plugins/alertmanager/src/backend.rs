//! The server: where it is, and how it is asked.

use std::time::Duration;

use bytes::Bytes;
use mirastack_sdk::{
    Config, Context,
    http::{self, Failure, Http, patience},
};
use reqwest::{Method, Url};
use serde::{Serialize, de::DeserializeOwned};

/// The setting with the server's address.
pub(crate) const URL: &str = "alertmanager_url";
/// The setting with the bearer token.
pub(crate) const TOKEN: &str = "bearer_token";
/// The setting with the time-out.
pub(crate) const TIMEOUT: &str = "timeout";

/// How much of an answer is read, in bytes.
const ANSWER_MAX: usize = 32 * 1024 * 1024;
/// The time-out when none is set.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks the server that the settings name.
#[derive(Clone, Debug)]
pub(crate) struct Backend(Http);

/// Holds the settings to more than their types say.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    let url = config.get(URL).unwrap_or_default();
    http::base_url(url)
        .map(drop)
        .map_err(|problem| format!("`{URL}`: {problem}"))
}

impl Backend {
    pub(crate) fn new() -> Self {
        Self(Http::new(concat!(
            "mirastack-agent-alertmanager/",
            env!("CARGO_PKG_VERSION")
        )))
    }

    /// Gets `api/v2/<path>`, with these parameters.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        context: &Context,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let request = self.request(Method::GET, context.config(), path, timeout(context))?;
        http::send_json(request.query(query), ANSWER_MAX).await
    }

    /// Posts to `api/v2/<path>`.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        context: &Context,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, Failure> {
        let request = self.request(Method::POST, context.config(), path, timeout(context))?;
        http::send_json(request.json(body), ANSWER_MAX).await
    }

    /// Deletes `api/v2/<path>`.
    pub(crate) async fn delete(&self, context: &Context, path: &str) -> Result<(), Failure> {
        let request = self.request(Method::DELETE, context.config(), path, timeout(context))?;
        http::send(request, ANSWER_MAX).await.map(drop)
    }

    pub(crate) async fn health(&self, config: &Config) -> Result<String, String> {
        let asked = async {
            let request = self.request(Method::GET, config, "status", PATIENCE)?;
            http::send(request, ANSWER_MAX).await
        };
        asked
            .await
            .map(|_: Bytes| "the server answers".to_owned())
            .map_err(|failure| failure.to_string())
    }

    fn request(
        &self,
        method: Method,
        config: &Config,
        path: &str,
        timeout: Duration,
    ) -> Result<reqwest::RequestBuilder, Failure> {
        let request = self.0.request(method, address(config, path)?, timeout)?;
        Ok(match config.get(TOKEN).filter(|token| !token.is_empty()) {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }
}

fn timeout(context: &Context) -> Duration {
    patience(
        context,
        context
            .config()
            .duration(TIMEOUT)
            .map_or(PATIENCE, |d| d.get()),
    )
}

fn address(config: &Config, path: &str) -> Result<Url, Failure> {
    let base = config.get(URL).unwrap_or_default();
    http::join(base, &format!("api/v2/{path}"))
        .map_err(|problem| Failure::Unreachable(format!("`{URL}`: {problem}")))
}
