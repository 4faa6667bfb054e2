//! The server: where it is, and how it is asked.

use std::time::Duration;

use mirastack_sdk::{
    ActionError, Config, Context,
    http::{self, Failure, Http, patience},
};
use reqwest::{Method, RequestBuilder, Url};
use serde::{Deserialize, de::DeserializeOwned};

use crate::answer::{Answer, Refusal, Result as Answered};

/// The setting with the server's address.
pub(crate) const URL: &str = "metrics_url";
/// The setting with the bearer token.
pub(crate) const TOKEN: &str = "bearer_token";
/// The setting with the time-out.
pub(crate) const TIMEOUT: &str = "timeout";

/// How much of an answer is read, in bytes. A result may have 4 MiB; the server writes it wider.
const ANSWER_MAX: usize = 16 * 1024 * 1024;
/// How much of the answer to a health check is read, in bytes.
const HEALTH_MAX: usize = 64 * 1024;
/// The time-out when none is set.
const PATIENCE: Duration = Duration::from_secs(30);

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
            "mirastack-agent-metrics/",
            env!("CARGO_PKG_VERSION")
        )))
    }

    /// Asks with parameters that travel in the body, for a query may be longer than a URL.
    pub(crate) async fn ask<T: DeserializeOwned>(
        &self,
        context: &Context,
        path: &str,
        form: &[(&str, &str)],
    ) -> Result<Answered<T>, ActionError> {
        let url = address(context.config(), path)?;
        let request = self.called(context, Method::POST, url)?.form(form);
        answered(request).await
    }

    /// Asks where the API takes parameters in the URL only.
    pub(crate) async fn look<T: DeserializeOwned>(
        &self,
        context: &Context,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Answered<T>, ActionError> {
        let mut url = address(context.config(), path)?;
        url.query_pairs_mut().extend_pairs(query);
        answered(self.called(context, Method::GET, url)?).await
    }

    fn called(
        &self,
        context: &Context,
        method: Method,
        url: Url,
    ) -> Result<RequestBuilder, ActionError> {
        let config = context.config();
        let timeout = config.duration(TIMEOUT).map_or(PATIENCE, |d| d.get());
        self.request(method, url, config, patience(context, timeout))
            .map_err(Failure::of_read)
    }

    /// Prometheus answers `/-/ready`; a server that has no such page must answer a query that reads nothing.
    pub(crate) async fn health(&self, config: &Config) -> Result<String, String> {
        let ready = self.get(config, "-/ready").await;
        match ready {
            Ok(()) => return Ok("the server is ready".to_owned()),
            Err(Failure::Refused {
                status: 400 | 404 | 405,
                ..
            }) => {}
            Err(failure) => return Err(failure.to_string()),
        }
        self.get(config, "api/v1/query?query=1")
            .await
            .map_err(|failure| failure.to_string())?;
        Ok("the server answers queries".to_owned())
    }

    async fn get(&self, config: &Config, path: &str) -> Result<(), Failure> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = address(config, path).map_err(|e| Failure::Unreachable(e.to_string()))?;
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        http::send(
            self.request(Method::GET, url, config, PATIENCE)?,
            HEALTH_MAX,
        )
        .await
        .map(drop)
    }

    fn request(
        &self,
        method: Method,
        url: Url,
        config: &Config,
        timeout: Duration,
    ) -> Result<RequestBuilder, Failure> {
        let request = self.0.request(method, url, timeout)?;
        Ok(match config.get(TOKEN).filter(|token| !token.is_empty()) {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }
}

async fn answered<T: DeserializeOwned>(
    request: RequestBuilder,
) -> Result<Answered<T>, ActionError> {
    let answer: Answer<T> = http::send_json(request, ANSWER_MAX)
        .await
        .map_err(explain)?;
    answer.into_result().map_err(|refusal| bad_query(&refusal))
}

fn address(config: &Config, path: &str) -> Result<Url, ActionError> {
    http::join(config.require(URL)?, path)
        .map_err(|problem| ActionError::failed("not_configured", format!("`{URL}`: {problem}")))
}

/// The server says what is wrong with a query in an answer of its own, with a status of 4xx. Any other
/// refusal means what it means everywhere.
fn explain(failure: Failure) -> ActionError {
    #[derive(Deserialize)]
    struct Said {
        #[serde(rename = "errorType")]
        kind: String,
        error: String,
    }
    if let Failure::Refused {
        status: 400 | 422,
        message,
    } = &failure
        && let Ok(Said { kind, error }) = serde_json::from_str(message)
    {
        return bad_query(&Refusal { kind, error });
    }
    if let Failure::Refused { status: 404, .. } = &failure {
        let message = format!("{failure}; `{URL}` may lack a path, or this is no Prometheus API");
        return ActionError::failed("refused", message);
    }
    failure.of_read()
}

fn bad_query(refusal: &Refusal) -> ActionError {
    ActionError::failed(
        "bad_query",
        format!(
            "the server refused the query ({}): {}",
            refusal.kind, refusal.error
        ),
    )
}
