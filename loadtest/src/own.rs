//! A server of our own, the product or the floor: on free ports, in a folder that is gone afterwards.

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

/// How long a start may take: agents introduce themselves, and open runs are read.
const START: Duration = Duration::from_secs(300);
/// How long an end in good order may take before the process is killed.
const STOP: Duration = Duration::from_secs(30);
/// How many lines of the server's log are shown when it does not start.
const LOG_LINES: usize = 20;

/// The running server. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Own {
    child: Child,
    pid: u32,
    /// Its address.
    pub(crate) http: String,
    /// Held open, so that a late line of the server does not break it.
    _stdout: BufReader<ChildStdout>,
    /// Removed last.
    folder: TempDir,
}

/// Which server it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind<'a> {
    /// `mirastack dev`, with its program.
    Dev(&'a Path),
    /// The same, which keeps so many ended runs.
    Keeping(&'a Path, u64),
    /// The floor, with the program of the agent that it calls.
    Floor(&'a Path),
}

#[derive(Deserialize)]
struct Bootstrap {
    #[serde(flatten)]
    key: ApiKey,
}

/// A folder that is gone when it is dropped.
///
/// # Errors
/// It cannot be made.
pub(crate) fn folder(within: Option<&Path>) -> anyhow::Result<TempDir> {
    let folder = match within {
        Some(dir) => TempDir::with_prefix_in("loadtest-", dir),
        None => TempDir::with_prefix("loadtest-"),
    };
    folder.context("no temporary folder: name another with --folder")
}

impl Own {
    /// Starts the server on what is in the folder, and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started or does not become ready; with the end of its log.
    pub(crate) async fn start(kind: Kind<'_>, folder: TempDir) -> anyhow::Result<Self> {
        let mut child = spawn(kind, folder.path())?;
        let pid = child.id().context("the server has ended at once")?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        let read = timeout(START, stdout.read_line(&mut line)).await;
        let http = line
            .split_whitespace()
            .find_map(|w| w.strip_prefix("http="));
        let (Ok(Ok(_)), true, Some(http)) = (read, line.starts_with("ready "), http) else {
            bail!(
                "{kind:?} did not become ready within {START:?}:\n{}",
                log_end(folder.path())
            );
        };
        Ok(Self {
            http: http.to_owned(),
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

    /// The key of its admin; the floor takes any.
    ///
    /// # Errors
    /// `bootstrap.json` cannot be read.
    pub(crate) fn key(&self) -> anyhow::Result<ApiKey> {
        let path = self.folder.path().join("data/bootstrap.json");
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(ApiKey {
                    api_key_id: "none".to_owned(),
                    api_secret: "none".to_owned(),
                });
            }
            read => read.with_context(|| format!("reading {}", path.display()))?,
        };
        let read: Bootstrap =
            serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?;
        Ok(read.key)
    }

    /// Ends it in good order, and gives back its folder.
    ///
    /// # Errors
    /// It had ended before, ends with an error, or not in time (then it is killed).
    pub(crate) async fn stop(mut self) -> anyhow::Result<TempDir> {
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
        Ok(self.folder)
    }
}

fn spawn(kind: Kind<'_>, folder: &Path) -> anyhow::Result<Child> {
    let log = File::create(folder.join("log")).context("the server's log")?;
    let mut command = match kind {
        Kind::Dev(program) => dev(program, folder),
        Kind::Keeping(program, runs) => {
            let mut command = dev(program, folder);
            command.arg("--keep-runs").arg(runs.to_string());
            command
        }
        Kind::Floor(agent) => {
            let myself = std::env::current_exe().context("the path of this program")?;
            let mut command = Command::new(myself);
            command.arg("floor").arg("--agent").arg(agent);
            command
        }
    };
    command
        .arg("--data")
        .arg(folder.join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {kind:?}"))
}

fn dev(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .args(["dev", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"])
        .args(["--log", "warn"])
        // It writes a context for miractl, which must not land in that of the user.
        .env("HOME", folder)
        .env("MIRACTL_CONFIG", folder.join("miractl"));
    command
}

fn log_end(folder: &Path) -> String {
    let text = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
