//! What the gateway asks of the other roles.

use std::sync::Arc;

use async_trait::async_trait;
use engine::id::Tenant;
use engine::registry::Health;
use gateway::{AgentHealth, Component, ComponentState, HealthFailure};
use worker::plugins::Plugins;

/// The agents of this process.
pub(crate) struct Agents(pub(crate) Arc<Plugins>);

#[async_trait]
impl AgentHealth for Agents {
    async fn check(&self, tenant: &Tenant, agent: &str) -> Result<Health, HealthFailure> {
        let health = self.0.health(tenant, agent).await;
        health.ok_or_else(|| {
            HealthFailure::Unreachable(format!("this process has no agent called {agent}"))
        })
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
