//! What the starter says by environment variables. Nothing else of the SDK reads the environment.

use std::{env, net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use proto::{address::Address, environment, tls::ClientConfig};

use super::secure::{self, Files};

/// The environment, read once.
pub(crate) struct Surroundings {
    pub(crate) listen: Address,
    pub(crate) advertise: Option<String>,
    pub(crate) engine: Option<Engine>,
    pub(crate) call_secret: Option<String>,
    /// What it serves TLS with, if it does.
    pub(crate) tls: Option<Files>,
}

/// The engine to register with.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) address: Address,
    /// What is spoken to an engine with TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    pub(crate) tenant: String,
    pub(crate) token: Option<String>,
    /// Whether it must be told that the plugin lives: it did not start it.
    pub(crate) beats: bool,
    /// How often it is told, whatever it asks for.
    pub(crate) beat_every: Option<Duration>,
}

/// The tenant of somebody who names an engine and nothing else.
const TENANT: &str = "default";

impl Surroundings {
    /// The environment, with the engine that the command line names, if it does.
    pub(crate) fn from_environment(engine: Option<&str>) -> Result<Self, String> {
        Self::read(engine, |name| env::var(name).ok())
    }

    fn read(
        engine: Option<&str>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let variable = |name: &'static str| variable(name).filter(|value| !value.is_empty());
        let call_secret = variable(environment::CALL_SECRET);
        let tls = files(&variable)?;
        // Only callers that prove who they are may come from elsewhere.
        let open = tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let at = if open { parsed } else { address };
        let listen = at(
            environment::PLUGIN_ADDR,
            variable(environment::PLUGIN_ADDR)
                .as_deref()
                .unwrap_or("127.0.0.1:0"),
        )?;
        let named = engine.map(|text| ("--engine", text.to_owned()));
        let set = || {
            Some((
                environment::ENGINE_ADDR,
                variable(environment::ENGINE_ADDR)?,
            ))
        };
        let engine = match named.or_else(set) {
            None => None,
            Some((name, text)) => Some(Engine {
                tls: trusted(name, &text, &variable, tls.as_ref())?,
                address: if call_secret.is_some() {
                    // Whoever started us is on this machine, at whichever of its addresses it listens.
                    parsed(name, &text)?
                } else {
                    address(name, &text)?
                },
                tenant: variable(environment::TENANT_ID)
                    .or_else(|| engine.map(|_| TENANT.to_owned()))
                    .ok_or_else(|| {
                        format!(
                            "{} is needed to register with the engine at {text}",
                            environment::TENANT_ID
                        )
                    })?,
                token: variable(environment::TOKEN),
                beats: call_secret.is_none(),
                beat_every: variable(environment::HEARTBEAT_INTERVAL)
                    .map(|text| seconds(&text))
                    .transpose()?,
            }),
        };
        Ok(Self {
            listen,
            advertise: variable(environment::ADVERTISE_ADDR),
            engine,
            call_secret,
            tls,
        })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        format!(
            "{}: {text} is no number of whole seconds above 0",
            environment::HEARTBEAT_INTERVAL
        )
    })
}

/// The plugin's own certificate, where it is to have one.
fn files(variable: &impl Fn(&'static str) -> Option<String>) -> Result<Option<Files>, String> {
    let path = |name| variable(name).map(PathBuf::from);
    let client_ca = path(environment::TLS_CLIENT_CA);
    match (path(environment::TLS_CERT), path(environment::TLS_KEY)) {
        (Some(cert), Some(key)) => Ok(Some(Files {
            cert,
            key,
            client_ca,
        })),
        (None, None) if client_ca.is_none() => Ok(None),
        _ => Err(format!(
            "a plugin that serves TLS needs both {} and {}",
            environment::TLS_CERT,
            environment::TLS_KEY
        )),
    }
}

/// What is spoken to an engine at `https://…`.
fn trusted(
    name: &str,
    text: &str,
    variable: &impl Fn(&'static str) -> Option<String>,
    own: Option<&Files>,
) -> Result<Option<Arc<ClientConfig>>, String> {
    if !matches!(parsed(name, text)?, Address::Tls { .. }) {
        return Ok(None);
    }
    let ca = variable(environment::TLS_CA).ok_or_else(|| {
        format!(
            "{name}: {text} needs {}: a file with who must have signed its certificate",
            environment::TLS_CA
        )
    })?;
    secure::to_engine(ca.as_ref(), own).map(Some)
}

/// Plain calls carry no encryption, so they stay on this machine.
fn address(name: &str, text: &str) -> Result<Address, String> {
    let address = parsed(name, text)?;
    match &address {
        Address::Tcp(text) if !is_loopback(text) => Err(format!(
            "{name}: {text} is not on this machine: use 127.0.0.1, [::1], localhost or a Unix socket, or TLS"
        )),
        Address::Tcp(_) | Address::Tls { .. } | Address::Unix(_) => Ok(address),
    }
}

fn parsed(name: &str, text: &str) -> Result<Address, String> {
    text.parse().map_err(|e| format!("{name}: {e}"))
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Surroundings, String> {
        Surroundings::read(None, |name| {
            pairs
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn without_any_variable_it_serves_on_a_free_loopback_port() {
        let surroundings = read(&[]).expect("nothing is needed");
        assert_eq!(surroundings.listen.to_string(), "127.0.0.1:0");
        assert!(surroundings.engine.is_none() && surroundings.call_secret.is_none());
    }

    #[test]
    fn registering_needs_a_tenant() {
        let refused = read(&[(environment::ENGINE_ADDR, "127.0.0.1:50051")])
            .err()
            .expect("no tenant");
        assert!(refused.contains(environment::TENANT_ID), "{refused}");
        let pairs = [
            (environment::ENGINE_ADDR, "127.0.0.1:50051"),
            (environment::TENANT_ID, "default"),
        ];
        assert!(read(&pairs).expect("complete").engine.is_some());
    }

    #[test]
    fn the_command_line_names_the_engine_and_the_tenant_is_the_default_one() {
        let set = |name: &str| match name {
            environment::ENGINE_ADDR => Some("127.0.0.1:1".to_owned()),
            environment::HEARTBEAT_INTERVAL => Some("7".to_owned()),
            _ => None,
        };
        let read = Surroundings::read(Some("127.0.0.1:2"), set).expect("complete");
        let engine = read.engine.expect("an engine");
        assert_eq!(engine.address.to_string(), "127.0.0.1:2");
        assert_eq!(engine.tenant, "default");
        assert!(engine.beats && engine.beat_every == Some(Duration::from_secs(7)));
        assert!(Surroundings::read(Some("10.0.0.1:2"), set).is_err());
        assert!(seconds("0").is_err() && seconds("1.5").is_err());
    }

    #[test]
    fn the_engine_that_started_it_may_listen_on_any_address_of_this_machine() {
        let mut pairs = vec![
            (environment::ENGINE_ADDR, "10.0.0.5:50051"),
            (environment::TENANT_ID, "default"),
        ];
        assert!(read(&pairs).is_err(), "nobody says that it is here");
        pairs.push((environment::CALL_SECRET, "secret"));
        let engine = read(&pairs).expect("it started us").engine;
        let engine = engine.expect("an engine");
        assert_eq!(engine.address.to_string(), "10.0.0.5:50051");
    }

    #[test]
    fn it_listens_on_this_machine_only() {
        for good in [
            "127.0.0.1:0",
            "127.8.9.1:1",
            "[::1]:0",
            "localhost:0",
            "unix:/tmp/a.sock",
        ] {
            assert!(read(&[(environment::PLUGIN_ADDR, good)]).is_ok(), "{good}");
        }
        for bad in [
            "0.0.0.0:0",
            "[::]:0",
            "10.0.0.1:80",
            "example.com:80",
            "nonsense",
        ] {
            assert!(read(&[(environment::PLUGIN_ADDR, bad)]).is_err(), "{bad}");
        }
    }
}
