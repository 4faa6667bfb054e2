//! Connections: who may have one, for how long, and what ends it.
//!
//! hyper's own timers are silently off unless one is installed, and its automatic choice of the version has none
//! while it looks at the first bytes (hyper #3962). So the version is told here, under a deadline, and the connection
//! is then served by exactly that version, with the timer set.

mod io;
mod seats;
mod sniff;
mod work;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures::FutureExt;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::config::{Edge, std_time};
use crate::door::{Door, Stream};
use io::Guarded;
use seats::{Seat, Seats};
use sniff::{Version, sniff};
use work::Work;

/// After an error of `accept` (mostly: no file descriptors left) nothing is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A connection that is told to end is dropped after this, whatever the peer does.
const CLOSING: Duration = Duration::from_secs(5);
/// The buffer of an HTTP/1 connection may grow to this, in bytes.
const BUFFER_MAX: usize = 64 * 1024;
/// What an HTTP/2 peer may send of one body before anybody reads it, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same of all bodies of its connection.
const CONNECTION_WINDOW: u32 = 128 * 1024;
/// What waits on one stream of HTTP/2 for its peer to take it, in bytes.
const SEND_BUFFER_MAX: usize = 64 * 1024;
/// Streams that the peer reset and that are not yet taken off; more end the connection (CVE-2023-44487).
const RESETS_MAX: usize = 20;

/// Serves connections until `stop`; then no more are taken, and those that work may finish within the drain time.
pub(crate) async fn serve(
    listener: TcpListener,
    app: App,
    limits: Edge,
    door: Option<Arc<dyn Door>>,
    stop: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let seats = Seats::new(limits.connections, limits.connections_per_ip);
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(seat) = seats.take(peer.ip()) else {
            metrics::counter!("mirastack_http_connections_refused_total").increment(1);
            continue;
        };
        let guest = Guest {
            peer,
            app: app.of(peer),
            limits: limits.clone(),
            door: door.clone(),
            stop: stop.clone(),
            _seat: seat,
        };
        tasks.spawn(guest.serve(stream));
    }
    drop(listener);
    let all = async { while tasks.join_next().await.is_some() {} };
    if timeout(std_time(limits.drain), all).await.is_err() {
        tracing::warn!(
            open = tasks.len(),
            "connections are cut: the drain time is over"
        );
        tasks.shutdown().await;
    }
}

/// An answer, as hyper takes it.
fn unfailing<T>(answer: T) -> Result<T, Infallible> {
    Ok(answer)
}

/// One peer and what it is served with.
struct Guest {
    peer: SocketAddr,
    app: App,
    limits: Edge,
    door: Option<Arc<dyn Door>>,
    stop: CancellationToken,
    _seat: Seat,
}

impl Guest {
    async fn serve(self, stream: TcpStream) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        let Some(door) = self.door.clone() else {
            return self.serve_over(stream).await;
        };
        let admitted = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            admitted = timeout(std_time(self.limits.first_byte), door.admit(stream)) => admitted,
        };
        match admitted {
            Ok(Ok(stream)) => self.boxed(stream).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, peer = %self.peer, "a connection was not let in");
            }
            // Late: there is nobody to answer.
            Err(_) => {}
        }
    }

    /// Behind a pointer, for the compiler cannot see through to the end of it otherwise.
    fn boxed(self, stream: Box<dyn Stream>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.serve_over(stream))
    }

    async fn serve_over<S: Stream + 'static>(self, mut stream: S) {
        let told = tokio::select! {
            biased;
            () = self.stop.cancelled() => return,
            told = timeout(std_time(self.limits.first_byte), sniff(&mut stream)) => told,
        };
        // Late, gone, or nothing at all: there is nobody to answer.
        let Ok(Ok((version, seen))) = told else {
            return;
        };
        let io = TokioIo::new(Guarded::new(
            stream,
            seen,
            std_time(self.limits.write_stall),
        ));
        let app = self.app.clone();
        match version {
            Version::Http1 => {
                let service = service_fn(move |request: Request<Incoming>| {
                    app.clone().answer(request.map(Body::new)).map(unfailing)
                });
                let connection = self.http1().serve_connection(io, service);
                self.run(connection, None).await;
            }
            Version::Http2 => {
                let work = Work::default();
                let counted = work.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let piece = counted.begin();
                    let answer = app.clone().answer(request.map(Body::new));
                    answer.map(|answer| unfailing(piece.answered(answer)))
                });
                let connection = self.http2().serve_connection(io, service);
                self.run(connection, Some(&work)).await;
            }
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(std_time(self.limits.headers))
            .max_headers(self.limits.header_fields)
            .max_header_size(usize::try_from(self.limits.header_bytes).unwrap_or(usize::MAX))
            .max_buf_size(BUFFER_MAX);
        builder
    }

    fn http2(&self) -> http2::Builder<TokioExecutor> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER_MAX)
            .max_header_list_size(self.limits.header_bytes)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_local_error_reset_streams(Some(RESETS_MAX))
            .keep_alive_interval(std_time(self.limits.idle) / 2)
            .keep_alive_timeout(std_time(self.limits.headers));
        builder
    }

    /// Drives a connection to its end. HTTP/2 has no timers of its own for peers that are idle or take nothing: `work`
    /// tells when there is none, or none that goes on.
    async fn run<C>(&self, connection: C, work: Option<&Work>)
    where
        C: GracefulConnection,
        C::Error: std::fmt::Display,
    {
        let mut connection = pin!(connection);
        let idle = async {
            match work {
                Some(work) => tokio::select! { biased;
                    () = work.none_for(std_time(self.limits.idle)) => {}
                    () = work.stalled(std_time(self.limits.write_stall)) => {}
                },
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = self.stop.cancelled() => None,
            () = idle => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                let closing = if self.stop.is_cancelled() {
                    std_time(self.limits.drain)
                } else {
                    CLOSING
                };
                match timeout(closing, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, peer = %self.peer, "a connection ended in the middle");
        }
    }
}
