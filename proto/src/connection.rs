//! One warm HTTP/2 connection to one peer process.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Request, Response, Uri, header::CONTENT_TYPE};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};
use tonic::{
    body::Body,
    codegen::{Service, StdError},
};

use crate::{address::Address, failure::NotSent};

/// A connection that never reconnects.
///
/// A peer that died is known to be dead, and its secrets and parameters are never sent to whatever process
/// listens at its address next. Clones share the connection; it closes with the last of them.
#[derive(Clone, Debug)]
pub struct Connection {
    requests: http2::SendRequest<Body>,
    open: watch::Receiver<()>,
    content_type: Option<HeaderValue>,
    _driver: Arc<JoinSet<()>>,
}

impl Connection {
    /// Connects within `patience`.
    ///
    /// # Errors
    /// When nobody listens there, the peer does not speak HTTP/2, or the time is over.
    pub async fn open(address: &Address, patience: Duration) -> io::Result<Self> {
        Self::open_with(address, patience, None).await
    }

    /// The same, where the address may say that TLS is spoken.
    ///
    /// # Errors
    /// As [`Self::open`], or the peer's certificate is not as `tls` wants it.
    pub async fn open_with(
        address: &Address,
        patience: Duration,
        tls: Option<&Arc<ClientConfig>>,
    ) -> io::Result<Self> {
        timeout(patience, Self::dial(address, tls))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|e| io::Error::new(e.kind(), format!("cannot connect to {address}: {e}")))
    }

    async fn dial(address: &Address, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address.as_str()).await?;
                stream.set_nodelay(true)?;
                Self::over(stream).await
            }
            Address::Tls { at, name } => {
                let unknown = "nothing says who must have signed its certificate (the engine: --tls-agent-ca)";
                let tls =
                    tls.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, unknown))?;
                let name = ServerName::try_from(name.clone());
                let name = name.map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
                let stream = TcpStream::connect(at.as_str()).await?;
                stream.set_nodelay(true)?;
                let connector = TlsConnector::from(Arc::clone(tls));
                Self::over(connector.connect(name, stream).await?).await
            }
            Address::Unix(path) => Self::over(UnixStream::connect(path).await?).await,
        }
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> io::Result<Self> {
        let (requests, driver) = http2::Builder::new(TokioExecutor::new())
            .max_header_list_size(16 * 1024)
            // A cancelled call's last frames still arrive, and each counts as an error that the library reset.
            // Its limit counts over the connection's whole life, and a warm one lives for days.
            .max_local_error_reset_streams(None)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let (ended, open) = watch::channel(());
        let mut running = JoinSet::new();
        running.spawn(async move {
            // Why it ended is told to each call that was open on it.
            let _ = driver.await;
            drop(ended);
        });
        Ok(Self {
            requests,
            open,
            content_type: None,
            _driver: Arc::new(running),
        })
    }

    /// The same connection, for a peer that takes messages under this content type only.
    #[must_use]
    pub fn with_content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = Some(HeaderValue::from_static(content_type));
        self
    }

    /// Whether calls are refused because the peer is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Waits until the peer is gone.
    pub async fn closed(&self) {
        let mut open = self.open.clone();
        while open.changed().await.is_ok() {}
    }

    /// The origin that requests over a [`Connection`] carry: HTTP/2 wants one, and no peer reads it.
    #[must_use]
    pub fn origin() -> Uri {
        Uri::from_static("http://mirastack")
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = StdError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, StdError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        // A closed connection is reported by `call`, where it is known that nothing was sent.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Some(content_type) = &self.content_type {
            request
                .headers_mut()
                .insert(CONTENT_TYPE, content_type.clone());
        }
        let answer = self.requests.try_send_request(request);
        Box::pin(async move {
            answer.await.map_err(|mut e| match e.take_message() {
                Some(_) => NotSent.into(),
                None => e.into_error().into(),
            })
        })
    }
}
