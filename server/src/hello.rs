//! The workflow `hello`: something to run on the first day.

use engine::id::Tenant;
use store::Backend;

const TEXT: &str = include_str!("hello.yaml");

/// Saves `hello` when there is no workflow yet. Without the agent `demo` it cannot be checked, and is left out.
pub(crate) async fn load(backend: &Backend) -> anyhow::Result<()> {
    match gateway::bootstrap::workflow(backend, &Tenant::default(), TEXT).await {
        Ok(()) => Ok(()),
        Err(gateway::bootstrap::Unsaved::Store(error)) => Err(error.into()),
        Err(gateway::bootstrap::Unsaved::Invalid(problem)) => {
            tracing::warn!(problem, "the workflow hello is left out");
            Ok(())
        }
    }
}
