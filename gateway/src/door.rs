//! Who lets connections in. What they are wrapped in on the way (TLS) is not the gateway's matter.

use std::io;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection that was let in.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Lets connections in, or not.
#[async_trait]
pub trait Door: Send + Sync {
    /// The connection as it is to be served.
    ///
    /// # Errors
    /// It may not come in, or does not know how; it is closed then.
    async fn admit(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>>;
}
