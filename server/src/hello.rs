//! The workflow `hello`: something to run on the first day. It comes in by the front door, like every other.

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::bootstrap::Bootstrap;

const TEXT: &str = include_str!("hello.yaml");
/// The answers read here are small.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Saves `hello`, unless there is one. Without the agent `demo` it cannot be checked, and is left out.
pub(crate) async fn load(admin: &Bootstrap) -> anyhow::Result<()> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let keys = json!({"api_key_id": admin.api_key_id, "api_secret": admin.api_secret}).to_string();
    let login = Request::post(format!("{}/api/v1/auth/token", admin.http))
        .header("content-type", "application/json");
    let (status, answer) = send(&client, login.body(keys.into())?).await?;
    let Some(token) = answer["token"].as_str().filter(|_| status.is_success()) else {
        bail!("the first API key was refused: {answer}");
    };
    let save = Request::builder()
        .method(Method::PUT)
        .uri(format!("{}/api/v1/workflows/hello", admin.http))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/yaml")
        .header("if-none-match", "*");
    let (status, answer) = send(&client, save.body(TEXT.into())?).await?;
    if !status.is_success() && status != StatusCode::PRECONDITION_FAILED {
        tracing::warn!(%answer, "the workflow hello is left out");
    }
    Ok(())
}

async fn send(
    client: &Client<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, Value)> {
    let response = client
        .request(request)
        .await
        .context("this process does not answer itself")?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await;
    let body = body
        .map_err(|e| anyhow::anyhow!("an answer could not be read: {e}"))?
        .to_bytes();
    Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
}
