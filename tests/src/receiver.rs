//! Somebody who is told: a receiver of webhooks that keeps what it gets.

use crate::serve::{Served, serve};
use crate::wait::PATIENCE;
use anyhow::{Context as _, Result};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::{Json, RequestExt as _, Router};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::sync::mpsc;

/// Takes every POST of JSON with 200 and hands it to the test in order.
#[derive(Debug)]
pub struct Receiver {
    served: Served,
    received: mpsc::UnboundedReceiver<Received>,
}

/// One webhook.
#[derive(Debug)]
pub struct Received {
    /// The header `Authorization`, empty if there was none.
    pub authorization: String,
    /// The body.
    pub body: Value,
}

impl Receiver {
    /// Starts it.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> Result<Self> {
        let (sender, received) = mpsc::unbounded_channel();
        let router = Router::new().fallback(async move |request: Request| {
            let authorization = request.headers().get("authorization");
            let authorization = authorization
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned();
            let Ok(Json(body)) = request.extract().await else {
                return StatusCode::BAD_REQUEST;
            };
            match sender.send(Received {
                authorization,
                body,
            }) {
                Ok(()) => StatusCode::OK,
                Err(_) => StatusCode::GONE, // the test has dropped the receiver
            }
        });
        Ok(Self {
            served: serve(router).await?,
            received,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.served.address
    }

    /// Where to send webhooks.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.served.address)
    }

    /// Waits for the next webhook.
    ///
    /// # Errors
    /// None comes in time.
    pub async fn next(&mut self) -> Result<Received> {
        let next = tokio::time::timeout(PATIENCE, self.received.recv()).await;
        next.context("no webhook came")?
            .context("the receiver is gone")
    }

    /// The next webhook, if it has come already.
    pub fn already(&mut self) -> Option<Received> {
        self.received.try_recv().ok()
    }
}
