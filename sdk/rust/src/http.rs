//! HTTP for agents whose back end speaks it: bounded, direct, and clear about what a failure means.
//!
//! It follows no redirect (a back end must not choose where credentials go), reads no proxy from the
//! environment, never repeats a request, and reads no more of an answer than it is told to.

use std::{error::Error as _, time::Duration};

use bytes::{Bytes, BytesMut};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url, header, redirect, retry};
use serde::de::DeserializeOwned;

use crate::{ActionError, Change, Context, error::cut};

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// How much of a refusal is read, in bytes.
const REFUSAL_MAX: usize = 64 * 1024;
/// How much of a refusal's text is shown, in bytes.
const REFUSAL_SHOWN_MAX: usize = 1024;

/// A client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Http(Result<Client, String>);

/// A request that did not bring an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was sent: no connection.
    Unreachable(String),
    /// Something was sent, and no answer, or only a part of it, came.
    NoAnswer(String),
    /// The back end said no.
    Refused {
        /// The status of its answer.
        status: u16,
        /// What it said.
        message: String,
    },
    /// The answer is larger than was asked for, in bytes.
    TooLarge(usize),
    /// The answer is not what the API promises.
    Unreadable(String),
}

impl Http {
    /// A client that names itself so, such as `metrics/0.1.0`.
    #[must_use]
    pub fn new(user_agent: &str) -> Self {
        let client = Client::builder()
            .user_agent(user_agent)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_MAX)
            .build();
        Self(client.map_err(|e| format!("cannot make an HTTP client: {}", chain(&e))))
    }

    /// Begins a request. The answer must come within `timeout`, and before the call's deadline.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] where the system lacks what a client needs, such as root certificates.
    pub fn request(
        &self,
        method: reqwest::Method,
        url: Url,
        timeout: Duration,
    ) -> Result<RequestBuilder, Failure> {
        let client = self
            .0
            .as_ref()
            .map_err(|problem| Failure::Unreachable(problem.clone()))?;
        Ok(client.request(method, url).timeout(timeout))
    }
}

/// Sends a request and reads the whole answer, up to `max` bytes.
///
/// # Errors
/// [`Failure`], also for every status but 2xx.
pub async fn send(request: RequestBuilder, max: usize) -> Result<Bytes, Failure> {
    let answer = request.send().await.map_err(|e| lost(&e))?;
    let status = answer.status();
    if status.is_success() {
        return read(answer, max).await;
    }
    if let Some(target) = answer
        .headers()
        .get(header::LOCATION)
        .filter(|_| status.is_redirection())
    {
        let target = String::from_utf8_lossy(target.as_bytes()).into_owned();
        return Err(refused(
            status,
            &format!("it redirects to {target}, which is not followed: use the final address"),
        ));
    }
    let text = read(answer, REFUSAL_MAX).await.unwrap_or_default();
    Err(refused(status, &String::from_utf8_lossy(&text)))
}

/// [`send`], and reads the answer as JSON.
///
/// # Errors
/// [`Failure`].
pub async fn send_json<T: DeserializeOwned>(
    request: RequestBuilder,
    max: usize,
) -> Result<T, Failure> {
    let answer = send(request, max).await?;
    serde_json::from_slice(&answer)
        .map_err(|e| Failure::Unreadable(format!("the answer is not what was expected: {e}")))
}

/// The address below a base address, which may have a path of its own.
///
/// # Errors
/// A sentence about what is wrong with the base.
pub fn join(base: &str, path: &str) -> Result<Url, String> {
    let mut url = base_url(base)?;
    url.path_segments_mut()
        .map_err(|()| "the address has no host".to_owned())?
        .pop_if_empty()
        .extend(path.split('/'));
    Ok(url)
}

/// Holds a base address to what it must be: `http` or `https`, a host, no credentials, query or fragment.
///
/// # Errors
/// A sentence about what is wrong with it. It does not repeat the address, which may hold credentials.
pub fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("it is no URL: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(
            "it must be http://HOST or https://HOST, with a port and a path if needed".to_owned(),
        );
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must not hold a user or a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must not have a query or a fragment".to_owned());
    }
    Ok(url)
}

/// The shorter of a time-out and what is left until the call's deadline.
#[must_use]
pub fn patience(context: &Context, timeout: Duration) -> Duration {
    context
        .time_left()
        .map_or(timeout, |left| left.min(timeout))
}

impl Failure {
    /// What it means for an action that only looks.
    #[must_use]
    pub fn of_read(self) -> ActionError {
        let (code, retryable) = (self.code(), self.is_passing());
        let failure = ActionError::failed(code, self.to_string());
        if retryable {
            failure.retryable()
        } else {
            failure
        }
    }

    /// What it means for a request that only prepares a change: nothing was changed.
    #[must_use]
    pub fn of_preparation(self) -> ActionError {
        ActionError {
            change: Change::NotMade,
            ..self.of_read()
        }
    }

    /// What it means for a request that changes something: whether the change was made.
    #[must_use]
    pub fn of_change(self) -> ActionError {
        let (code, retryable) = (self.code(), self.is_passing());
        let made = match &self {
            Self::Unreachable(_) => ActionError::not_made,
            Self::Refused { status, .. } if *status < 500 => ActionError::not_made,
            Self::Refused { .. } | Self::NoAnswer(_) | Self::TooLarge(_) | Self::Unreadable(_) => {
                ActionError::unknown
            }
        };
        let failure = made(code, self.to_string());
        if retryable {
            failure.retryable()
        } else {
            failure
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::NoAnswer(_) => "no_answer",
            Self::Refused {
                status: 401 | 403, ..
            } => "unauthorized",
            Self::Refused { status: 429, .. } => "overloaded",
            Self::Refused { status, .. } if *status >= 500 => "backend_failed",
            Self::Refused { .. } => "refused",
            Self::TooLarge(_) => "answer_too_large",
            Self::Unreadable(_) => "bad_answer",
        }
    }

    /// Whether a later attempt may go better.
    fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::NoAnswer(_) => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            Self::TooLarge(_) | Self::Unreadable(_) => false,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "cannot connect: {why}"),
            Self::NoAnswer(why) => write!(f, "no complete answer came: {why}"),
            Self::Refused { status, message } => {
                write!(f, "refused with status {status}: {message}")
            }
            Self::TooLarge(max) => write!(f, "the answer has more than {max} bytes: ask for less"),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

async fn read(mut answer: Response, max: usize) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = answer.chunk().await.map_err(|e| lost(&e))? {
        if body.len() + chunk.len() > max {
            return Err(Failure::TooLarge(max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Only a failed connection, or a request that could not even be made, is known to have sent nothing.
fn lost(error: &reqwest::Error) -> Failure {
    if error.is_connect() || error.is_builder() {
        Failure::Unreachable(chain(error))
    } else if error.is_timeout() {
        Failure::NoAnswer("the time was over".to_owned())
    } else {
        Failure::NoAnswer(chain(error))
    }
}

fn refused(status: StatusCode, text: &str) -> Failure {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let message = if text.is_empty() {
        "without a word".to_owned()
    } else {
        cut(text, REFUSAL_SHOWN_MAX)
    };
    Failure::Refused {
        status: status.as_u16(),
        message,
    }
}

/// An error with its causes, without the address that it was about, which may hold secrets.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    // The outermost text repeats the address; the causes say what happened.
    if causes.is_empty() {
        "the request cannot be made".to_owned()
    } else {
        causes.join(": ")
    }
}
