//! The settings of agents: read, opened, followed.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::id::Tenant;
use engine::registry::{self, AgentConfig, Kind, SettingValue};
use serde_json::Value;
use store::port::Change;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::launches::Launch;
use super::{Common, Plugins};

/// The wait after the registry could not be followed.
const AGAIN: Duration = Duration::from_secs(1);
/// More agents than that have no settings.
const AGENTS_MAX: usize = 10_000;

/// An agent's settings, as the agent gets them: texts; what is not set is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) revision: u64,
    pub(super) values: BTreeMap<String, String>,
}

/// The settings that are in force for the process's agent. Secret ones are hidden from then on in what it writes.
pub(super) async fn in_force(common: &Common, launch: &Launch) -> Result<Settings, String> {
    let config = stored(common, &launch.tenant, &launch.name).await?;
    let mut values = BTreeMap::new();
    for (key, value) in config.values {
        let value = match value {
            SettingValue::Plain(value) => value,
            SettingValue::Sealed(_) if !launch.trusted => {
                warn!(
                    agent = launch.name,
                    setting = key,
                    "a secret setting is not given to a plugin that does not authenticate and that the configuration does not name"
                );
                continue;
            }
            SettingValue::Sealed(sealed) => {
                let value = open(common, launch, &key, &sealed)?;
                launch.hide(&key, &text(&value).unwrap_or_default());
                value
            }
        };
        values.extend(text(&value).map(|text| (key, text)));
    }
    Ok(Settings {
        revision: config.revision,
        values,
    })
}

async fn stored(common: &Common, tenant: &Tenant, name: &str) -> Result<AgentConfig, String> {
    let key = Kind::AgentConfig.key(tenant, name);
    match common.ports.registry.get(&key).await {
        Ok(Some(item)) => {
            registry::decode(&item.value).map_err(|e| format!("its settings cannot be read: {e}"))
        }
        Ok(None) => Ok(AgentConfig::default()),
        Err(e) => Err(format!("its settings cannot be read: {e}")),
    }
}

fn open(common: &Common, launch: &Launch, key: &str, sealed: &str) -> Result<Value, String> {
    let bound = registry::setting_seal(&launch.tenant, &launch.name, key);
    let plain = common
        .seal
        .open(&bound, sealed)
        .map_err(|e| format!("its setting {key}: {e}"))?;
    serde_json::from_slice(&plain).map_err(|_| format!("its setting {key} is sealed, but no JSON"))
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(value.to_string())
        }
    }
}

/// Tells each running plugin when its settings change. Never ends.
pub(super) async fn follow(plugins: &Plugins) {
    let registry = &plugins.common.ports.registry;
    let prefix = Kind::AgentConfig.prefix();
    let mut revision = loop {
        match registry.list(&prefix, "", AGENTS_MAX).await {
            Ok(items) => break items.iter().map(|item| item.revision).max().unwrap_or(0),
            Err(error) => debug!(%error, "the registry does not answer"),
        }
        sleep(AGAIN).await;
    };
    loop {
        let changes = match registry.watch(&prefix, revision).await {
            Ok(changes) => changes,
            Err(error) => {
                debug!(%error, "the registry cannot be followed");
                sleep(AGAIN).await;
                continue;
            }
        };
        for change in changes {
            let (changed, at) = match change {
                Change::Put(item) => (Some(item.key), item.revision),
                Change::Deleted { key, revision } => (Some(key), revision),
                Change::Gap { revision } => (None, revision),
            };
            revision = revision.max(at);
            let concerns = |tenant: &Tenant, name: &str| {
                let key = Kind::AgentConfig.key(tenant, name);
                changed.as_ref().is_none_or(|changed| *changed == key)
            };
            for plugin in plugins.plugins.values() {
                if concerns(&plugin.tenant, &plugin.name) {
                    plugin.settings_changed();
                }
            }
            for remote in plugins.common.remotes.all() {
                if concerns(&remote.instance.launch.tenant, &remote.instance.launch.name) {
                    remote.instance.settings_changed.notify_one();
                }
            }
        }
    }
}
