//! An agent of elsewhere, beside one that is installed.

use super::ground::Ground;
use crate::process::Process;
use crate::program;
use crate::wait::until;
use anyhow::Result;
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// A folder in which `demo` is installed, and `metrics` is not.
pub(super) struct Neighbours(TempDir);

impl Neighbours {
    pub(super) fn find() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let demo = folder.path().join("plugins/demo");
        fs::create_dir_all(&demo)?;
        symlink(program::built("mirastack-agent-demo")?, demo.join("demo"))?;
        Ok(Self(folder))
    }

    pub(super) fn installed(&self) -> String {
        self.0.path().join("plugins").display().to_string()
    }

    /// Starts `metrics` by itself, and waits until the server knows it.
    pub(super) async fn register(&self, ground: &Ground) -> Result<Process> {
        let agent = program::built("mirastack-agent-metrics")?;
        let mut command = program::alone(&agent, self.0.path());
        command.arg("--engine").arg(ground.grpc.to_string());
        let agent = Process::spawn("metrics", command, self.0.path())?;
        until("the agent to have registered", async || {
            ground.api.get("/api/v1/agents/metrics").await?.ok()
        })
        .await?;
        Ok(agent)
    }
}
