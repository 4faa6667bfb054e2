//! Serving with TLS: handshakes side by side, each with its time, so that a slow one keeps no other waiting.

use std::{
    future::ready,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt};
use proto::tls::{self, ClientConfig, Own, ServerConfig};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::server::Connected;
use tracing::debug;

/// A handshake that takes longer is given up: whoever says nothing keeps others out no longer than that.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);
/// Handshakes at the same time.
const AT_ONCE: usize = 256;
/// After an error of `accept` nothing is accepted for so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The files of the plugin's own certificate, and who must have signed that of its callers.
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
}

impl Files {
    fn own(&self) -> Own<'_> {
        Own {
            cert: &self.cert,
            key: &self.key,
        }
    }

    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>, String> {
        tls::server(self.own(), self.client_ca.as_deref()).map_err(|e| e.to_string())
    }
}

/// What is spoken to an engine at `https://…`.
pub(crate) fn to_engine(ca: &Path, own: Option<&Files>) -> Result<Arc<ClientConfig>, String> {
    tls::client(ca, own.map(Files::own)).map_err(|e| e.to_string())
}

/// The connections of `listener` whose handshake went well.
pub(super) fn incoming(
    listener: TcpListener,
    acceptor: TlsAcceptor,
) -> impl Stream<Item = io::Result<Secure>> {
    let accepted = TcpListenerStream::new(listener).map(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            match admit(stream, &acceptor).await {
                Ok(secure) => Some(Ok(secure)),
                Err(error) => {
                    debug!(%error, "a connection was not let in");
                    None
                }
            }
        }
    });
    accepted.buffer_unordered(AT_ONCE).filter_map(ready)
}

async fn admit(stream: io::Result<TcpStream>, acceptor: &TlsAcceptor) -> io::Result<Secure> {
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => {
            sleep(ACCEPT_PAUSE).await;
            return Err(error);
        }
    };
    stream.set_nodelay(true)?;
    let stream = timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await??;
    Ok(Secure(Box::new(stream)))
}

/// A connection with TLS.
pub(super) struct Secure(Box<TlsStream<TcpStream>>);

impl Connected for Secure {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Secure {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secure {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
