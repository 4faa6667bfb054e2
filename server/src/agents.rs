//! The agents of this process: where they are, and what they are given.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};
use engine::id::Tenant;
use engine::pool::Pool;
use store::Backend;
use store::seal::{RootKey, Seal};
use worker::plugins::{Plugins, Site};
use worker::{PluginsConfig, RemoteConfig};

use crate::descriptors::Connections;
use crate::settings::{Agents, Tls};

/// The process whose agents these are.
pub(crate) struct Here<'a> {
    /// The name of its worker.
    pub(crate) worker: &'a str,
    /// Its pool.
    pub(crate) pool: Pool,
    /// Whether there is no other worker.
    pub(crate) alone: bool,
    /// The folder of its data.
    pub(crate) dir: &'a Path,
    /// Where agents call back.
    pub(crate) grpc: SocketAddr,
    pub(crate) connections: Connections,
}

/// Finds them, and starts none.
pub(crate) async fn open(
    (agents, tls): (&Agents, &Tls),
    here: &Here<'_>,
    (backend, key): (&Backend, &RootKey),
) -> anyhow::Result<Plugins> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_path_buf));
    let folders = match &agents.plugins {
        Some(folder) if !folder.is_dir() => {
            bail!("--plugins {}: there is no such folder", folder.display())
        }
        Some(folder) => vec![folder.clone()],
        None => beside
            .iter()
            .map(|b| b.join("plugins"))
            .filter(|p| p.is_dir())
            .collect(),
    };
    let site = Site {
        worker: here.worker.to_owned(),
        pool: here.pool.clone(),
        tenants: vec![Tenant::default()],
        folders,
        beside: beside.filter(|_| agents.plugins.is_none()),
        data: here.dir.join("plugins"),
        engine: here.grpc.to_string(),
        environment: environment(std::env::vars_os()),
        alone: here.alone,
    };
    let remote = RemoteConfig {
        networks: agents.agent_networks.clone(),
        trusted: agents.trust_agents.clone(),
        ca: tls.tls_agent_ca.clone(),
        own: tls.tls_cert.clone().zip(tls.tls_key.clone()),
        ..RemoteConfig::default()
    };
    let defaults = PluginsConfig::default();
    let config = PluginsConfig {
        remote,
        connections: seats(here.connections),
        ..defaults
    };
    Plugins::open(config, site, backend.clone(), Seal::new(key))
        .await
        .context("plugins")
}

/// How many connections their port has.
pub(crate) fn seats(connections: Connections) -> usize {
    PluginsConfig::default().connections.min(connections.grpc)
}

/// The variables that are text; agents are given no other.
fn environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, String)> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    variables.filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_variable_that_is_no_text_stops_nothing() {
        let no_text = || OsString::from_vec(vec![0xff]);
        let set = [
            (no_text(), "x".into()),
            ("NAME".into(), no_text()),
            ("PATH".into(), "/bin".into()),
        ];
        let kept = environment(set.into_iter());
        assert_eq!(kept, [("PATH".to_owned(), "/bin".to_owned())]);
    }
}
