//! What the server puts into a gateway: it must not know the roles behind these.

use async_trait::async_trait;
use engine::id::Tenant;
use engine::registry::Health;

/// Asks an agent how it is.
#[async_trait]
pub trait AgentHealth: Send + Sync {
    /// Starts the agent if need be, and asks it.
    ///
    /// # Errors
    /// [`HealthFailure`] when it cannot be asked.
    async fn check(&self, tenant: &Tenant, agent: &str) -> Result<Health, HealthFailure>;
}

/// Why an agent could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HealthFailure {
    /// No worker here can reach it.
    #[error("no worker can reach this agent: {0}")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("it did not answer in time")]
    Timeout,
}

/// A part of the program that can be well or not.
#[async_trait]
pub trait Component: Send + Sync {
    /// Its name, such as `scheduler`.
    fn name(&self) -> &str;

    /// How it is. Must answer at once.
    async fn state(&self) -> ComponentState;
}

/// How a component is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentState {
    /// Whether it works.
    pub ok: bool,
    /// In words; empty when there is nothing to say.
    pub detail: String,
}
