//! The door of the engine's service for plugins: how many stand in it at once, and how long without a word.

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tonic::transport::server::Connected;

/// Connections at once: more than there may be instances. One that comes when all are taken is closed.
pub(super) const GUESTS_MAX: usize = 2_000;
/// Who has not begun to speak HTTP/2 by then is shown out.
const GREETING_MAX: Duration = Duration::from_secs(10);
/// How HTTP/2 begins, in bytes (RFC 9113, section 3.4).
const GREETING_BYTES: usize = 24;

/// Those of the connections for which there is room.
pub(super) fn guests<S>(
    incoming: impl Stream<Item = io::Result<S>>,
    room: usize,
) -> impl Stream<Item = io::Result<Guest<S>>> {
    let seats = Arc::new(Semaphore::new(room));
    incoming.filter_map(move |came| {
        ready(match came {
            Ok(stream) => {
                let seat = Arc::clone(&seats).try_acquire_owned().ok();
                seat.map(|seat| Ok(Guest::new(stream, seat)))
            }
            Err(error) => Some(Err(error)),
        })
    })
}

/// A connection that has a place.
pub(super) struct Guest<S> {
    stream: S,
    /// What is left of its greeting, and until when; `None`: it has greeted.
    greeting: Option<(usize, Pin<Box<Sleep>>)>,
    _seat: OwnedSemaphorePermit,
}

impl<S> Guest<S> {
    fn new(stream: S, seat: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            greeting: Some((GREETING_BYTES, Box::pin(sleep(GREETING_MAX)))),
            _seat: seat,
        }
    }

    fn heard(&mut self, bytes: usize) {
        if let Some((left, _)) = &mut self.greeting {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.greeting = None;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guest<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            self.heard(buffer.filled().len() - before);
            return Poll::Ready(read);
        }
        let Some((_, until)) = &mut self.greeting else {
            return Poll::Pending;
        };
        let late = |()| Err(io::ErrorKind::TimedOut.into());
        until.as_mut().poll(context).map(late)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guest<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S: Connected> Connected for Guest<S> {
    type ConnectInfo = S::ConnectInfo;

    fn connect_info(&self) -> S::ConnectInfo {
        self.stream.connect_info()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn opened() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        (listener, address)
    }

    fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
        stream::unfold(listener, |listener| async {
            let came = listener.accept().await.map(|(stream, _)| stream);
            Some((came, listener))
        })
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_is_shut_out_until_one_is_free() {
        let (listener, address) = opened().await;
        let mut door = Box::pin(guests(incoming(listener), 2));
        let mut callers = Vec::new();
        for _ in 0..3 {
            callers.push(TcpStream::connect(address).await.expect("it listens"));
        }
        let first = door.next().await.expect("a guest");
        let _second = door.next().await.expect("a guest");
        // The third is shut out when the door looks for the next guest, who comes once there is room.
        let look = async {
            let mut nothing = [0];
            let read = callers[2].read(&mut nothing).await;
            assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
            drop(first);
            TcpStream::connect(address).await.expect("it listens")
        };
        let both = async { tokio::join!(door.next(), look) };
        let both = tokio::time::timeout(GREETING_MAX, both).await;
        let (next, _fourth) = both.expect("the third is shut out, and the fourth is let in");
        next.expect("a guest").expect("a connection");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_begin_to_speak_is_shown_out_and_who_did_may_be_silent() {
        let (listener, address) = opened().await;
        let mut door = Box::pin(guests(incoming(listener), 2));
        let (mut word, mut read) = ([0; 64], Vec::new());
        for greeting in [
            &b"PRI * HTTP/2.0\r\n\r\nSM"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let mut caller = TcpStream::connect(address).await.expect("it listens");
            caller.write_all(greeting).await.expect("it is open");
            let mut guest = door.next().await.expect("a guest").expect("a connection");
            guest.stream.readable().await.expect("it was written to");
            assert_eq!(guest.read(&mut word).await.expect("a word"), greeting.len());
            let silence = tokio::time::timeout(GREETING_MAX * 2, guest.read(&mut word));
            read.push(silence.await.map(|read| read.map_err(|e| e.kind())));
            drop(caller);
        }
        assert!(
            matches!(read[0], Ok(Err(io::ErrorKind::TimedOut))),
            "{read:?}"
        );
        assert!(read[1].is_err(), "{read:?}");
    }
}
