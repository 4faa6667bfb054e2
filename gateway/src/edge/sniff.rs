//! Which version of HTTP a peer speaks, told from its first bytes.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What an HTTP/2 peer with prior knowledge sends first (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// Reads until it is clear which version is spoken; answers it with what was read.
///
/// # Errors
/// What the stream says, and an end before the first byte.
pub(super) async fn sniff<R: AsyncRead + Unpin>(stream: &mut R) -> io::Result<(Version, Bytes)> {
    let mut seen = BytesMut::with_capacity(PREFACE.len());
    loop {
        let mut rest = (&mut *stream).take((PREFACE.len() - seen.len()) as u64);
        if rest.read_buf(&mut seen).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !PREFACE.starts_with(&seen) {
            return Ok((Version::Http1, seen.freeze()));
        }
        if seen.len() == PREFACE.len() {
            return Ok((Version::Http2, seen.freeze()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_version_is_told_and_no_byte_is_lost() {
        let (version, seen) = sniff(&mut &b"POST / HTTP/1.1\r\n"[..]).await.expect("told");
        assert_eq!(
            (version, &seen[..]),
            (Version::Http1, &b"POST / HTTP/1.1\r\n"[..])
        );
        let (version, seen) = sniff(&mut &b"PUT /hooks HTTP/1.1\r\nhost: x\r\n"[..])
            .await
            .expect("told");
        assert_eq!(version, Version::Http1);
        assert!(seen.len() <= PREFACE.len());
        let (version, seen) = sniff(&mut &PREFACE[..]).await.expect("told");
        assert_eq!((version, &seen[..]), (Version::Http2, PREFACE));
    }

    #[tokio::test]
    async fn half_a_preface_is_no_version() {
        assert!(sniff(&mut &PREFACE[..5]).await.is_err());
        assert!(sniff(&mut &b""[..]).await.is_err());
    }
}
