//! What is measured. The names are the interface: dashboards and autoscalers read them.

use engine::command::Outcome;
use metrics::{counter, gauge, histogram};
use tokio::time::Instant;

/// Calls that are being made.
pub(crate) const BUSY_SLOTS: &str = "mirastack_worker_busy_slots";
/// How long a job took, from its taking to its outcome, by `action` and `outcome`.
pub(crate) const JOB_SECONDS: &str = "mirastack_worker_job_seconds";
/// Starts of plugins after the first, by `agent`.
pub(crate) const PLUGIN_RESTARTS: &str = "mirastack_plugin_restarts_total";
/// Running plugins.
pub(crate) const PLUGINS_RUNNING: &str = "mirastack_plugins_running";

/// A job that is being done.
pub(crate) struct Job {
    action: String,
    began: Instant,
}

impl Job {
    pub(crate) fn begin(job: &engine::job::Job) -> Self {
        gauge!(BUSY_SLOTS).increment(1.0);
        Self {
            action: job.action.name.to_string(),
            began: Instant::now(),
        }
    }

    pub(crate) fn end(mut self, outcome: Option<&Outcome>) {
        let action = std::mem::take(&mut self.action);
        histogram!(JOB_SECONDS, "action" => action, "outcome" => name(outcome))
            .record(self.began.elapsed().as_secs_f64());
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        gauge!(BUSY_SLOTS).decrement(1.0);
    }
}

/// A plugin's process that can be called.
pub(crate) struct Running(());

impl Running {
    pub(crate) fn begin() -> Self {
        gauge!(PLUGINS_RUNNING).increment(1.0);
        Self(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        gauge!(PLUGINS_RUNNING).decrement(1.0);
    }
}

/// A plugin was started again.
pub(crate) fn restarted(agent: &str) {
    counter!(PLUGIN_RESTARTS, "agent" => agent.to_owned()).increment(1);
}

fn name(outcome: Option<&Outcome>) -> &'static str {
    match outcome {
        None => "unwanted",
        Some(Outcome::Succeeded { .. }) => "succeeded",
        Some(Outcome::Failed { .. }) => "failed",
        Some(Outcome::TimedOut { .. }) => "timed_out",
        Some(Outcome::NotCalled { .. }) => "not_called",
        Some(Outcome::Unknown { .. }) => "unknown",
        Some(
            Outcome::LookedUpDone { .. }
            | Outcome::LookedUpNotDone
            | Outcome::LookedUpUnknown { .. },
        ) => "looked_up",
    }
}
