//! The part of the HTTP API that the load needs, over connections that are kept.

mod counts;

use std::time::Duration;

use anyhow::{Context as _, bail};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long one request may take; longer than the server is asked to wait.
const REQUEST: Duration = Duration::from_secs(90);
/// How long the server is asked to wait for the end of a run.
const WAIT: &str = "wait=30";
/// How long the end of one run is waited for in all.
const PATIENCE: Duration = Duration::from_secs(300);
/// How much of an answer that nobody expected is shown, in characters.
const SHOWN: usize = 500;

/// An API key, as it is sent for a token.
#[derive(Serialize, Deserialize)]
pub(crate) struct ApiKey {
    /// Which key.
    pub(crate) api_key_id: String,
    /// Its secret.
    pub(crate) api_secret: String,
}

/// A hook, with what proves its sender.
pub(crate) struct Hook {
    path: String,
    bearer: String,
}

/// A run, as far as the load looks at it.
#[derive(Debug, Deserialize)]
pub(crate) struct Run {
    /// Its id.
    pub(crate) id: String,
    /// Where it stands.
    status: String,
}

impl Run {
    /// Whether it goes no further by itself.
    fn has_ended(&self) -> bool {
        !matches!(self.status.as_str(), "queued" | "running" | "waiting")
    }

    /// # Errors
    /// It ended in another way than by success.
    fn succeeded(&self) -> anyhow::Result<()> {
        if self.status != "succeeded" {
            bail!("run {} is {}", self.id, self.status);
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Asks {
    waiting_for: Vec<Ask>,
}

#[derive(Deserialize)]
struct Ask {
    id: String,
}

#[derive(Deserialize)]
struct Card {
    digest: String,
}

#[derive(Deserialize)]
struct MadeHook {
    secret: String,
}

#[derive(Deserialize)]
struct Taken {
    runs: Vec<TakenRun>,
}

#[derive(Deserialize)]
struct TakenRun {
    id: String,
}

/// What a token may do until it is renewed.
struct Token {
    bearer: String,
    renew_at: Instant,
}

#[derive(Deserialize)]
struct Granted {
    token: String,
    expires_at: Timestamp,
}

type Http = Client<HttpConnector, Full<Bytes>>;

/// A client that is logged in.
pub(crate) struct Api {
    http: Http,
    server: String,
    key: ApiKey,
    token: Mutex<Token>,
}

impl Api {
    /// Logs in.
    ///
    /// # Errors
    /// The server does not answer or refuses the key.
    pub(crate) async fn login(server: &str, key: ApiKey) -> anyhow::Result<Self> {
        let server = server.trim_end_matches('/').to_owned();
        if !server.starts_with("http://") {
            bail!("{server} is no http:// address, and the load speaks nothing else");
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http: Http = Client::builder(TokioExecutor::new()).build(connector);
        let token = Mutex::new(grant(&http, &server, &key).await?);
        Ok(Self {
            http,
            server,
            key,
            token,
        })
    }

    /// Saves a workflow.
    ///
    /// # Errors
    /// The server refuses it.
    pub(crate) async fn save(&self, name: &str, document: &Value) -> anyhow::Result<()> {
        let path = format!("/api/v1/workflows/{name}");
        let (status, body) = self
            .call(Method::PUT, &path, None, document.to_string())
            .await?;
        if !matches!(status, StatusCode::OK | StatusCode::CREATED) {
            bail!("saving {name}: {}", told(status, &body));
        }
        Ok(())
    }

    /// Makes a hook anew, so that its secret is known.
    ///
    /// # Errors
    /// The server refuses it.
    pub(crate) async fn hook(&self, name: &str, document: &Value) -> anyhow::Result<Hook> {
        let path = format!("/api/v1/hooks/{name}");
        let (status, body) = self
            .call(Method::DELETE, &path, None, String::new())
            .await?;
        if !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_FOUND) {
            bail!("deleting the hook {name}: {}", told(status, &body));
        }
        let made = self.call(Method::POST, "/api/v1/hooks", None, document.to_string());
        let (status, body) = made.await?;
        if status != StatusCode::CREATED {
            bail!("making the hook {name}: {}", told(status, &body));
        }
        let made: MadeHook = serde_json::from_slice(&body).context("the hook that was made")?;
        Ok(Hook {
            path: format!("/hooks/{name}"),
            bearer: format!("Bearer {}", made.secret),
        })
    }

    /// Delivers a body to a hook and answers the id of the one run that it starts.
    ///
    /// # Errors
    /// The answer is not 202, or not one run.
    pub(crate) async fn delivered(&self, hook: &Hook, body: &Value) -> anyhow::Result<String> {
        let request = Request::post(format!("{}{}", self.server, hook.path))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, &hook.bearer)
            .body(Full::from(body.to_string()))?;
        let (status, body) = send(&self.http, request).await?;
        if status != StatusCode::ACCEPTED {
            bail!("delivering to {}: {}", hook.path, told(status, &body));
        }
        let mut taken: Taken = serde_json::from_slice(&body).context("the answer to a delivery")?;
        match (taken.runs.pop(), taken.runs.is_empty()) {
            (Some(run), true) => Ok(run.id),
            _ => bail!("one run was expected: {}", told(status, &body)),
        }
    }

    /// Starts a run and answers its id as soon as the server has it.
    ///
    /// # Errors
    /// The answer is not 202.
    pub(crate) async fn accepted(&self, workflow: &str) -> anyhow::Result<String> {
        let (status, body) = self.start(workflow, None).await?;
        if status != StatusCode::ACCEPTED {
            bail!("starting {workflow}: {}", told(status, &body));
        }
        Ok(run(&body)?.id)
    }

    /// Starts a run and waits for its end, with one request where the run ends in time. Answers its id.
    ///
    /// # Errors
    /// A request fails, or the run does not succeed.
    pub(crate) async fn done(&self, workflow: &str) -> anyhow::Result<String> {
        let (status, body) = self.start(workflow, Some(WAIT)).await?;
        match status {
            StatusCode::OK => {
                let run = run(&body)?;
                run.succeeded()?;
                Ok(run.id)
            }
            StatusCode::ACCEPTED => {
                let run = run(&body)?;
                self.ended(&run.id).await?;
                Ok(run.id)
            }
            _ => bail!("starting {workflow}: {}", told(status, &body)),
        }
    }

    /// Starts a run, approves what it asks for, and waits for its end. Answers its id.
    ///
    /// # Errors
    /// A request fails, the run asks for nothing, or it does not succeed.
    pub(crate) async fn approved(&self, workflow: &str) -> anyhow::Result<String> {
        let id = self.accepted(workflow).await?;
        let path = format!("/api/v1/runs/{id}?wait=60&until=attention");
        let asks: Asks = self.read(&path).await?;
        let [ask] = asks.waiting_for.as_slice() else {
            bail!("run {id} does not wait for one approval");
        };
        let path = format!("/api/v1/approvals/{}", ask.id);
        let card: Card = self.read(&path).await?;
        let decision = serde_json::json!({"digest": card.digest}).to_string();
        let approve = format!("{path}/approve");
        let (status, body) = self.call(Method::POST, &approve, None, decision).await?;
        if status != StatusCode::OK {
            bail!("approving {}: {}", ask.id, told(status, &body));
        }
        self.ended(&id).await?;
        Ok(id)
    }

    async fn read<T: serde::de::DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let (status, body) = self.call(Method::GET, path, None, String::new()).await?;
        if status != StatusCode::OK {
            bail!("{path}: {}", told(status, &body));
        }
        serde_json::from_slice(&body).with_context(|| format!("the answer to {path}"))
    }

    /// Waits for the end of a run.
    ///
    /// # Errors
    /// A request fails, the run does not end, or it does not succeed.
    pub(crate) async fn ended(&self, id: &str) -> anyhow::Result<()> {
        let path = format!("/api/v1/runs/{id}?wait=60&until=end");
        let give_up = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.call(Method::GET, &path, None, String::new()).await?;
            if status != StatusCode::OK {
                bail!("run {id}: {}", told(status, &body));
            }
            let run = run(&body)?;
            if run.has_ended() {
                return run.succeeded();
            }
            if Instant::now() > give_up {
                bail!("run {id} is still {} after {PATIENCE:?}", run.status);
            }
        }
    }

    async fn start(
        &self,
        workflow: &str,
        prefer: Option<&str>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let path = format!("/api/v1/workflows/{workflow}/runs");
        self.call(Method::POST, &path, prefer, "{}".to_owned())
            .await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        prefer: Option<&str>,
        body: String,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.server))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, self.bearer().await?);
        if let Some(prefer) = prefer {
            request = request.header("prefer", prefer);
        }
        send(&self.http, request.body(Full::from(body))?).await
    }

    /// The token, renewed by whoever comes first after half of its life; the others wait for it.
    async fn bearer(&self) -> anyhow::Result<String> {
        let mut token = self.token.lock().await;
        if Instant::now() >= token.renew_at {
            *token = grant(&self.http, &self.server, &self.key).await?;
        }
        Ok(token.bearer.clone())
    }
}

async fn grant(http: &Http, server: &str, key: &ApiKey) -> anyhow::Result<Token> {
    let request = Request::post(format!("{server}/api/v1/auth/token"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(serde_json::to_vec(key)?))
        .with_context(|| format!("{server} is no address"))?;
    let (status, body) = send(http, request).await?;
    if status != StatusCode::OK {
        bail!("logging in: {}", told(status, &body));
    }
    let granted: Granted = serde_json::from_slice(&body).context("the answer to the login")?;
    let life = granted.expires_at.duration_since(Timestamp::now());
    Ok(Token {
        bearer: format!("Bearer {}", granted.token),
        renew_at: Instant::now() + half(life.as_secs()),
    })
}

/// Half of a life in seconds; at once where the clocks disagree so much that it seems over.
fn half(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds / 2).unwrap_or(0))
}

async fn send(http: &Http, request: Request<Full<Bytes>>) -> anyhow::Result<(StatusCode, Bytes)> {
    let what = format!("{} {}", request.method(), request.uri());
    let answer = async {
        let response = http.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::Ok((status, body))
    };
    match timeout(REQUEST, answer).await {
        Ok(answer) => answer.context(what),
        Err(_) => bail!("{what}: no answer within {REQUEST:?}"),
    }
}

fn run(body: &[u8]) -> anyhow::Result<Run> {
    serde_json::from_slice(body).context("the answer is no run")
}

/// An answer that nobody expected, short enough for a line.
fn told(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let shown: String = text.chars().take(SHOWN).collect();
    format!("{status}: {shown}")
}

#[cfg(test)]
mod tests {
    use super::{half, run};
    use std::time::Duration;

    #[test]
    fn a_run_that_goes_on_has_not_ended_and_any_other_has() {
        let ended = |status: &str| {
            let body = format!(r#"{{"id": "a", "status": "{status}", "version": 3}}"#);
            let run = run(body.as_bytes()).expect("a run");
            (run.has_ended(), run.succeeded().is_ok())
        };
        assert_eq!(ended("running"), (false, false));
        assert_eq!(ended("succeeded"), (true, true));
        assert_eq!(ended("failed"), (true, false));
        // It does not go on by itself: waiting for it would take for ever.
        assert_eq!(ended("parked"), (true, false));
    }

    #[test]
    fn a_token_is_renewed_after_half_of_its_life() {
        assert_eq!(half(900), Duration::from_secs(450));
        assert_eq!(half(-5), Duration::ZERO);
    }
}
