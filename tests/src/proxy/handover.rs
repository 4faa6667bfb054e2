//! Knowing when a request has left our hands.

use http::Request;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// A body that is dropped, and with it `_handed_over`, when the connection has taken all of it or has failed.
pub(super) struct Body {
    bytes: Full<Bytes>,
    _handed_over: oneshot::Sender<()>,
}

/// The request as it is sent, and a future that waits until the connection has taken it.
pub(super) fn request(request: Request<Bytes>) -> (Request<Body>, impl Future<Output = ()>) {
    let (sender, receiver) = oneshot::channel();
    let request = request.map(|bytes| Body {
        bytes: Full::new(bytes),
        _handed_over: sender,
    });
    let handed_over = async {
        // It is never sent, only dropped.
        let _ = receiver.await;
    };
    (request, handed_over)
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.bytes).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}
