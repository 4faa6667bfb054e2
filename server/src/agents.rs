//! The agents of this process: where they are, and what they are given.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};
use engine::id::Tenant;
use store::Backend;
use store::seal::{RootKey, Seal};
use worker::plugins::{Plugins, Site};
use worker::{PluginsConfig, RemoteConfig};

use crate::args::Dev;
use crate::descriptors::Connections;

/// Finds them, and starts none.
pub(crate) async fn open(
    dev: &Dev,
    dir: &Path,
    (grpc, connections): (SocketAddr, Connections),
    (backend, key): (&Backend, &RootKey),
) -> anyhow::Result<Plugins> {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_path_buf));
    let folders = match &dev.plugins {
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
        worker: "dev".to_owned(),
        tenants: vec![Tenant::default()],
        folders,
        beside: beside.filter(|_| dev.plugins.is_none()),
        data: dir.join("plugins"),
        engine: grpc.to_string(),
        environment: environment(std::env::vars_os()),
        alone: true,
    };
    let remote = RemoteConfig {
        networks: dev.agent_networks.clone(),
        trusted: dev.trust_agents.clone(),
        ca: dev.tls_agent_ca.clone(),
        own: dev.tls_cert.clone().zip(dev.tls_key.clone()),
        ..RemoteConfig::default()
    };
    let defaults = PluginsConfig::default();
    let config = PluginsConfig {
        remote,
        connections: seats(connections),
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
