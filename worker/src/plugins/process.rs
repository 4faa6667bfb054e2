//! One process of a plugin.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::launches::Launch;
use super::starter::Starter;

/// What every program needs, and what the agents' documentation names. Everything else stays here: the environment of
/// a server may hold its keys.
const PASSED_ON: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "RUST_BACKTRACE",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "MIRASTACK_PLUGIN_LOG",
];
/// Lets a process die with the thread that started it, however that ends.
const WRAPPER: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];
/// A longer line of a log is cut.
const LINE_BYTES_MAX: u64 = 8 * 1024;
/// A first line longer than this is no port line.
const PORT_LINE_BYTES_MAX: u64 = 128;
/// How long a process whose output has ended is waited for before it is killed, and how long the rest of its output is
/// read once it has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Gives a command an environment that holds no secret of ours.
pub(super) fn surroundings(command: &mut Command, environment: &[(String, String)]) {
    let passed = environment
        .iter()
        .filter(|(name, _)| PASSED_ON.contains(&name.as_str()));
    command
        .env_clear()
        .envs(passed.map(|(name, value)| (name, value)));
}

/// The wrapper, where the system has it (util-linux). Without it plugins still end when their standard input closes.
pub(super) fn wrapper(environment: &[(String, String)]) -> &'static [&'static str] {
    let path = environment
        .iter()
        .find(|(name, _)| name == "PATH")
        .map(|(_, path)| path.as_str());
    let there = path
        .unwrap_or_default()
        .split(':')
        .any(|folder| Path::new(folder).join(WRAPPER[0]).is_file());
    if there { &WRAPPER } else { &[] }
}

/// A process, killed when this is dropped.
pub(super) struct Process {
    child: Child,
    group: Group,
    /// Its end is what tells a plugin that its starter is gone.
    _stdin: ChildStdin,
    stdout: Option<BufReader<ChildStdout>>,
    reading: JoinSet<()>,
    last_line: Arc<Mutex<String>>,
}

impl Process {
    /// Starts it; what it writes to standard error goes to our log, without secrets.
    pub(super) async fn start(
        starter: &Starter,
        mut command: Command,
        launch: &Arc<Launch>,
    ) -> io::Result<Self> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A Ctrl-C in the terminal is ours to hear: plugins end after the worker has drained.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = starter.start(command).await?;
        let missing = || io::Error::other("a pipe to it is missing");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = BufReader::new(child.stdout.take().ok_or_else(missing)?);
        let stderr = BufReader::new(child.stderr.take().ok_or_else(missing)?);
        let group = Group::of(&child);
        let last_line = Arc::default();
        let mut reading = JoinSet::new();
        reading.spawn(log(stderr, Arc::clone(launch), Arc::clone(&last_line)));
        Ok(Self {
            child,
            group,
            _stdin: stdin,
            stdout: Some(stdout),
            reading,
            last_line,
        })
    }

    /// The port that it says it listens on: its first line.
    pub(super) async fn port(&mut self, launch: &Arc<Launch>) -> Result<u16, String> {
        let Some(mut stdout) = self.stdout.take() else {
            return Err("its port was read already".to_owned());
        };
        let line = line(&mut stdout, PORT_LINE_BYTES_MAX)
            .await
            .map_err(|e| e.to_string())?;
        let Some(line) = line else {
            return Err(self.died().await);
        };
        let port = proto::environment::port(&line);
        let last_line = Arc::clone(&self.last_line);
        self.reading
            .spawn(log(stdout, Arc::clone(launch), last_line));
        port.ok_or_else(|| {
            format!(
                "its first line is not {}<port>",
                proto::environment::PORT_LINE
            )
        })
    }

    /// Waits until it has ended, and says how.
    pub(super) async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.tell(status).await
    }

    /// Its output or its connection is gone: waits a moment for its end, then kills it.
    pub(super) async fn died(&mut self) -> String {
        match timeout(LAST_WORDS, self.child.wait()).await {
            Ok(status) => self.tell(status).await,
            Err(_) => {
                let _ = self.child.kill().await;
                self.group.end();
                "it closed its connection, and was killed".to_owned()
            }
        }
    }

    /// Asks it to end, and kills it when it does not.
    pub(super) async fn end(&mut self, patience: Duration) {
        if let Some(pid) = pid(&self.child) {
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(patience, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        self.group.end();
    }

    async fn tell(&mut self, status: io::Result<ExitStatus>) -> String {
        self.group.end();
        // A child of its own that left the group may hold the other end of its output open: that is not waited for.
        let rest = async { while self.reading.join_next().await.is_some() {} };
        let _ = timeout(LAST_WORDS, rest).await;
        let last = self.last_line.lock();
        let last = last.unwrap_or_else(PoisonError::into_inner);
        let end = match status {
            Ok(status) => format!("it ended with {status}"),
            Err(e) => format!("it ended: {e}"),
        };
        if last.is_empty() {
            return end;
        }
        format!("{end}; its last line was: {last}")
    }
}

/// A process that is the first of a group of its own, and all that it starts. Killed when this is dropped.
///
/// Its id is not given to others while one of them lives.
pub(super) struct Group(Option<Pid>);

impl Group {
    pub(super) fn of(first: &Child) -> Self {
        Self(pid(first))
    }

    /// Kills what is left in it, once.
    fn end(&mut self) {
        if let Some(group) = self.0.take() {
            // Nobody may be left in it, which is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

/// Its id, until it has been waited for.
fn pid(child: &Child) -> Option<Pid> {
    child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw)
}

/// Copies lines into our log, at debug, for they are somebody else's.
async fn log(
    mut lines: BufReader<impl AsyncRead + Unpin>,
    launch: Arc<Launch>,
    last_line: Arc<Mutex<String>>,
) {
    while let Ok(Some(line)) = line(&mut lines, LINE_BYTES_MAX).await {
        let line = launch.clean(&line);
        debug!(target: "plugin", agent = launch.name, line);
        *last_line.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }
}

/// The next line, or the next so many bytes of a longer one; `None` at the end.
async fn line(
    lines: &mut BufReader<impl AsyncRead + Unpin>,
    max: u64,
) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = lines.take(max).read_until(b'\n', &mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    Ok((read > 0).then_some(text))
}
