//! The door of the engine's service for plugins: how many stand in it at once, and how long without a word.

use std::future::Future;
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

/// Who has not begun to speak HTTP/2 by then is shown out.
const GREETING_MAX: Duration = Duration::from_secs(10);
/// After an error of `accept` nothing is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How HTTP/2 begins, in bytes (RFC 9113, section 3.4).
const GREETING_BYTES: usize = 24;

/// Those of the connections for which there is room: seats for all, and so many that may be greeting, for those keep
/// nobody out who speaks. One that could not be accepted is no reason to end: mostly there
/// are no file descriptors left, and there will be.
pub(super) fn guests<S>(
    incoming: impl Stream<Item = io::Result<S>>,
    (seats, greeting): (usize, usize),
) -> impl Stream<Item = io::Result<Guest<S>>> {
    let seats = Arc::new(Semaphore::new(seats));
    let hall = Arc::new(Semaphore::new(greeting));
    incoming.filter_map(move |came| {
        let places = came.map(|stream| {
            let seat = Arc::clone(&seats).try_acquire_owned().ok()?;
            let greeting = Arc::clone(&hall).try_acquire_owned().ok()?;
            Some(Guest::new(stream, seat, greeting))
        });
        async {
            match places {
                Ok(guest) => guest.map(Ok),
                Err(error) => {
                    tracing::debug!(%error, "no connection could be accepted");
                    sleep(ACCEPT_PAUSE).await;
                    None
                }
            }
        }
    })
}

/// A connection that has a place.
pub(super) struct Guest<S> {
    stream: S,
    /// `None`: it has greeted.
    greeting: Option<Greeting>,
    _seat: OwnedSemaphorePermit,
}

/// What is missing of a greeting.
struct Greeting {
    left: usize,
    until: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl<S> Guest<S> {
    fn new(stream: S, seat: OwnedSemaphorePermit, place: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            greeting: Some(Greeting {
                left: GREETING_BYTES,
                until: Box::pin(sleep(GREETING_MAX)),
                _place: place,
            }),
            _seat: seat,
        }
    }

    fn heard(&mut self, bytes: usize) {
        if let Some(greeting) = &mut self.greeting {
            greeting.left = greeting.left.saturating_sub(bytes);
            if greeting.left == 0 {
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
        let Some(greeting) = &mut self.greeting else {
            return Poll::Pending;
        };
        let late = |()| Err(io::ErrorKind::TimedOut.into());
        greeting.until.as_mut().poll(context).map(late)
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
        let mut door = Box::pin(guests(incoming(listener), (2, 2)));
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
        let mut door = Box::pin(guests(incoming(listener), (2, 2)));
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
