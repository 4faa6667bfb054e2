//! A server under load: what is saved there first, what is driven, and what is counted in the end.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::api::{Api, ApiKey};
use crate::drive::{self, Budget, Server, Tally};
use crate::plan::Scenario;
use crate::workflows;

/// A server that knows the workflows of the load, and what it was asked for so far.
pub(crate) struct Load {
    server: Arc<Server>,
    ids: Vec<String>,
    before: u64,
}

impl Load {
    /// Logs in and saves the hook and the workflows, whose calls wait so many milliseconds in the agent.
    ///
    /// # Errors
    /// The server does not answer or refuses something.
    pub(crate) async fn prepare(
        server: &str,
        key: ApiKey,
        agent_ms: Option<u64>,
    ) -> anyhow::Result<Self> {
        let api = Api::login(server, key).await?;
        let hook = api.hook(workflows::HOOK, &workflows::hook()).await?;
        let mut before = 0;
        for workflow in workflows::ALL {
            let document = workflows::document(workflow, agent_ms);
            api.save(workflow.name, &document).await?;
            before += api.count(workflow.name).await?;
        }
        let approved = workflows::approved();
        api.save(workflows::APPROVED.name, &approved).await?;
        before += api.count(workflows::APPROVED.name).await?;
        // Another load may have left its alerts here: none of them may come again.
        let alerts = jiff::Timestamp::now().as_microsecond().unsigned_abs();
        Ok(Self {
            server: Arc::new(Server {
                api,
                hook,
                alerts: AtomicU64::new(alerts),
            }),
            ids: Vec::new(),
            before,
        })
    }

    /// Drives one scenario, after a warm-up.
    ///
    /// # Errors
    /// Something fails in the warm-up. Failures of what is measured are in the tally.
    pub(crate) async fn measure(
        &mut self,
        scenario: &Scenario,
        warm_up: Budget,
        budget: Budget,
    ) -> anyhow::Result<Tally> {
        let warm = drive::drive(&self.server, scenario, warm_up).await.warm()?;
        self.ids.extend(warm);
        let mut tally = drive::drive(&self.server, scenario, budget).await;
        self.ids.append(&mut tally.runs);
        Ok(tally)
    }

    /// What the server has counted under this name.
    ///
    /// # Errors
    /// The request fails.
    pub(crate) async fn counted(&self, name: &str) -> anyhow::Result<u64> {
        self.server.api.counted(name).await
    }

    /// What is wrong with the runs: of those that were asked for, each is one, and there are no others.
    ///
    /// # Errors
    /// A request fails.
    pub(crate) async fn miscounted(self) -> anyhow::Result<Option<String>> {
        let mut now = 0;
        for workflow in workflows::ALL.iter().chain([&workflows::APPROVED]) {
            now += self.server.api.count(workflow.name).await?;
        }
        Ok(miscounted(self.ids, now.saturating_sub(self.before)))
    }
}

fn miscounted(mut ids: Vec<String>, listed: u64) -> Option<String> {
    let asked = ids.len();
    ids.sort_unstable();
    ids.dedup();
    let one_each = ids.len() == asked && listed == u64::try_from(asked).unwrap_or(u64::MAX);
    (!one_each).then(|| {
        format!(
            "{asked} runs were asked for: {} ids were answered, and the server lists {listed}",
            ids.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::miscounted;

    #[test]
    fn a_run_that_is_missing_doubled_or_foreign_is_told() {
        let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect();
        assert_eq!(miscounted(ids(&["a", "b"]), 2), None);
        assert!(miscounted(ids(&["a", "b"]), 1).is_some(), "one was lost");
        assert!(miscounted(ids(&["a", "b"]), 3).is_some(), "one was doubled");
        assert!(
            miscounted(ids(&["a", "a"]), 2).is_some(),
            "one answered for two"
        );
    }
}
