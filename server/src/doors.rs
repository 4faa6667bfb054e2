//! How both ports let connections in.

use std::sync::Arc;

use anyhow::{Context, bail};
use gateway::Door;

use ipnet::IpNet;

use crate::settings;
use crate::tls::{self, Tls, TlsDoor};

/// Who lets connections in, where there is TLS.
pub(crate) struct Doors {
    /// For people and programs.
    pub(crate) http: Arc<dyn Door>,
    /// For agents.
    pub(crate) grpc: Arc<dyn Door>,
}

impl Doors {
    /// The doors that the settings ask for; none without TLS. Agents in these networks may do without.
    ///
    /// # Errors
    /// Half of the settings is missing, or the files cannot be used.
    pub(crate) fn open(
        settings: &settings::Tls,
        networks: &[IpNet],
    ) -> anyhow::Result<Option<Self>> {
        let Some(files) = files(settings)? else {
            return Ok(None);
        };
        let door = |protocols, plain| {
            let tls = Tls::load(files.clone(), protocols).context("TLS")?;
            let door: Arc<dyn Door> = Arc::new(TlsDoor {
                tls: Arc::new(tls),
                plain,
            });
            anyhow::Ok(door)
        };
        Ok(Some(Self {
            http: door(&[b"h2", b"http/1.1"], Vec::new())?,
            grpc: door(&[b"h2"], networks.to_vec())?,
        }))
    }
}

/// The files that the settings name; none without TLS.
///
/// # Errors
/// Half of them is missing.
pub(crate) fn files(settings: &settings::Tls) -> anyhow::Result<Option<tls::Files>> {
    let (cert, key) = match (
        &settings.tls_cert,
        &settings.tls_key,
        &settings.tls_client_ca,
    ) {
        (Some(cert), Some(key), _) => (cert, key),
        (None, None, None) => return Ok(None),
        _ => {
            bail!("TLS needs both a certificate and its key: --tls-cert FILE and --tls-key FILE")
        }
    };
    Ok(Some(tls::Files {
        cert: cert.clone(),
        key: key.clone(),
        client_ca: settings.tls_client_ca.clone(),
    }))
}
