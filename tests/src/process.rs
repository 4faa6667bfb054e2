//! A process that a test starts, watches, signals, and that does not outlive the test.

mod kin;

pub use kin::Kin;

use crate::{wait, web};
use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Lines of each stream that a failure shows.
const TAIL_LINES: usize = 40;

/// A running process with its output in files. Dropping it kills it; dropping it in a panic shows the end of its output.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    stdout: Log,
    stderr: Log,
}

/// One of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What the program answers.
    Stdout,
    /// What the program says beside it.
    Stderr,
}

impl Process {
    /// Starts `command` with its output in `folder`, as `name.out` and `name.err`, behind what an earlier process of
    /// this name wrote there.
    ///
    /// # Errors
    /// The folder cannot be written or the program cannot be started.
    pub fn spawn(name: &str, mut command: Command, folder: &Path) -> Result<Self> {
        let (stdout, out) = Log::open(folder.join(format!("{name}.out")))?;
        let (stderr, err) = Log::open(folder.join(format!("{name}.err")))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("starting {name} ({})", command.get_program().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
        })
    }

    /// Its process id. Nobody else gets it before this guard has seen the end of the process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for a fact about this process; its end is the end of waiting.
    ///
    /// # Errors
    /// The fact does not come in time, or the process ends before; with the end of its output.
    pub async fn until<T>(
        &mut self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<T>,
    ) -> Result<T> {
        let looked = wait::until(what, async || match self.child.try_wait()? {
            Some(status) => Ok(Err(anyhow!("it ended before, {status}"))),
            None => look().await.map(Ok),
        });
        let found = looked
            .await
            .and_then(|looked| looked.with_context(|| format!("waiting for {what}")));
        found.with_context(|| format!("{}:\n{}", self.name, self.tail()))
    }

    /// Waits for a line of this process's output from which `pick` gets something.
    ///
    /// # Errors
    /// As [`Process::until`].
    pub async fn line<T>(
        &mut self,
        stream: Stream,
        what: &str,
        pick: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let log = self.log(stream).clone();
        self.until(what, async || {
            let text = log.read()?;
            // Without its end a line may be half of one.
            let mut lines = text
                .split_inclusive('\n')
                .filter_map(|line| line.strip_suffix('\n'));
            lines.find_map(&pick).context("no such line")
        })
        .await
    }

    /// Waits until a GET of `url` is answered with success.
    ///
    /// # Errors
    /// As [`Process::until`].
    pub async fn answers(&mut self, url: &str) -> Result<()> {
        self.until(&format!("an answer of {url}"), async || {
            web::client().get(url).send().await?.error_for_status()?;
            Ok(())
        })
        .await
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// The process has ended and its end was seen.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended, {status}; no signal reaches it", self.name);
        }
        kill_process(self.pid(), signal).with_context(|| format!("signalling {}", self.name))
    }

    /// SIGKILL, and waits until the process is gone.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// SIGSTOP, and waits until nothing of the process is carried out any more; what it has asked of the system may
    /// still be under way.
    ///
    /// # Errors
    /// As [`Process::signal`].
    pub async fn stop(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let pid = self.pid();
        wait::until("its standstill", async || kin::stands_still(pid)).await
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// As [`Process::signal`].
    pub fn go_on(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// The processes that it has started and that live.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn children(&self) -> Result<Vec<Kin>> {
        kin::children(self.pid())
    }

    /// SIGTERM, and waits until the process is gone.
    ///
    /// # Errors
    /// It had ended before, or does not end in time; with the end of its output.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended().await
    }

    /// Waits until the process is gone.
    ///
    /// # Errors
    /// It does not end in time; with the end of its output.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = wait::until("its end", async || {
            self.child.try_wait()?.context("it runs")
        });
        let ended = ended.await;
        ended.with_context(|| format!("{}:\n{}", self.name, self.tail()))
    }

    /// What this process has written so far.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn output(&self, stream: Stream) -> Result<String> {
        self.log(stream).read()
    }

    /// The end of both streams, for messages.
    #[must_use]
    pub fn tail(&self) -> String {
        format!("{}{}", self.stdout.tail(), self.stderr.tail())
    }

    fn log(&self, stream: Stream) -> &Log {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} ---\n{}", self.name, self.tail());
        }
        // Nobody hears of a failure here, and there is none: the child is ours and was not waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A stream's file, from where this process began to write.
#[derive(Clone, Debug)]
struct Log {
    path: PathBuf,
    start: usize,
}

impl Log {
    fn open(path: PathBuf) -> Result<(Self, File)> {
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let file = opened.with_context(|| format!("opening {}", path.display()))?;
        let start = usize::try_from(file.metadata()?.len())?;
        Ok((Self { path, start }, file))
    }

    fn read(&self) -> Result<String> {
        let bytes =
            fs::read(&self.path).with_context(|| format!("reading {}", self.path.display()))?;
        Ok(String::from_utf8_lossy(bytes.get(self.start..).unwrap_or_default()).into_owned())
    }

    fn tail(&self) -> String {
        let text = self.read().unwrap_or_else(|error| format!("{error:#}"));
        let lines: Vec<&str> = text.lines().collect();
        let last = lines
            .get(lines.len().saturating_sub(TAIL_LINES)..)
            .unwrap_or_default();
        last.iter().map(|line| format!("  {line}\n")).collect()
    }
}
