//! The command line, run as a user without a terminal runs it.

use crate::program;
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// Longer than anything that a test lets it wait for.
const TIMEOUT: Duration = Duration::from_secs(120);

/// `miractl` with a home and a configuration folder of its own.
#[derive(Clone, Debug)]
pub struct Miractl {
    program: PathBuf,
    home: PathBuf,
    environment: Vec<(String, String)>,
}

/// What it said.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// The data.
    pub stdout: String,
    /// All else.
    pub stderr: String,
}

impl Miractl {
    /// For a user whose home is this folder.
    ///
    /// # Errors
    /// The program was not built.
    pub fn at_home(home: &Path) -> Result<Self> {
        Ok(Self {
            program: program::built("miractl")?,
            home: home.to_owned(),
            environment: Vec::new(),
        })
    }

    /// With one more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder that `MIRACTL_CONFIG` names.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        config(&self.home)
    }

    /// Runs it to its end with nothing on stdin, whatever its exit code is.
    ///
    /// # Errors
    /// It cannot be started or does not end.
    pub async fn run(&self, args: &[&str]) -> Result<Said> {
        self.run_with(args, "").await
    }

    /// Runs it to its end with this on stdin, whatever its exit code is.
    ///
    /// # Errors
    /// As [`Miractl::run`].
    pub async fn run_with(&self, args: &[&str], stdin: &str) -> Result<Said> {
        let said = tokio::time::timeout(TIMEOUT, self.output(args, stdin)).await;
        let named = || format!("miractl {}", args.join(" "));
        said.with_context(|| format!("{} does not end", named()))?
            .with_context(named)
    }

    /// Runs it to its end in a terminal, gives `keys` when it shows `question`, and answers what the terminal has shown.
    ///
    /// # Errors
    /// It does not ask or does not end, or not with exit code 0; with what the terminal has shown.
    pub async fn in_terminal(&self, args: &[&str], question: &str, keys: &str) -> Result<String> {
        let mut shown = String::new();
        let typed = tokio::time::timeout(TIMEOUT, self.typed(args, (question, keys), &mut shown));
        let ended = typed.await.context("it does not end").flatten();
        ended.with_context(|| format!("miractl {} in a terminal:\n{shown}", args.join(" ")))?;
        Ok(shown)
    }

    /// `script` of util-linux is the terminal.
    async fn typed(
        &self,
        args: &[&str],
        (question, keys): (&str, &str),
        shown: &mut String,
    ) -> Result<()> {
        let line = format!("{} {}", self.program.display(), args.join(" "));
        let mut command =
            Command::from(program::alone(&program::on_path(&["script"])?, &self.home));
        command
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("TERM", "xterm")
            .envs(self.environment.iter().cloned())
            .kill_on_drop(true);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut keyboard = child.stdin.take().context("stdin was piped")?;
        let mut screen = child.stdout.take().context("stdout was piped")?;
        let mut asked = false;
        let mut bytes = [0; 4096];
        loop {
            let read = screen.read(&mut bytes).await?;
            if read == 0 {
                break;
            }
            shown.push_str(&String::from_utf8_lossy(&bytes[..read]));
            if !asked && shown.contains(question) {
                asked = true;
                keyboard.write_all(keys.as_bytes()).await?;
            }
        }
        let status = child.wait().await?;
        ensure!(asked, "it did not ask {question}; {status}");
        ensure!(status.success(), "{status}");
        Ok(())
    }

    async fn output(&self, args: &[&str], stdin: &str) -> Result<Said> {
        let mut command = Command::from(program::alone(&self.program, &self.home));
        command
            .args(args)
            .envs(self.environment.iter().cloned())
            .kill_on_drop(true);
        let streams = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = streams.spawn()?;
        let mut pipe = child.stdin.take().context("stdin was piped")?;
        // Who reads nothing may be gone before all is written.
        let _ = pipe.write_all(stdin.as_bytes()).await;
        drop(pipe);
        let output = child.wait_with_output().await?;
        Ok(Said {
            code: output.status.code().context("it was killed by a signal")?,
            stdout: String::from_utf8(output.stdout)?,
            stderr: String::from_utf8(output.stderr)?,
        })
    }
}

/// Where a user with this home has `miractl`'s files.
pub(crate) fn config(home: &Path) -> PathBuf {
    home.join("miractl")
}

impl Said {
    /// The data, if it ended well.
    ///
    /// # Errors
    /// It did not; both streams are shown.
    pub fn ok(&self) -> Result<&str> {
        if self.code != 0 {
            bail!("exit code {}\n{}{}", self.code, self.stdout, self.stderr);
        }
        Ok(&self.stdout)
    }

    /// The data as JSON, if it ended well (`-o json`).
    ///
    /// # Errors
    /// It did not, or this is no JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(self.ok()?).with_context(|| format!("no JSON: {}", self.stdout))
    }
}
