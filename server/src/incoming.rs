//! The connections of a port, let in by its door, many at a time: one that is slow keeps no other waiting, and takes a
//! place from the beginning on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use gateway::{Door, Stream};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// A handshake that takes longer, with how HTTP/2 begins, is given up.
const GREETING_MAX: Duration = Duration::from_secs(10);
/// How HTTP/2 begins, in bytes (RFC 9113, section 3.4).
const GREETING_BYTES: usize = 24;
/// After an error of `accept` (mostly: no file descriptors left) nothing is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection, and who is at its other end.
pub(crate) struct Admitted {
    stream: Box<dyn Stream>,
    /// How it began to speak, as far as nobody has read it.
    seen: Vec<u8>,
    info: TcpConnectInfo,
    _seat: OwnedSemaphorePermit,
}

/// The connections of `listener` that `door` lets in and that have begun to speak: at most so many at once, those that
/// have not begun among them, which are a quarter at most. Who comes then is shut out.
pub(crate) fn through(
    listener: TcpListener,
    door: Arc<dyn Door>,
    seats: usize,
) -> impl futures::Stream<Item = io::Result<Admitted>> {
    let greeting = seats.div_ceil(4);
    let (seats, hall) = (Semaphore::new(seats), Semaphore::new(greeting));
    let (seats, hall) = (Arc::new(seats), Arc::new(hall));
    let accepted = TcpListenerStream::new(listener).map(move |accepted| {
        let places = (take(&seats), take(&hall));
        let door = door.clone();
        async move {
            match admit(accepted, places, &*door).await {
                Ok(admitted) => Some(Ok(admitted)),
                Err(error) => {
                    tracing::debug!(%error, "a connection was not let in");
                    None
                }
            }
        }
    });
    // One more, to be shut out.
    accepted
        .buffer_unordered(greeting + 1)
        .filter_map(std::future::ready)
}

fn take(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).try_acquire_owned().ok()
}

type Place = Option<OwnedSemaphorePermit>;

async fn admit(
    accepted: io::Result<TcpStream>,
    (seat, greeting): (Place, Place),
    door: &dyn Door,
) -> io::Result<Admitted> {
    let stream = match accepted {
        Ok(stream) => stream,
        Err(error) => {
            sleep(ACCEPT_PAUSE).await;
            return Err(error);
        }
    };
    let (Some(seat), Some(_greeting)) = (seat, greeting) else {
        return Err(io::Error::other("all places are taken"));
    };
    stream.set_nodelay(true)?;
    let info = stream.connect_info();
    let greeted = async {
        let mut stream = door.admit(stream).await?;
        let mut seen = vec![0; GREETING_BYTES];
        stream.read_exact(&mut seen).await?;
        io::Result::Ok((stream, seen))
    };
    let (stream, seen) = timeout(GREETING_MAX, greeted).await??;
    Ok(Admitted {
        stream,
        seen,
        info,
        _seat: seat,
    })
}

impl Connected for Admitted {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.info.clone()
    }
}

impl AsyncRead for Admitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.seen.is_empty() {
            let n = self.seen.len().min(buf.remaining());
            buf.put_slice(&self.seen[..n]);
            self.seen.drain(..n);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use tokio::io::AsyncWriteExt;

    /// Lets everybody in, and shakes no hands.
    struct Open;

    #[async_trait::async_trait]
    impl Door for Open {
        async fn admit(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
            Ok(Box::new(stream))
        }
    }

    const BEGINS: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    async fn is_shut_out(mut caller: TcpStream) -> bool {
        let mut nothing = [0];
        let read = timeout(GREETING_MAX / 2, caller.read(&mut nothing)).await;
        matches!(read, Ok(Ok(0) | Err(_)))
    }

    async fn call(address: SocketAddr) -> TcpStream {
        TcpStream::connect(address).await.expect("it listens")
    }

    #[tokio::test]
    async fn who_has_not_shaken_hands_takes_a_place_and_only_a_quarter_may() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let mut door = Box::pin(through(listener, Arc::new(Open), 5));
        let mut first = call(address).await;
        let _second = call(address).await;
        let look = async {
            assert!(is_shut_out(call(address).await).await, "two of five may");
            first.write_all(BEGINS).await.expect("it is open");
        };
        let (guest, ()) = tokio::join!(door.next(), look);
        let mut guest = guest.expect("a guest").expect("a connection");
        let mut said = [0; BEGINS.len()];
        guest.read_exact(&mut said).await.expect("it has spoken");
        assert_eq!(said, BEGINS);
    }

    #[tokio::test]
    async fn who_has_a_seat_keeps_it_until_it_goes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let mut door = Box::pin(through(listener, Arc::new(Open), 1));
        let mut first = call(address).await;
        first.write_all(BEGINS).await.expect("it is open");
        let guest = door.next().await.expect("a guest");
        let look = async {
            assert!(is_shut_out(call(address).await).await, "the seat is taken");
            drop(guest);
            let mut next = call(address).await;
            next.write_all(BEGINS).await.expect("it is open");
            next
        };
        let (next, _open) = tokio::join!(door.next(), look);
        next.expect("a guest").expect("a connection");
    }
}
