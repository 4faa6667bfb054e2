//! Who asks the engine's service for plugins, and for whom the question is answered.

use std::net::IpAddr;
use std::sync::Arc;

use engine::id::{RunId, Tenant};
use proto::metadata::{AUTHORIZATION, PLUGIN_NAME};
use proto::v1::CacheEntry;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::call_back::Service;
use super::launches::{Call, Launch};
use super::tenant_id;

/// The longest key of the cache, in bytes.
const CACHE_KEY_MAX: usize = 1024;

/// What the values of one question weigh at most, in bytes: those of JSON that is kept as text take much more memory.
pub(super) const ASKED_WEIGHT_MAX: usize = 24 * 1024 * 1024;

/// Who asks.
pub(super) enum Asker {
    /// A process that we started.
    Ours(Arc<Launch>),
    /// A plugin that runs by itself, at this address. Nothing proves who it is.
    Stranger(IpAddr),
}

/// For whom a question may be answered: a process of ours, or the instances that a stranger may be.
pub(super) struct Party {
    pub(super) tenant: Tenant,
    pub(super) launches: Vec<Arc<Launch>>,
    /// Where its cache is.
    cache: String,
}

impl Service {
    pub(super) fn asker<T>(&self, request: &Request<T>) -> Result<Asker, Status> {
        let refused = || {
            Status::unauthenticated("the call does not carry the token of a plugin that runs here")
        };
        let metadata = request.metadata();
        if metadata.get(AUTHORIZATION).is_none() {
            let address = request.remote_addr().map(|address| address.ip());
            let remote = &self.0.config.remote;
            let allowed = address.filter(|ip| remote.reaches(*ip));
            return allowed.map(Asker::Stranger).ok_or_else(|| {
                Status::permission_denied(
                    "plugins without a token may call from this machine and from the networks that the engine's configuration names",
                )
            });
        }
        let token = text(metadata, AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let launch = self
            .0
            .launches
            .by_token(token.ok_or_else(refused)?.as_bytes())
            .ok_or_else(refused)?;
        if text(metadata, PLUGIN_NAME).is_some_and(|name| name != launch.name) {
            return Err(foreign("another plugin's name"));
        }
        Ok(Asker::Ours(launch))
    }

    /// For whom a question of a tenant's plugin is answered. A stranger is believed to be what it says, of those that
    /// registered.
    pub(super) fn party<T>(
        &self,
        request: &Request<T>,
        tenant: &str,
        name: Option<&str>,
    ) -> Result<Party, Status> {
        match self.asker(request)? {
            Asker::Ours(launch) => {
                if !tenant.is_empty() && tenant != launch.tenant.as_str() {
                    return Err(foreign("another tenant"));
                }
                Ok(Party {
                    tenant: launch.tenant.clone(),
                    cache: format!("cache/{}/{}", launch.tenant, launch.name),
                    launches: vec![launch],
                })
            }
            Asker::Stranger(_) => {
                let tenants = &self.0.site.tenants;
                let name = name.or_else(|| text(request.metadata(), PLUGIN_NAME));
                let found = tenant_id::find(tenants, tenant);
                let remotes = found
                    .map(|t| self.0.remotes.of(t, name))
                    .unwrap_or_default();
                let launches: Vec<_> = remotes.iter().map(|r| Arc::clone(r.launch())).collect();
                match (found, launches.is_empty()) {
                    (Some(tenant), false) => Ok(Party {
                        tenant: tenant.clone(),
                        // Not every stranger says its name; `-` is no plugin's.
                        cache: format!("cache/{tenant}/-"),
                        launches,
                    }),
                    _ => Err(unknown()),
                }
            }
        }
    }

    pub(super) async fn cached(&self, party: &Party, key: String) -> Result<CacheEntry, Status> {
        let value = self.0.ports.memory.get(&party.cache_key(&key)?).await;
        let value = value.map_err(|e| Status::unavailable(e.to_string()))?;
        Ok(CacheEntry {
            key,
            found: value.is_some(),
            value: value.unwrap_or_default().into(),
        })
    }
}

impl Party {
    /// An execution, which one of them must be running now.
    pub(super) fn running(&self, execution: &str) -> Result<RunId, Status> {
        let run = execution.parse::<RunId>().ok();
        run.filter(|run| self.launches.iter().any(|launch| launch.runs(*run)))
            .ok_or_else(|| Status::permission_denied("this plugin does not run that execution now"))
    }

    /// The calls that they work on: of this execution, or all where none is named.
    pub(super) fn calls_of(&self, execution: &str) -> Result<Vec<(Arc<Launch>, Call)>, Status> {
        let run = match execution {
            "" => None,
            execution => Some(self.running(execution)?),
        };
        let of = |launch: &Arc<Launch>| {
            let launch = Arc::clone(launch);
            let calls = launch.calls(run).into_iter();
            calls.map(move |call| (Arc::clone(&launch), call))
        };
        Ok(self.launches.iter().flat_map(of).collect())
    }

    /// Each plugin of each tenant that we know has a cache of its own.
    pub(super) fn cache_key(&self, key: &str) -> Result<String, Status> {
        if key.is_empty() || key.len() > CACHE_KEY_MAX {
            return Err(Status::invalid_argument(format!(
                "a cache key has 1 to {CACHE_KEY_MAX} bytes"
            )));
        }
        Ok(format!("{}/{key}", self.cache))
    }
}

pub(super) fn text<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name)?.to_str().ok()
}

pub(super) fn unknown() -> Status {
    Status::permission_denied("no such plugin of this tenant is registered: register first")
}

pub(super) fn foreign(what: &str) -> Status {
    Status::permission_denied(format!("the token was not given for {what}"))
}
