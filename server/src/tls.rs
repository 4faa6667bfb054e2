//! TLS for both ports, from files that are read again when they change.
//!
//! They are looked at when somebody connects, and at no other time. A pair that does not fit together is said once and
//! not used: a certificate and its key are two files, and somebody may be between writing the one and the other.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use async_trait::async_trait;
use gateway::{Door, Stream};
use ipnet::IpNet;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// The first byte of a TLS record that begins a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;
/// What somebody is told who speaks HTTP without TLS from elsewhere.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 45\r\n\r\nthis port speaks TLS: use https:// instead.  \n";

/// The files of a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The certificate, and those between it and its root, in PEM.
    pub(crate) cert: PathBuf,
    /// Its key, in PEM.
    pub(crate) key: PathBuf,
    /// Who signs the certificates that clients must show, in PEM.
    pub(crate) client_ca: Option<PathBuf>,
}

/// What a port is served with, as its files have it.
pub(crate) struct Tls {
    files: Files,
    protocols: &'static [&'static [u8]],
    loaded: Mutex<Loaded>,
}

struct Loaded {
    /// How the files were when they were last read, whatever came of it.
    seen: Vec<Stamp>,
    config: Arc<ServerConfig>,
}

/// Tells a file from what it was before: device, inode, size, time of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(Option<(u64, u64, u64, i64, i64)>);

impl Tls {
    /// Reads the files. `protocols` are those of the port (ALPN).
    ///
    /// # Errors
    /// They cannot be read, or do not fit together.
    pub(crate) fn load(files: Files, protocols: &'static [&'static [u8]]) -> anyhow::Result<Self> {
        let seen = files.stamps();
        let config = files.read(protocols)?;
        let loaded = Mutex::new(Loaded { seen, config });
        Ok(Self {
            files,
            protocols,
            loaded,
        })
    }

    /// What the next handshake is made with.
    fn config(&self) -> Arc<ServerConfig> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = self.files.stamps();
        if seen != loaded.seen {
            loaded.seen = seen;
            match self.files.read(self.protocols) {
                Ok(config) => {
                    tracing::info!(cert = %self.files.cert.display(), "a new certificate is used");
                    loaded.config = config;
                }
                Err(error) => tracing::warn!(
                    error = format!("{error:#}"),
                    "the new certificate is not used, the one before stays"
                ),
            }
        }
        loaded.config.clone()
    }
}

impl Files {
    fn stamps(&self) -> Vec<Stamp> {
        let all = [Some(&self.cert), Some(&self.key), self.client_ca.as_ref()];
        let stamp = |path: &PathBuf| {
            let found = fs::metadata(path).ok();
            Stamp(found.map(|m| (m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec())))
        };
        all.into_iter().flatten().map(stamp).collect()
    }

    fn read(&self, protocols: &[&[u8]]) -> anyhow::Result<Arc<ServerConfig>> {
        let chain = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("{} holds no private key in PEM", self.key.display()))?;
        let builder = ServerConfig::builder();
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots
                        .add(certificate)
                        .with_context(|| path.display().to_string())?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
                builder.with_client_cert_verifier(
                    verifier.with_context(|| path.display().to_string())?,
                )
            }
        };
        let mut config = builder.with_single_cert(chain, key).with_context(|| {
            format!(
                "{} and {} do not fit together",
                self.cert.display(),
                self.key.display()
            )
        })?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

fn certificates(path: &PathBuf) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.with_context(|| format!("{} holds no certificates in PEM", path.display()))?;
    if found.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(found)
}

/// The door of a port with TLS. Who is on this machine, or in a network that the configuration names, may do without:
/// the agents that we start, and those that cannot do otherwise.
pub(crate) struct TlsDoor {
    pub(crate) tls: Arc<Tls>,
    pub(crate) plain: Vec<IpNet>,
}

#[async_trait]
impl Door for TlsDoor {
    async fn admit(&self, mut stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[0] == HANDSHAKE {
            let tls = self.tls.clone();
            let config = spawn_blocking(move || tls.config())
                .await
                .map_err(io::Error::other)?;
            return Ok(Box::new(TlsAcceptor::from(config).accept(stream).await?));
        }
        let (peer, local) = (stream.peer_addr()?.ip(), stream.local_addr()?.ip());
        if may_do_without(peer, local, &self.plain) {
            return Ok(Box::new(stream));
        }
        stream.write_all(PLAIN).await?;
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "a peer elsewhere speaks without TLS",
        ))
    }
}

/// Whether a peer is on this machine, or in one of the networks.
fn may_do_without(peer: IpAddr, local: IpAddr, networks: &[IpNet]) -> bool {
    let (peer, local) = (peer.to_canonical(), local.to_canonical());
    let is_here = peer.is_loopback() || peer == local;
    is_here || networks.iter().any(|network| network.contains(&peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_named_networks_may_speak_without_tls() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let networks: Vec<IpNet> = vec!["10.1.0.0/16".parse().expect("a network")];
        let may = |peer, local| may_do_without(ip(peer), ip(local), &networks);
        assert!(may("127.0.0.1", "127.0.0.1") && may("::1", "::1"));
        assert!(may("::ffff:127.0.0.1", "::ffff:127.0.0.1"));
        assert!(may("192.0.2.7", "192.0.2.7"), "our own address");
        assert!(may("10.1.2.3", "192.0.2.7"), "named");
        assert!(!may("192.0.2.8", "192.0.2.7") && !may("10.2.0.1", "192.0.2.7"));
    }
}
