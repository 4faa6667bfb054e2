//! Something to watch: an exporter that a test can turn down.

use crate::serve::{Served, serve};
use anyhow::Result;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Answers a scrape while it is up; while it is down, Prometheus sees `up == 0`.
#[derive(Debug)]
pub struct Target {
    instance: String,
    up: Arc<AtomicBool>,
    served: Served,
}

impl Target {
    /// Starts it, up, with what Prometheus shall call it (its label `instance`).
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(instance: &str) -> Result<Self> {
        let up = Arc::new(AtomicBool::new(true));
        let state = Arc::clone(&up);
        let metrics = get(async move || match state.load(Ordering::SeqCst) {
            true => (
                StatusCode::OK,
                "# TYPE target_requests_total counter\ntarget_requests_total 1\n",
            ),
            false => (StatusCode::SERVICE_UNAVAILABLE, ""),
        });
        let served = serve(Router::new().route("/metrics", metrics)).await?;
        Ok(Self {
            instance: instance.to_owned(),
            up,
            served,
        })
    }

    /// From now on its scrapes fail.
    pub fn go_down(&self) {
        self.up.store(false, Ordering::SeqCst);
    }

    /// From now on its scrapes succeed.
    pub fn come_up(&self) {
        self.up.store(true, Ordering::SeqCst);
    }

    /// Its label `instance`.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Where it is scraped.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.served.address
    }
}
