//! Where a peer listens.

use std::{fmt, path::PathBuf, str::FromStr};

/// A place to listen at or to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `host:port`, the host a name or a number (IPv6 in brackets).
    Tcp(String),
    /// The path of a Unix socket, written `unix:/path`.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no address: write host:port, or unix:/path with an absolute path")]
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
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        port.parse::<u16>().map_err(|_| refused())?;
        if host.is_empty() || (host.contains(':') && !host.starts_with('[')) {
            return Err(refused());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
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
        ] {
            assert_eq!(
                text.parse::<Address>(),
                Err(NoAddress(text.to_owned())),
                "{text}"
            );
        }
    }
}
