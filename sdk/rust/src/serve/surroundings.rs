//! What the starter says by environment variables. Nothing else of the SDK reads the environment.

use std::{env, net::IpAddr};

use proto::{address::Address, environment};

/// The environment, read once.
pub(crate) struct Surroundings {
    pub(crate) listen: Address,
    pub(crate) advertise: Option<String>,
    pub(crate) engine: Option<Engine>,
    pub(crate) call_secret: Option<String>,
}

/// The engine to register with.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) address: Address,
    pub(crate) tenant: String,
    pub(crate) token: Option<String>,
}

impl Surroundings {
    pub(crate) fn from_environment() -> Result<Self, String> {
        Self::read(|name| env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let listen = address(
            environment::PLUGIN_ADDR,
            variable(environment::PLUGIN_ADDR)
                .as_deref()
                .unwrap_or("127.0.0.1:0"),
        )?;
        let engine = match variable(environment::ENGINE_ADDR) {
            None => None,
            Some(text) => Some(Engine {
                address: address(environment::ENGINE_ADDR, &text)?,
                tenant: variable(environment::TENANT_ID).ok_or_else(|| {
                    format!(
                        "{} is needed to register with the engine at {text}",
                        environment::TENANT_ID
                    )
                })?,
                token: variable(environment::TOKEN),
            }),
        };
        Ok(Self {
            listen,
            advertise: variable(environment::ADVERTISE_ADDR),
            engine,
            call_secret: variable(environment::CALL_SECRET),
        })
    }
}

/// Calls carry no encryption of their own, so this version listens and calls on this machine only.
fn address(name: &str, text: &str) -> Result<Address, String> {
    let address: Address = text.parse().map_err(|e| format!("{name}: {e}"))?;
    match &address {
        Address::Tcp(text) if !is_loopback(text) => Err(format!(
            "{name}: {text} is not on this machine: use 127.0.0.1, [::1], localhost or a Unix socket"
        )),
        Address::Tcp(_) | Address::Unix(_) => Ok(address),
    }
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
        Surroundings::read(|name| {
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
