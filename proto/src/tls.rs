//! TLS between an engine and an agent that runs elsewhere: who must have signed the other's certificate, and one's own.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore};

pub use tokio_rustls::rustls::{ClientConfig, ServerConfig};

/// What both sides speak inside (ALPN).
const PROTOCOL: &[u8] = b"h2";

/// A certificate with those up to its root, and its key, in PEM.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The certificate.
    pub cert: &'a Path,
    /// Its key.
    pub key: &'a Path,
}

/// For who connects: the other's certificate must be signed by one in `ca`; its own is shown where it is asked for.
///
/// # Errors
/// The files cannot be read, or do not fit together.
pub fn client(ca: &Path, own: Option<Own<'_>>) -> io::Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder().with_root_certificates(roots(ca)?);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let (chain, key) = read(own)?;
            let made = builder.with_client_auth_cert(chain, key);
            made.map_err(|e| misfit(own, &e))?
        }
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

/// For who is connected to: it shows its own certificate, and with `client_ca` others must show one that is signed by
/// one in there.
///
/// # Errors
/// As [`client`].
pub fn server(own: Own<'_>, client_ca: Option<&Path>) -> io::Result<Arc<ServerConfig>> {
    let builder = ServerConfig::builder();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder(roots(ca)?).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| bad(ca, &e.to_string()))?)
        }
    };
    let (chain, key) = read(own)?;
    let made = builder.with_single_cert(chain, key);
    let mut config = made.map_err(|e| misfit(own, &e))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

fn read(own: Own<'_>) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key = PrivateKeyDer::from_pem_file(own.key);
    let key = key.map_err(|e| bad(own.key, &format!("it holds no private key in PEM ({e})")))?;
    Ok((certificates(own.cert)?, key))
}

fn roots(path: &Path) -> io::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|e| bad(path, &e.to_string()))?;
    }
    Ok(Arc::new(roots))
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(bad(path, "it holds no certificate")),
        Err(e) => Err(bad(path, &format!("it holds no certificates in PEM ({e})"))),
    }
}

fn misfit(own: Own<'_>, why: &rustls::Error) -> io::Error {
    bad(own.cert, &format!("it does not fit its key: {why}"))
}

fn bad(path: &Path, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{}: {why}", path.display()),
    )
}
