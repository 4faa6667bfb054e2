//! The product: `mirastack dev` on free ports, in a folder and with a home of its own.

use crate::api::{Api, ApiKey};
use crate::miractl::Miractl;
use crate::process::{Process, Stream};
use crate::program;
use anyhow::{Context as _, Result};
use rustix::process::Signal;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;

/// A running `mirastack dev`. Dropping it kills it.
#[derive(Debug)]
pub struct Mirastack {
    setup: Setup,
    process: Process,
    ready: Ready,
    /// Last, so that a dropped process can still show its output.
    folder: TempDir,
}

/// What differs from a plain `mirastack dev`.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    args: Vec<String>,
    environment: Vec<(String, String)>,
    data: Option<PathBuf>,
    program: Option<PathBuf>,
}

impl Setup {
    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// With its data there, and not in a folder of its own.
    #[must_use]
    pub fn data(mut self, data: PathBuf) -> Self {
        self.data = Some(data);
        self
    }

    /// With another program than the one that was built beside the caller.
    #[must_use]
    pub fn program(mut self, program: Option<PathBuf>) -> Self {
        self.program = program;
        self
    }

    /// With one more environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What the server says when it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ready {
    http: SocketAddr,
    grpc: SocketAddr,
}

/// The system picks one.
const ANY: &str = "127.0.0.1:0";

impl Mirastack {
    /// Starts it on a fresh folder and waits until it is ready.
    ///
    /// # Errors
    /// It was not built, or does not become ready; with the end of its log.
    pub async fn start(setup: Setup) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::create_dir(home(&folder))?;
        let (process, ready) = spawn(&folder, &setup, [ANY, ANY]).await?;
        Ok(Self {
            folder,
            setup,
            process,
            ready,
        })
    }

    /// Starts it again after its process has ended, with its data and at its addresses.
    ///
    /// # Errors
    /// As [`Mirastack::start`].
    pub async fn start_again(&mut self) -> Result<()> {
        let [http, grpc] = [self.ready.http.to_string(), self.ready.grpc.to_string()];
        (self.process, self.ready) = spawn(&self.folder, &self.setup, [&http, &grpc]).await?;
        Ok(())
    }

    /// The process, to signal and to read.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Where the API listens.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.ready.http
    }

    /// Where plugins reach the engine.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.ready.grpc
    }

    /// Where the API listens, as clients are told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.ready.http)
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        data(&self.folder, &self.setup)
    }

    /// The admin key that the first start has written.
    ///
    /// # Errors
    /// It is not there or no such document.
    pub fn bootstrap_key(&self) -> Result<ApiKey> {
        let path = self.data().join("bootstrap.json");
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// The API with the admin's token.
    ///
    /// # Errors
    /// There is no key, or the server refuses it.
    pub async fn api(&self) -> Result<Api> {
        Api::login(&self.url(), &self.bootstrap_key()?).await
    }

    /// Ends it in good order and leaves its folder, which is answered.
    ///
    /// # Errors
    /// It does not end.
    pub async fn keep(mut self) -> Result<PathBuf> {
        // It may be ending already: Ctrl-C reaches every process of a terminal.
        let _ = self.process.signal(Signal::TERM);
        self.process.ended().await?;
        Ok(self.folder.keep())
    }

    /// The command line of the user who started it.
    ///
    /// # Errors
    /// It was not built.
    pub fn miractl(&self) -> Result<Miractl> {
        Miractl::at_home(&home(&self.folder))
    }
}

fn data(folder: &TempDir, setup: &Setup) -> PathBuf {
    let elsewhere = setup.data.clone();
    elsewhere.unwrap_or_else(|| folder.path().join("data"))
}

fn home(folder: &TempDir) -> PathBuf {
    folder.path().join("home")
}

async fn spawn(
    folder: &TempDir,
    setup: &Setup,
    [http, grpc]: [&str; 2],
) -> Result<(Process, Ready)> {
    let program = match &setup.program {
        Some(program) => program.clone(),
        None => program::built("mirastack")?,
    };
    let mut command = program::alone(&program, &home(folder));
    command.arg("dev").arg("--data").arg(data(folder, setup));
    command.args(["--http", http, "--grpc", grpc]);
    command
        .args(&setup.args)
        .envs(setup.environment.iter().cloned());
    let mut process = Process::spawn("mirastack", command, folder.path())?;
    let ready = process
        .line(Stream::Stdout, "its line `ready http=… grpc=…`", ready)
        .await?;
    Ok((process, ready))
}

/// Reads `ready http=ADDRESS grpc=ADDRESS`.
fn ready(line: &str) -> Option<Ready> {
    let mut words = line.strip_prefix("ready ")?.split(' ');
    let mut address = |name: &str| {
        let value = words.next()?.strip_prefix(name)?;
        let plain = value.strip_prefix("http://");
        let bare = plain.or_else(|| value.strip_prefix("https://"));
        bare.unwrap_or(value).parse().ok()
    };
    Some(Ready {
        http: address("http=")?,
        grpc: address("grpc=")?,
    })
}

#[test]
fn the_ready_line_is_read_and_no_other() {
    let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let wanted = Ready {
        http: at(8080),
        grpc: at(50051),
    };
    assert_eq!(
        ready("ready http=127.0.0.1:8080 grpc=127.0.0.1:50051"),
        Some(wanted)
    );
    assert_eq!(
        ready("ready http=http://127.0.0.1:8080 grpc=127.0.0.1:50051"),
        Some(wanted)
    );
    assert_eq!(
        ready("ready http=https://127.0.0.1:8080 grpc=127.0.0.1:50051"),
        Some(wanted)
    );
    assert_eq!(
        ready("getting ready http=127.0.0.1:8080 grpc=127.0.0.1:50051"),
        None
    );
    assert_eq!(ready("ready http=127.0.0.1:8080"), None);
}
