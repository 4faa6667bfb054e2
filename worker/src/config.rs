use std::net::IpAddr;
use std::path::PathBuf;

use engine::duration::Duration;
use engine::id::Shard;
use engine::pool::Pool;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// What can be set about a worker. The defaults suit one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The pool of which it takes jobs.
    pub pool: Pool,
    /// Calls at the same time.
    pub slots: usize,
    /// Jobs in hand, those included whose report no owner has confirmed yet. With so many, no more are taken.
    pub held_max: usize,
    /// How long a call waits for its plugin to come up; a longer wait of a plugin that crashes again and again is a
    /// failure.
    pub ready: Duration,
    /// How long a checkpoint is kept.
    pub checkpoints: Duration,
    /// How long READ calls may still go on once the worker is asked to stop; then they are cut and handed back. MODIFY
    /// and ADMIN calls are waited for up to their own deadline.
    pub drain: Duration,
    /// Plugins.
    pub plugins: Plugins,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            pool: Pool::default(),
            slots: 100,
            held_max: 1_000,
            ready: Duration::from_secs(15),
            checkpoints: Duration::from_secs(86_400),
            drain: Duration::from_secs(8),
            plugins: Plugins::default(),
        }
    }
}

/// What can be set about co-located plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plugins {
    /// A plugin that was not called for so long is stopped.
    pub idle: Duration,
    /// How long a plugin may take from its start to the end of its registration.
    pub start: Duration,
    /// How long a plugin may take to end when it is asked to; then it is killed.
    pub stop: Duration,
    /// How long `--manifest` may take.
    pub manifest: Duration,
    /// A running plugin is asked for its health so often.
    pub health: Duration,
    /// One that has given no sign of life for so long, while it is asked for its health, is started again: once no call
    /// of it runs.
    pub deaf: Duration,
    /// Connections to the engine's port for plugins at once. One that comes when all are taken is closed. A quarter of
    /// them is for those who have not begun to speak.
    pub connections: usize,
    /// Plugins that run by themselves and register.
    pub remote: Remote,
}

/// What can be set about plugins that this worker did not start. None of them authenticates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Remote {
    /// Where they may be besides this machine, such as `10.1.0.0/16`. On the way there only what goes to `https://…` is
    /// encrypted.
    pub networks: Vec<IpNet>,
    /// Who must have signed the certificates of those at `https://…`, in PEM; without it those are not called.
    pub ca: Option<PathBuf>,
    /// The engine's own certificate, and its key, which it shows to them where they ask for it.
    pub own: Option<(PathBuf, PathBuf)>,
    /// Those whose MODIFY and ADMIN actions are offered, and which get secret settings.
    pub trusted: Vec<String>,
    /// One that was not heard of for so long is gone. They are asked to say something nine times in it.
    pub lease: Duration,
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            ca: None,
            own: None,
            trusted: Vec::new(),
            lease: Duration::from_secs(90),
        }
    }
}

impl Remote {
    /// Whether a plugin may be there.
    pub(crate) fn reaches(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        ip.is_loopback() || self.networks.iter().any(|network| network.contains(&ip))
    }

    /// Whether the configuration names it.
    pub(crate) fn trusts(&self, name: &str) -> bool {
        self.trusted.iter().any(|trusted| trusted == name)
    }
}

impl Default for Plugins {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            start: Duration::from_secs(10),
            stop: Duration::from_secs(5),
            manifest: Duration::from_secs(10),
            health: Duration::from_secs(30),
            deaf: Duration::from_secs(20),
            connections: 2_000,
            remote: Remote::default(),
        }
    }
}

/// What a worker is told by who starts it, and no file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name: owners and people see it. No two workers that live at the same time may share one.
    pub name: String,
    /// All shards of the installation: to the owner of each it says what it has in hand, and how many slots are free.
    pub shards: Vec<Shard>,
}

/// One of the lengths of time above, for a timer.
pub(crate) fn time(duration: Duration) -> std::time::Duration {
    std::time::Duration::from_millis(duration.millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_may_be_here_and_in_the_networks_that_are_named() {
        let remote = Remote {
            networks: vec!["10.1.0.0/16".parse().expect("a network")],
            ..Remote::default()
        };
        for (ip, may) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.1.200.3", true),
            ("::ffff:10.1.200.3", true),
            ("10.2.0.1", false),
            ("0.0.0.0", false),
            ("fe80::1", false),
        ] {
            assert_eq!(remote.reaches(ip.parse().expect("an address")), may, "{ip}");
        }
    }

    #[test]
    fn the_defaults_stay_as_they_are_documented() {
        let printed = serde_json::to_value(Config::default()).expect("plain values");
        let expected = serde_json::json!({
            "pool": "default", "slots": 100, "held_max": 1_000, "ready": "15s", "checkpoints": "1d", "drain": "8s",
            "plugins": { "idle": "1m", "start": "10s", "stop": "5s", "manifest": "10s", "health": "30s", "deaf": "20s",
                "connections": 2_000,
                "remote": { "networks": [], "ca": null, "own": null, "trusted": [], "lease": "1m30s" } },
        });
        assert_eq!(printed, expected);
        assert!(serde_json::from_str::<Config>(r#"{"slot": 1}"#).is_err());
    }
}
