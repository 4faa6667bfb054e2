//! The port at which a scheduler or a worker shows its figures. Nobody is asked who they are there, and nothing can be
//! changed: figures name no run, no person and no secret.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::dev;

/// Connections at once; who comes then waits.
const CONNECTIONS: usize = 16;
/// A connection is closed after so long, whatever it does.
const CONNECTION_MAX: Duration = Duration::from_secs(30);
/// What a request begins with must be there by then.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// After an error of `accept` (mostly: no file descriptors left) nothing is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// From now on figures are kept.
pub(crate) fn keep() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .install_recorder()
        .context("metrics")
}

/// A port that is taken, and the figures that it will show.
pub(crate) struct Port {
    listener: TcpListener,
    at: SocketAddr,
    figures: PrometheusHandle,
}

impl Port {
    /// Takes the port, where there is to be one.
    pub(crate) async fn take(at: Option<SocketAddr>) -> anyhow::Result<Option<Self>> {
        let Some(at) = at else { return Ok(None) };
        let listener = dev::bind(at, "--metrics").await?;
        let at = listener.local_addr()?;
        let figures = keep()?;
        Ok(Some(Self {
            listener,
            at,
            figures,
        }))
    }

    /// Where it is.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    async fn serve(self) {
        let seats = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let Ok(seat) = Arc::clone(&seats).acquire_owned().await else {
                return;
            };
            while connections.try_join_next().is_some() {}
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let figures = self.figures.clone();
                    connections.spawn(async move {
                        // One that is slow, or breaks, is nobody's loss.
                        let _ = timeout(CONNECTION_MAX, answer(stream, figures)).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted at --metrics");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Shows the figures, if there is a port for them, until this is dropped.
pub(crate) fn show(port: Option<Port>) -> JoinSet<()> {
    let mut showing = JoinSet::new();
    if let Some(port) = port {
        showing.spawn(port.serve());
    }
    showing
}

async fn answer(stream: TcpStream, figures: PrometheusHandle) -> Result<(), hyper::Error> {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = found(&request, &figures);
        async move { Ok::<_, Infallible>(answer) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn found(request: &Request<Incoming>, figures: &PrometheusHandle) -> Response<String> {
    let (status, text) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => (StatusCode::OK, figures.render()),
        (&Method::GET, "/livez") => (StatusCode::OK, "ok\n".to_owned()),
        (_, _) => {
            let text = "here are GET /metrics and GET /livez\n";
            (StatusCode::NOT_FOUND, text.to_owned())
        }
    };
    let mut answer = Response::new(text);
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, plain);
    answer
}
