//! Whether a connection has work: requests whose answers are not sent to their end.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::Service;

/// Counts what a connection is working on.
#[derive(Clone, Default)]
pub(super) struct Work(watch::Sender<usize>);

impl Work {
    fn begin(&self) -> Piece {
        self.0.send_modify(|n| *n += 1);
        Piece(self.clone())
    }

    /// Returns when there was no work for `time`.
    pub(super) async fn none_for(&self, time: Duration) {
        let mut count = self.0.subscribe();
        loop {
            // The sender lives in `self`, so neither wait can fail.
            if count.wait_for(|n| *n == 0).await.is_err() {
                return;
            }
            let begun = timeout(time, count.wait_for(|n| *n > 0)).await;
            if begun.is_err() {
                return;
            }
        }
    }
}

/// One request; done when it is dropped.
struct Piece(Work);

impl Drop for Piece {
    fn drop(&mut self) {
        self.0.0.send_modify(|n| *n -= 1);
    }
}

/// Counts each request until its answer's body is sent or dropped.
#[derive(Clone)]
pub(super) struct CountWork {
    router: Router,
    work: Work,
}

impl CountWork {
    pub(super) fn new(router: Router, work: Work) -> Self {
        Self { router, work }
    }
}

impl Service<Request<Incoming>> for CountWork {
    type Response = Response<Counted>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Counted>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let piece = self.work.begin();
        let answer = self.router.call(request.map(Body::new));
        answer
            .map(|answer| {
                answer.map(|response| {
                    response.map(|body| Counted {
                        body,
                        _piece: piece,
                    })
                })
            })
            .boxed()
    }
}

/// A body that ends its piece of work.
pub(super) struct Counted {
    body: Body,
    _piece: Piece,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn idle_time_begins_when_the_last_answer_is_sent() {
        let work = Work::default();
        let start = Instant::now();
        let piece = work.begin();
        let waiter = tokio::task::JoinSet::from_iter([{
            let work = work.clone();
            async move { work.none_for(Duration::from_secs(60)).await }
        }]);
        tokio::time::advance(Duration::from_secs(300)).await;
        drop(piece);
        waiter.join_all().await;
        assert!(start.elapsed() >= Duration::from_secs(360));
    }
}
