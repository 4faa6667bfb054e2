//! From a program to a process that can be called.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::digest::Digest;
use engine::manifest::Manifest;
use engine::registry::{self, Agent};
use proto::address::Address;
use proto::client::{CallOptions, PluginClient};
use proto::environment;
use tokio::fs;
use tokio::time::timeout;

use super::Common;
use super::instance::Instance;
use super::launches::Launch;
use super::manifest;
use super::plugin::Plugin;
use super::process::{self, Process};
use crate::config;

/// How long the plugin may take to say who it is.
const INFO_MAX: Duration = Duration::from_secs(5);

/// A process that can be called.
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) instance: Arc<Instance>,
    pub(super) admitted: Admitted,
}

/// Lets the process call us, until this is dropped.
pub(super) struct Admitted {
    common: Arc<Common>,
    launch: Arc<Launch>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.common.launches.remove(&self.launch);
    }
}

/// Starts the plugin's program, waits until it serves and has registered, and holds it to its manifest.
pub(super) async fn launch(common: &Arc<Common>, plugin: &Plugin) -> Result<Started, String> {
    let launch = Launch::new(plugin.tenant.clone(), plugin.name.clone());
    common.launches.add(&launch);
    let admitted = Admitted {
        common: Arc::clone(common),
        launch: Arc::clone(&launch),
    };
    let patience = config::time(common.config.start);
    let mut process = start(common, plugin, &launch).await?;
    let ready = async {
        let port = process.port(&launch).await?;
        let (client, address) = connect(&launch, port).await?;
        let manifest = said(&client).await?;
        launch.registered().await;
        Ok::<_, String>((client, address, manifest))
    };
    let (client, address, manifest) = match timeout(patience, ready).await {
        Ok(ready) => ready?,
        Err(_) => {
            return Err(format!(
                "it did not serve and register within {}",
                common.config.start
            ));
        }
    };
    hold_to_manifest(common, plugin, &manifest).await?;
    let instance = Instance::new(
        launch,
        client,
        offered(&manifest),
        manifest.version,
        address,
    );
    instance.push(common).await?;
    Ok(Started {
        process,
        instance: Arc::new(instance),
        admitted,
    })
}

async fn start(common: &Common, plugin: &Plugin, launch: &Arc<Launch>) -> Result<Process, String> {
    let data = folder(common, plugin).await?;
    let environment = &common.site.environment;
    let mut command = plugin.program.command(process::wrapper(environment), None);
    process::surroundings(&mut command, environment);
    command
        .env(environment::ENGINE_ADDR, reachable(&common.site.engine))
        .env(environment::PLUGIN_ADDR, "127.0.0.1:0")
        .env(environment::TENANT_ID, launch.tenant.as_str())
        .env(environment::TOKEN, launch.token.as_str())
        .env(environment::CALL_SECRET, launch.call_secret.as_str())
        .env(environment::DATA_DIR, data);
    let started = Process::start(&common.starter, command, launch).await;
    started.map_err(|e| format!("it cannot be started: {e}"))
}

/// An address of this machine for a service that listens on all of its addresses.
fn reachable(address: &str) -> String {
    match address.parse::<SocketAddr>() {
        Ok(SocketAddr::V4(v4)) if v4.ip().is_unspecified() => format!("127.0.0.1:{}", v4.port()),
        Ok(SocketAddr::V6(v6)) if v6.ip().is_unspecified() => format!("[::1]:{}", v6.port()),
        Ok(SocketAddr::V4(_) | SocketAddr::V6(_)) | Err(_) => address.to_owned(),
    }
}

/// The plugin's own folder, which nobody else may look into.
async fn folder(common: &Common, plugin: &Plugin) -> Result<PathBuf, String> {
    let path = common
        .site
        .data
        .join(plugin.tenant.as_str())
        .join(&plugin.name);
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .await;
    made.map_err(|e| format!("its folder {} cannot be made: {e}", path.display()))?;
    Ok(path)
}

async fn connect(launch: &Launch, port: u16) -> Result<(PluginClient, String), String> {
    let address = format!("127.0.0.1:{port}");
    let client =
        PluginClient::connect(&Address::Tcp(address.clone()), Some(&launch.call_secret)).await;
    client
        .map(|client| (client, address))
        .map_err(|e| e.to_string())
}

async fn said(client: &PluginClient) -> Result<Manifest, String> {
    let info = client.info(&CallOptions::within(INFO_MAX)).await;
    manifest::of_info(info.map_err(|e| format!("it does not say who it is: {e}"))?)
}

/// The process must offer what its program prints as its manifest. Where it offers something else, the program was
/// replaced while we ran: its manifest is read again.
async fn hold_to_manifest(common: &Common, plugin: &Plugin, said: &Manifest) -> Result<(), String> {
    if agrees(&plugin.agent(), said) {
        return Ok(());
    }
    let agent = manifest::read_again(common, &plugin.tenant, &plugin.program).await?;
    if !agrees(&agent, said) {
        return Err("it offers other actions than its manifest says (`--manifest`)".to_owned());
    }
    plugin.replaced(agent);
    Ok(())
}

fn agrees(agent: &Agent, said: &Manifest) -> bool {
    agent.manifest.name == said.name && offered(&agent.manifest) == offered(said)
}

pub(super) fn offered(manifest: &Manifest) -> BTreeMap<String, Digest> {
    let digest = |a| registry::action_digest(&manifest.name, a);
    manifest
        .actions
        .iter()
        .map(|a| (a.id.clone(), digest(a)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_on_all_addresses_is_reached_on_loopback() {
        assert_eq!(reachable("0.0.0.0:50051"), "127.0.0.1:50051");
        assert_eq!(reachable("[::]:1"), "[::1]:1");
        assert_eq!(reachable("127.0.0.1:7"), "127.0.0.1:7");
        assert_eq!(reachable("localhost:7"), "localhost:7");
    }
}
