//! Whether a connection has work: requests whose answers are not sent to their end.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::Response;
use hyper::body::{Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// Counts what a connection is working on.
#[derive(Clone, Default)]
pub(super) struct Work {
    count: watch::Sender<usize>,
    /// Since when each answer waits for its peer to take more of it.
    waiting: Arc<Mutex<Waiting>>,
}

#[derive(Default)]
struct Waiting {
    last: u64,
    since: BTreeMap<u64, Instant>,
}

impl Work {
    /// A request begins, and ends with the body of its answer.
    pub(super) fn begin(&self) -> Piece {
        self.count.send_modify(|n| *n += 1);
        let mut waiting = self.waiting();
        waiting.last += 1;
        Piece {
            work: self.clone(),
            number: waiting.last,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when a peer has taken nothing of an answer for `time`. HTTP/2 gives it a window to open, and so a write
    /// that stalls is not seen at the stream of bytes.
    pub(super) async fn stalled(&self, time: Duration) {
        loop {
            let oldest = self.waiting().since.values().min().copied();
            let end = oldest.unwrap_or_else(Instant::now) + time;
            if end <= Instant::now() {
                return;
            }
            sleep_until(end).await;
        }
    }

    /// Returns when there was no work for `time`.
    pub(super) async fn none_for(&self, time: Duration) {
        let mut count = self.count.subscribe();
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
pub(super) struct Piece {
    work: Work,
    number: u64,
}

impl Piece {
    /// The answer, which ends it.
    pub(super) fn answered(self, response: Response<Body>) -> Response<Counted> {
        self.waits(true);
        response.map(|body| Counted { body, piece: self })
    }

    /// More of the answer is there, and its peer is to take it; or not.
    fn waits(&self, waits: bool) {
        let mut waiting = self.work.waiting();
        if waits {
            waiting.since.insert(self.number, Instant::now());
        } else {
            waiting.since.remove(&self.number);
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.waits(false);
        self.work.count.send_modify(|n| *n -= 1);
    }
}

/// A body that ends its piece of work.
pub(super) struct Counted {
    body: Body,
    piece: Piece,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // It is asked for more when there is room for it.
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.piece.waits(frame.is_ready());
        frame
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
