//! A `mirastack dev` of our own: on free ports, in a folder and with a home that are gone afterwards.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::api::ApiKey;

/// How long a start may take: agents are started and introduce themselves.
const START: Duration = Duration::from_secs(60);
/// How long an end in good order may take before the process is killed.
const STOP: Duration = Duration::from_secs(30);
/// How many lines of the server's log are shown when it does not start.
const LOG_LINES: usize = 20;

/// The running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Dev {
    folder: TempDir,
    child: Child,
    pid: u32,
    /// Held open, so that a late line of the server does not break it.
    _stdout: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Bootstrap {
    http: String,
    #[serde(flatten)]
    key: ApiKey,
}

impl Dev {
    /// Starts the program and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started or does not become ready; with the end of its log.
    pub(crate) async fn start(program: &Path, within: Option<&Path>) -> anyhow::Result<Self> {
        let folder = match within {
            Some(dir) => TempDir::with_prefix_in("loadtest-", dir),
            None => TempDir::with_prefix("loadtest-"),
        };
        let folder = folder.context("no temporary folder: name another with --folder")?;
        let mut child = spawn(program, folder.path())?;
        let pid = child.id().context("the server has ended at once")?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = timeout(START, stdout.read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(_))) || !line.starts_with("ready ") {
            bail!(
                "{} did not become ready within {START:?}:\n{}",
                program.display(),
                log_end(folder.path())
            );
        }
        Ok(Self {
            folder,
            child,
            pid,
            _stdout: stdout,
        })
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Its address and the key of its admin.
    ///
    /// # Errors
    /// `bootstrap.json` is not there or cannot be read.
    pub(crate) fn bootstrap(&self) -> anyhow::Result<(String, ApiKey)> {
        let path = self.folder.path().join("data/bootstrap.json");
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let read: Bootstrap =
            serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?;
        Ok((read.http, read.key))
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// It had ended before, ends with an error, or not in time (then it is killed).
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "the server ended under load ({status}):\n{}",
                log_end(self.folder.path())
            );
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a process id")?, Signal::TERM).context("stopping the server")?;
        let Ok(status) = timeout(STOP, self.child.wait()).await else {
            self.child.kill().await.context("killing the server")?;
            bail!("the server did not end within {STOP:?} of SIGTERM and was killed");
        };
        let status = status?;
        if !status.success() {
            bail!(
                "the server ended badly ({status}):\n{}",
                log_end(self.folder.path())
            );
        }
        Ok(())
    }
}

fn spawn(program: &Path, folder: &Path) -> anyhow::Result<Child> {
    let log = File::create(folder.join("log")).context("the server's log")?;
    Command::new(program)
        .args(["dev", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
        .args(["--log", "warn", "--data"])
        .arg(folder.join("data"))
        // It writes a context for miractl, which must not land in that of the user.
        .env("HOME", folder)
        .env("MIRACTL_CONFIG", folder.join("miractl"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {}", program.display()))
}

fn log_end(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
