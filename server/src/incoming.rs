//! The connections of a port, let in by its door, many at a time: one that is slow keeps no other waiting.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt;
use gateway::{Door, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Handshakes at the same time; who comes then waits to be accepted.
const AT_ONCE: usize = 1_024;
/// A handshake that takes longer is given up.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// After an error of `accept` (mostly: no file descriptors left) nothing is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection, and who is at its other end.
pub(crate) struct Admitted {
    stream: Box<dyn Stream>,
    info: TcpConnectInfo,
}

/// The connections of `listener` that `door` lets in.
pub(crate) fn through(
    listener: TcpListener,
    door: Arc<dyn Door>,
) -> impl futures::Stream<Item = io::Result<Admitted>> {
    let accepted = TcpListenerStream::new(listener).map(move |accepted| {
        let door = door.clone();
        async move {
            match admit(accepted, &*door).await {
                Ok(admitted) => Some(Ok(admitted)),
                Err(error) => {
                    tracing::debug!(%error, "a connection was not let in");
                    None
                }
            }
        }
    });
    accepted
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
}

async fn admit(accepted: io::Result<TcpStream>, door: &dyn Door) -> io::Result<Admitted> {
    let stream = match accepted {
        Ok(stream) => stream,
        Err(error) => {
            sleep(ACCEPT_PAUSE).await;
            return Err(error);
        }
    };
    stream.set_nodelay(true)?;
    let info = stream.connect_info();
    let stream = timeout(HANDSHAKE_MAX, door.admit(stream)).await??;
    Ok(Admitted { stream, info })
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
