//! A stream whose first bytes were read already, whose peer must take what is written, and has the time to read it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// After its end the peer may close for so long, and what it still sends is thrown away: a socket that is closed with
/// bytes unread takes back the answer, too (RFC 9112, section 9.6).
const LINGER: Duration = Duration::from_secs(2);

/// The stream.
pub(super) struct Guarded<S> {
    stream: S,
    seen: Bytes,
    stall: Duration,
    /// Runs while a write waits for the peer.
    deadline: Option<Pin<Box<Sleep>>>,
    /// Runs once nothing more is written.
    linger: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    /// `seen` is read again first; a write that makes no progress for `stall` fails.
    pub(super) fn new(stream: S, seen: Bytes, stall: Duration) -> Self {
        Self {
            stream,
            seen,
            stall,
            deadline: None,
            linger: None,
        }
    }

    fn guard<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.deadline = None;
            return written;
        }
        let stall = self.stall;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + stall)));
        ready!(deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.seen.is_empty() {
            let n = self.seen.len().min(buf.remaining());
            buf.put_slice(&self.seen[..n]);
            self.seen.advance(n);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.guard(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.guard(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.guard(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let linger = this.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        while linger.as_mut().poll(cx).is_pending() {
            let mut part = [MaybeUninit::uninit(); 4_096];
            let mut part = ReadBuf::uninit(&mut part);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut part));
            if read.is_err() || part.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let (near, far) = duplex(4);
        let mut near = Guarded::new(near, Bytes::new(), Duration::from_secs(30));
        near.write_all(b"1234").await.expect("there is room");
        let error = near.write_all(b"5").await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(far);
    }

    #[tokio::test(start_paused = true)]
    async fn it_closes_when_its_peer_has_closed_or_has_had_the_time_to() {
        let (near, mut far) = duplex(4);
        let mut near = Guarded::new(near, Bytes::new(), Duration::from_secs(30));
        let peer = async {
            far.write_all(b"much more than there is room for")
                .await
                .expect("it is thrown away");
            let mut said = String::new();
            far.read_to_string(&mut said).await.expect("the end");
            drop(far);
        };
        let start = Instant::now();
        let (closed, ()) = tokio::join!(near.shutdown(), peer);
        closed.expect("the peer has closed");
        assert_eq!(start.elapsed(), Duration::ZERO);

        let (near, far) = duplex(4);
        let mut near = Guarded::new(near, Bytes::new(), Duration::from_secs(30));
        near.shutdown().await.expect("the peer has had the time");
        assert_eq!(start.elapsed(), LINGER);
        drop(far);
    }

    #[tokio::test]
    async fn what_was_seen_is_read_first() {
        let (mut near, far) = duplex(16);
        near.write_all(b"lo").await.expect("there is room");
        drop(near);
        let mut far = Guarded::new(far, Bytes::from_static(b"hel"), Duration::from_secs(30));
        let mut text = String::new();
        far.read_to_string(&mut text).await.expect("text");
        assert_eq!(text, "hello");
    }
}
