//! Where a peer listens.

use std::{fmt, path::PathBuf, str::FromStr};

/// A place to listen at or to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `host:port`, the host a name or a number (IPv6 in brackets).
    Tcp(String),
    /// The same, where TLS is spoken: written `https://host:port`.
    Tls {
        /// Where to connect to.
        at: String,
        /// The name that its certificate must bear.
        name: String,
    },
    /// The path of a Unix socket, written `unix:/path`.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is no address: write host:port, https://host:port, or unix:/path with an absolute path"
)]
pub struct NoAddress(String);

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let refused = || NoAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Self::Unix(path.into()))
            } else {
                Err(refused())
            };
        }
        if let Some(at) = text.strip_prefix("https://") {
            let name = host(at).ok_or_else(refused)?;
            let name = name
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            let at = at.to_owned();
            return Ok(Self::Tls { at, name });
        }
        host(text).ok_or_else(refused)?;
        Ok(Self::Tcp(text.to_owned()))
    }
}

/// The host of `host:port`.
fn host(text: &str) -> Option<&str> {
    let (host, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let bare_v6 = host.contains(':') && !host.starts_with('[');
    (!host.is_empty() && !bare_v6).then_some(host)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Tls { at, .. } => write!(f, "https://{at}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_prints_as_it_was_written() {
        for text in [
            "127.0.0.1:50051",
            "[::1]:0",
            "plugins.example:7000",
            "https://plugins.example:7000",
            "https://[::1]:0",
            "unix:/run/mirastack/demo.sock",
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":80",
            "localhost",
            "localhost:http",
            "127.0.0.1:70000",
            "unix:relative.sock",
            "::1:80",
            "https://::1:80",
            "https://host",
        ] {
            assert_eq!(
                text.parse::<Address>(),
                Err(NoAddress(text.to_owned())),
                "{text}"
            );
        }
    }
}
