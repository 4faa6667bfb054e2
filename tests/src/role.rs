//! Processes of one role each, on servers that they share.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::api::{Api, ApiKey};
use crate::process::{Process, Stream};
use crate::program;
use crate::shared::{Shared, Which};

/// The servers of a cluster.
#[derive(Debug)]
pub struct Servers {
    /// NATS.
    pub nats: Shared,
    /// Kine.
    pub registry: Shared,
    /// Valkey.
    pub valkey: Shared,
}

impl Servers {
    /// Starts one of each.
    ///
    /// # Errors
    /// As [`Shared::start`].
    pub async fn start() -> Result<Self> {
        Ok(Self {
            nats: Shared::start(Which::Nats).await?,
            registry: Shared::start(Which::Kine).await?,
            valkey: Shared::start(Which::Valkey).await?,
        })
    }

    /// Each of them, by its name.
    #[must_use]
    pub fn each(&self) -> [(&'static str, &Shared); 3] {
        [
            ("nats", &self.nats),
            ("kine", &self.registry),
            ("valkey", &self.valkey),
        ]
    }

    fn arguments(&self, verb: &str) -> Vec<String> {
        vec![
            format!("--nats={}", self.nats.nats(verb)),
            format!("--registry=http://{}", self.registry.address()),
            format!("--valkey={}", self.valkey.valkey(verb)),
        ]
    }
}

/// Every role of a test's cluster has it.
pub const ROOT_KEY: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// A running process of one role. Dropping it kills it.
#[derive(Debug)]
pub struct Role {
    /// The process, to signal and to read.
    pub process: Process,
    at: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    /// Last, so that a dropped process can still show its output.
    folder: TempDir,
}

impl Role {
    /// Starts `mirastack gateway`, `scheduler` or `worker`, and waits until it is ready.
    ///
    /// # Errors
    /// It was not built, or does not become ready; with the end of its log.
    pub async fn start(verb: &str, servers: &Servers) -> Result<Self> {
        Self::start_with(verb, servers, &[]).await
    }

    /// The same, with arguments of its own.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(verb: &str, servers: &Servers, more: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let home = home(&folder);
        fs::create_dir(&home)?;
        let mut command = program::alone(&program::built("mirastack")?, &home);
        command.env("MIRASTACK_ROOT_KEY", ROOT_KEY);
        command.arg(verb).args(servers.arguments(verb));
        match verb {
            "gateway" => command.args(["--http", "127.0.0.1:0"]),
            "worker" => command.args(["--grpc", "127.0.0.1:0"]),
            _ => &mut command,
        };
        command.arg("--data").arg(data(&folder)).args(more);
        let mut process = Process::spawn(verb, command, folder.path())?;
        let (at, metrics) = process
            .line(Stream::Stdout, "its line `ready …`", ready)
            .await?;
        Ok(Self {
            process,
            at,
            metrics,
            folder,
        })
    }

    /// The API of a gateway, as nobody.
    ///
    /// # Errors
    /// It is none.
    pub fn url(&self) -> Result<String> {
        let at = self.at.context("it listens nowhere")?;
        Ok(format!("http://{at}"))
    }

    /// Where it listens; a scheduler does nowhere.
    #[must_use]
    pub fn at(&self) -> Option<SocketAddr> {
        self.at
    }

    /// The figures that a scheduler or a worker with `--metrics` shows.
    ///
    /// # Errors
    /// It shows none, or does not answer.
    pub async fn figures(&self) -> Result<String> {
        let at = self.metrics.context("it shows no figures")?;
        let answer = reqwest::get(format!("http://{at}/metrics")).await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// The home of the user who started it.
    #[must_use]
    pub fn home(&self) -> PathBuf {
        home(&self.folder)
    }

    /// The file of the key that the first gateway makes.
    #[must_use]
    pub fn bootstrap(&self) -> PathBuf {
        data(&self.folder).join("bootstrap.json")
    }

    /// The API of the first gateway, with the admin's token.
    ///
    /// # Errors
    /// It has written no key, or the server refuses it.
    pub async fn admin(&self) -> Result<Api> {
        let path = self.bootstrap();
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let key: ApiKey = serde_json::from_slice(&text)?;
        Api::login(&self.url()?, &key).await
    }
}

fn home(folder: &TempDir) -> PathBuf {
    folder.path().join("home")
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// Reads `ready`, where it listens, and where it shows figures, if it says so.
fn ready(line: &str) -> Option<(Option<SocketAddr>, Option<SocketAddr>)> {
    let said = line.strip_prefix("ready")?;
    let (mut at, mut metrics) = (None, None);
    for said in said.split_whitespace() {
        let (what, place) = said.split_once('=')?;
        let place = place.strip_prefix("http://").unwrap_or(place);
        let place = Some(place.parse().ok()?);
        match what {
            "metrics" => metrics = place,
            _ => at = place,
        }
    }
    Some((at, metrics))
}
