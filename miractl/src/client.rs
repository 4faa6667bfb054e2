//! The HTTP client: one request, signed, with limits, repeated where that is safe.
//!
//! A request is repeated when its answer was lost or the server asked for patience (429, 502, 503,
//! 504), for [`PATIENCE`] in all. Every POST carries an `Idempotency-Key` that stays the same over
//! its repetitions; the few that must not (they answer with secrets) are sent once. A server that
//! refuses the very first connection is reported at once: nothing was lost, and a person waits.

use std::cell::RefCell;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::json;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::call::{Answer, Call};
use crate::config::{Folder, Secret};
use crate::exit::{Exit, Failure, Result};
use crate::output::note;
use crate::patience::{CONNECT, PATIENCE, pauses};
use crate::problem;
use crate::target::{Credentials, Target, is_loopback};

/// A token is renewed this long before it ends, so that it does not end on the way.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// The server, as a signed-in principal.
pub(crate) struct Api {
    http: Client,
    target: Target,
    credentials: RefCell<Credentials>,
    folder: Folder,
    voice: Voice,
    deadline: RefCell<Option<Instant>>,
}

/// What the client may say on stderr by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Voice {
    /// Nothing.
    pub(crate) quiet: bool,
    /// Each request, without its secrets.
    pub(crate) verbose: bool,
}

/// What one sending of a request came to.
enum Sent {
    /// An answer to hand on.
    Answer(Response),
    /// The server asks for patience, for this long if it said so.
    Busy(Response, Option<Duration>),
    /// Nothing was sent.
    NotConnected(String),
    /// It may have been done or not.
    Lost(String),
}

impl Api {
    /// A client for `target` that renews tokens in `folder`.
    pub(crate) fn new(target: Target, folder: Folder, voice: Voice) -> Result<Self> {
        let mut builder = Client::builder()
            .user_agent(concat!("miractl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(reqwest::redirect::Policy::none());
        if is_loopback(&target.server) {
            builder = builder.no_proxy();
        }
        if let Some(path) = &target.ca_cert {
            let wrong = |why: String| {
                Failure::usage(format!("{}: {why}", path.display()))
                    .hint("--ca-cert wants a PEM file with the certificates to trust")
            };
            let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let certs = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| wrong(chain(&error)))?;
            builder = builder.tls_certs_only(certs);
        }
        let http = builder
            .tls_danger_accept_invalid_certs(target.insecure)
            .build()
            .map_err(|error| Failure::new(Exit::Bug, chain(&error)))?;
        let credentials = RefCell::new(target.credentials.clone());
        Ok(Self {
            http,
            target,
            credentials,
            folder,
            voice,
            deadline: RefCell::new(None),
        })
    }

    /// The server's address.
    pub(crate) fn server(&self) -> &Url {
        &self.target.server
    }

    /// From now on nothing is repeated after `deadline`.
    pub(crate) fn set_deadline(&self, deadline: Option<Instant>) {
        *self.deadline.borrow_mut() = deadline;
    }

    /// Sends a call and reads its answer; any status but 2xx is a failure.
    pub(crate) async fn send(&self, call: Call) -> Result<Answer> {
        let mut pauses = pauses().take(3);
        loop {
            let response = self.open(&call).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            // An answer that breaks off in the middle is as lost as none.
            let lost = match timeout_at(self.limit(&call), response.bytes()).await {
                Ok(Ok(body)) => {
                    return Ok(Answer {
                        status,
                        headers,
                        body: body.to_vec(),
                    });
                }
                Ok(Err(error)) => chain(&error),
                Err(_) => "its answer takes too long".to_owned(),
            };
            match pauses.next() {
                Some(pause) if call.repeatable() && self.before_deadline() => sleep(pause).await,
                Some(_) | None => return Err(self.unreachable(&call, &lost, true)),
            }
        }
    }

    /// Sends a call and hands back the answer with its body unread, for streams.
    pub(crate) async fn open(&self, call: &Call) -> Result<Response> {
        let mut pauses = pauses();
        let mut give_up: Option<Instant> = None;
        let mut renewed = false;
        loop {
            let sent = self.once(call).await?;
            let pause = pauses.next().unwrap_or(CONNECT);
            let patient = self.before_deadline() && give_up.is_none_or(|end| Instant::now() < end);
            let again = match sent {
                Sent::Answer(answer)
                    if answer.status() == StatusCode::UNAUTHORIZED
                        && !renewed
                        && self.can_renew(call) =>
                {
                    renewed = true;
                    self.renew().await?;
                    continue;
                }
                Sent::Answer(answer) if answer.status().is_success() => return Ok(answer),
                // An earlier sending of the same DELETE did it, and its answer was lost.
                Sent::Answer(answer)
                    if call.deletes()
                        && give_up.is_some()
                        && answer.status() == StatusCode::NOT_FOUND =>
                {
                    return Ok(answer);
                }
                Sent::Busy(_, wait) if patient && call.repeatable() => wait.unwrap_or(pause),
                Sent::Answer(answer) | Sent::Busy(answer, _) => {
                    return Err(self.refused(answer).await);
                }
                Sent::NotConnected(_) if patient && give_up.is_some() => pause,
                Sent::NotConnected(why) => {
                    return Err(self.unreachable(call, &why, give_up.is_some()));
                }
                Sent::Lost(_) if patient && call.repeatable() => pause,
                Sent::Lost(why) => return Err(self.unreachable(call, &why, true)),
            };
            if give_up.is_none() && !self.voice.quiet {
                note(&format!(
                    "no answer yet from {}; trying again",
                    self.target.server
                ));
            }
            let now = Instant::now();
            give_up.get_or_insert(now + PATIENCE);
            let end = self.deadline.borrow().unwrap_or(now + PATIENCE);
            sleep_until(end.min(now + again)).await;
        }
    }

    async fn once(&self, call: &Call) -> Result<Sent> {
        let url = call.url(&self.target.server);
        let mut request = self
            .http
            .request(call.method(), url.clone())
            .header(ACCEPT, call.accept());
        if call.signed() {
            request = request.header(AUTHORIZATION, self.bearer().await?);
        }
        if let Some((kind, body)) = call.body() {
            request = request.header(CONTENT_TYPE, kind).body(body.to_owned());
        }
        for (name, value) in call.headers() {
            request = request.header(*name, value);
        }
        let started = Instant::now();
        let (sent, result) = match timeout_at(self.limit(call), request.send()).await {
            Ok(Ok(answer)) => (answer.status().to_string(), sort(answer)),
            Ok(Err(error)) if error.is_builder() => return Err(Failure::usage(chain(&error))),
            Ok(Err(error)) if error.is_connect() => {
                (chain(&error), Sent::NotConnected(chain(&error)))
            }
            Ok(Err(error)) => (chain(&error), Sent::Lost(chain(&error))),
            Err(_) => (
                "no answer".to_owned(),
                Sent::Lost("it does not answer".to_owned()),
            ),
        };
        if self.voice.verbose {
            note(&format!(
                "* {} {url} -> {sent} in {}ms",
                call.method(),
                started.elapsed().as_millis()
            ));
        }
        Ok(result)
    }

    fn limit(&self, call: &Call) -> Instant {
        let own = Instant::now() + call.limit();
        self.deadline
            .borrow()
            .map_or(own, |deadline| own.min(deadline))
    }

    fn before_deadline(&self) -> bool {
        self.deadline
            .borrow()
            .is_none_or(|deadline| Instant::now() < deadline)
    }

    /// The `Authorization` header, with a fresh token where the stored one is about to end.
    async fn bearer(&self) -> Result<HeaderValue> {
        let (usable, renewable) = {
            let credentials = self.credentials.borrow();
            let soon = Timestamp::now() + RENEW_BEFORE;
            let usable =
                credentials.token.is_some() && credentials.expires_at.is_none_or(|end| end > soon);
            (usable, credentials.key.is_some())
        };
        if !usable && renewable {
            self.renew().await?;
        }
        let credentials = self.credentials.borrow();
        let Some(token) = &credentials.token else {
            return Err(Failure::new(Exit::NotAuthenticated, format!("nobody is logged in at {}", self.target.server))
                .hint("log in: miractl login; in CI set MIRACTL_TOKEN, or MIRACTL_API_KEY_ID with MIRACTL_API_SECRET"));
        };
        let mut header =
            HeaderValue::from_str(&format!("Bearer {}", token.reveal())).map_err(|_| {
                Failure::new(
                    Exit::NotAuthenticated,
                    "the token contains characters that no token has",
                )
            })?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn can_renew(&self, call: &Call) -> bool {
        call.signed() && self.credentials.borrow().key.is_some()
    }

    /// Exchanges the API key for a token and keeps it.
    pub(crate) async fn renew(&self) -> Result<()> {
        let Some(key) = self.credentials.borrow().key.clone() else {
            return Ok(());
        };
        let body = json!({ "api_key_id": key.id, "api_secret": key.secret.reveal() });
        let call = Call::post(["api", "v1", "auth", "token"])
            .once()
            .unsigned()
            .json(&body);
        let answer = Box::pin(self.send(call)).await.map_err(|mut failure| {
            if failure.exit == Exit::NotAuthenticated {
                failure.message =
                    format!("the API key {} does not hold: {}", key.id, failure.message);
            }
            failure
        })?;
        let answer = answer.json()?;
        let token = answer["token"]
            .as_str()
            .filter(|token| !token.is_empty())
            .map(Secret::new);
        let expires_at = answer["expires_at"]
            .as_str()
            .and_then(|time| time.parse().ok());
        let mut credentials = self.credentials.borrow_mut();
        if token.is_none() {
            return Err(
                Failure::new(Exit::Unreachable, "the server answered without a token")
                    .hint("check that --server is the address of Mirastack"),
            );
        }
        credentials.token = token;
        credentials.expires_at = expires_at;
        if let Some(name) = &credentials.keep_in
            && let Err(failure) = self.keep(name, &credentials)
        {
            // The command itself can go on; only the next one asks for a token again.
            note(&format!(
                "warning: the token was not kept: {}",
                failure.message
            ));
        }
        Ok(())
    }

    fn keep(&self, name: &str, credentials: &Credentials) -> Result<()> {
        self.folder.change_tokens(|tokens| {
            let stored = tokens.contexts.entry(name.to_owned()).or_default();
            stored.token = credentials.token.clone();
            stored.expires_at = credentials.expires_at;
        })
    }

    async fn refused(&self, answer: Response) -> Box<Failure> {
        let status = answer.status();
        let to = answer
            .headers()
            .get("location")
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned);
        // A refusal is small; what does not come within the limit is not worth waiting for.
        let body = tokio::time::timeout(CONNECT, answer.bytes()).await;
        let body = body
            .ok()
            .and_then(std::result::Result::ok)
            .unwrap_or_default();
        let mut failure = problem::failure(status, &body);
        if let (true, Some(to)) = (status.is_redirection(), to) {
            failure.message = format!("{} redirects to {to}", self.target.server);
        }
        failure
    }

    fn unreachable(&self, call: &Call, why: &str, sent: bool) -> Box<Failure> {
        let mut failure = Failure::new(
            Exit::Unreachable,
            format!("cannot reach {}: {why}", self.target.server),
        );
        failure.maybe_done = sent && call.method() != Method::GET;
        if failure.maybe_done {
            return failure
                .hint("it is not known whether the server has done it: look before you repeat it");
        }
        if is_loopback(&self.target.server) {
            return failure.hint("is it running? `mirastack dev` starts one on this machine");
        }
        failure
            .hint("check the address (`miractl config view`), the network and the proxy settings")
    }
}

fn sort(answer: Response) -> Sent {
    match answer.status().as_u16() {
        429 | 502 | 503 | 504 => {
            let wait = answer
                .headers()
                .get(RETRY_AFTER)
                .and_then(|v| v.to_str().ok());
            let wait = wait
                .and_then(|text| text.parse().ok())
                .map(Duration::from_secs);
            Sent::Busy(answer, wait)
        }
        _ => Sent::Answer(answer),
    }
}

/// An error with its causes, without the URL, which stands in the message already.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        let text = text
            .split(" for url (")
            .next()
            .unwrap_or_default()
            .to_owned();
        if !parts.last().is_some_and(|last| last.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    // The first parts only say that sending did not work, which the caller says better.
    if parts.len() > 1 {
        parts.split_off(parts.len() - 1).concat()
    } else {
        parts.concat()
    }
}
