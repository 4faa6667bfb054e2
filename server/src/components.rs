//! What the gateway asks of the other roles.

use std::sync::Arc;

use async_trait::async_trait;
use engine::id::Tenant;
use engine::principal::Permission;
use engine::registry::{self, Agent, Health, Kind};
use gateway::{AgentHealth, Component, ComponentState, HealthFailure};
use store::Backend;
use store::embedded::Room;
use store::port::Expect;
use worker::plugins::Plugins;

/// The agents of this process.
pub(crate) struct Agents(pub(crate) Arc<Plugins>);

#[async_trait]
impl AgentHealth for Agents {
    async fn check(&self, tenant: &Tenant, agent: &str) -> Result<Health, HealthFailure> {
        let health = self.0.health(tenant, agent).await;
        health.map_err(HealthFailure::Unreachable)
    }
}

/// A role that is well as long as the process lives: it ends the process when it is not.
pub(crate) struct Role(pub(crate) &'static str);

#[async_trait]
impl Component for Role {
    fn name(&self) -> &str {
        self.0
    }

    async fn state(&self) -> ComponentState {
        ComponentState {
            ok: true,
            detail: String::new(),
        }
    }
}

/// Those of one process.
pub(crate) fn roles() -> impl Iterator<Item = Arc<dyn Component>> {
    ["scheduler", "worker"]
        .into_iter()
        .map(|name| Arc::new(Role(name)) as Arc<dyn Component>)
}

/// The key in the registry that says: an agent that nobody here started could change systems once.
const OUTLIVES: &str = "agents-outlive";

/// Whether there may be a call of an agent that nobody here started, although we have just started: agents are trusted
/// now, or were. That they were is kept, for an agent that comes again without trust is listed without what it could do.
/// It is never forgotten: all that it costs is that a call without an answer is waited for until its time is over.
pub(crate) async fn agents_outlive(backend: &Backend, are_trusted: bool) -> anyhow::Result<bool> {
    let registry = &backend.registry;
    if registry.get(OUTLIVES).await?.is_some() {
        return Ok(true);
    }
    let outlive = are_trusted || were_trusted(backend).await?;
    if outlive {
        registry.put(OUTLIVES, b"true", Expect::Absent).await?;
    }
    Ok(outlive)
}

/// More agents than that are not looked through.
const AGENTS_MAX: usize = 10_000;

/// Whether an agent that nobody here started could change systems before this start: its last call may still be at it,
/// although nobody trusts it any more. One that cannot be read may be such an agent.
async fn were_trusted(backend: &Backend) -> anyhow::Result<bool> {
    let prefix = Kind::Agents.of(&Tenant::default());
    let listed = backend.registry.list(&prefix, "", AGENTS_MAX).await?;
    let changed = |item: &store::port::Item| {
        registry::decode::<Agent>(&item.value).map_or(true, |agent| {
            let mut actions = agent.manifest.actions.iter();
            agent.unauthenticated && actions.any(|action| action.permission > Permission::Read)
        })
    };
    Ok(listed.iter().any(changed))
}

/// How many agents were found at the start that cannot be used. No names: whoever reaches the server sees this.
pub(crate) struct LeftOut(pub(crate) usize);

#[async_trait]
impl Component for LeftOut {
    fn name(&self) -> &str {
        "agents"
    }

    async fn state(&self) -> ComponentState {
        let detail = match self.0 {
            0 => String::new(),
            n => format!(
                "{n} that were found at the start are left out: the log of the start says which, and why"
            ),
        };
        ComponentState { ok: true, detail }
    }
}

/// The disk under the data: well as long as it has room.
pub(crate) struct Disk(pub(crate) Room);

#[async_trait]
impl Component for Disk {
    fn name(&self) -> &str {
        "disk"
    }

    async fn state(&self) -> ComponentState {
        let ok = self.0.is_there().await;
        let full = "it is full: nothing is accepted, and runs stand still, until there is room";
        let detail = if ok { String::new() } else { full.to_owned() };
        ComponentState { ok, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::manifest::{Action, Manifest};
    use engine::pool::Pool;
    use serde_json::json;
    use store::embedded::{Embedded, Options, Place};

    fn agent(permission: Permission, unauthenticated: bool) -> Agent {
        let action = Action {
            id: "act".to_owned(),
            description: String::new(),
            permission,
            input: json!({}),
            output: None,
            idempotent: false,
            lookup: false,
            settle_ms: None,
            timeout_ms: None,
        };
        Agent {
            manifest: Manifest {
                name: "gopher".to_owned(),
                version: "1".to_owned(),
                description: String::new(),
                actions: vec![action],
                settings: Vec::new(),
            },
            form: "json".to_owned(),
            pool: Pool::default(),
            executable: None,
            read_at: engine::time::Timestamp::from_millis(1),
            unauthenticated,
            metadata_unavailable: None,
        }
    }

    #[tokio::test]
    async fn an_agent_that_was_trusted_before_this_start_may_still_be_at_it() {
        for (permission, unauthenticated, may) in [
            (Permission::Modify, true, true),
            (Permission::Read, true, false),
            // It was started by the engine, and died with it.
            (Permission::Admin, false, false),
        ] {
            let (backend, _handle) =
                Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
            let key = Kind::Agents.key(&Tenant::default(), "gopher");
            let value = registry::encode(&agent(permission, unauthenticated));
            let put = backend.registry.put(&key, &value, Expect::Absent).await;
            put.expect("an open store");
            let found = agents_outlive(&backend, false).await;
            let found = found.expect("an open store");
            assert_eq!(found, may, "{permission} {unauthenticated}");
        }
    }

    #[tokio::test]
    async fn that_an_agent_was_trusted_is_not_forgotten_when_it_comes_without_trust() {
        let (backend, _handle) =
            Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
        let outlive = async |trusted| agents_outlive(&backend, trusted).await.expect("it is open");
        assert!(!outlive(false).await);
        assert!(outlive(true).await);
        let key = Kind::Agents.key(&Tenant::default(), "gopher");
        let value = registry::encode(&agent(Permission::Read, true));
        let put = backend.registry.put(&key, &value, Expect::Absent).await;
        put.expect("an open store");
        assert!(outlive(false).await, "it was trusted before");
    }

    #[tokio::test]
    async fn an_agent_that_cannot_be_read_may_have_been_trusted() {
        let (backend, _handle) =
            Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
        let key = Kind::Agents.key(&Tenant::default(), "gopher");
        let put = backend.registry.put(&key, b"{", Expect::Absent).await;
        put.expect("an open store");
        let outlive = agents_outlive(&backend, false).await;
        assert!(outlive.expect("an open store"));
    }
}
