//! The servers that a cluster shares: NATS, Kine, etcd, Valkey. Each is a real one, with its data in a folder of its own.

use crate::process::Process;
use crate::program;
use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use tokio::net::TcpStream;

/// A running server.
#[derive(Debug)]
pub struct Shared {
    which: Which,
    address: SocketAddr,
    process: Process,
    /// Last, so that a dropped process can still show its output.
    folder: TempDir,
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One server of NATS, with the settings and the rights of `deploy/nats`.
    Nats,
    /// Kine, which keeps what it is told in SQLite.
    Kine,
    /// One member of etcd.
    Etcd,
    /// Valkey, which writes what it is told behind it.
    Valkey,
}

impl Which {
    fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats-server",
            Self::Kine => "kine",
            Self::Etcd => "etcd",
            Self::Valkey => "valkey-server",
        }
    }

    fn arguments(self, address: SocketAddr) -> Result<Vec<String>> {
        let (ip, port) = (address.ip(), address.port().to_string());
        let url = format!("http://{address}");
        Ok(match self {
            Self::Nats => {
                let place = ["--addr", &ip.to_string(), "--port", &port].map(str::to_owned);
                let config = program::of_project("deploy/nats/one.conf");
                let config = config
                    .to_str()
                    .context("a path that is no text")?
                    .to_owned();
                [&place[..], &["--config".to_owned(), config]].concat()
            }
            Self::Kine => {
                let file = "sqlite://kine.db?_journal=WAL&_synchronous=FULL&_busy_timeout=30000&_txlock=immediate";
                // Otherwise it opens :8080 for metrics.
                let listen = ["--listen-address".to_owned(), address.to_string()];
                let metrics = ["--metrics-bind-address", "0", "--endpoint", file];
                [&listen[..], &metrics.map(str::to_owned)].concat()
            }
            Self::Etcd => {
                let peers = format!("http://{}", program::free_address()?);
                vec![
                    "--data-dir=data".to_owned(),
                    format!("--listen-client-urls={url}"),
                    format!("--advertise-client-urls={url}"),
                    format!("--listen-peer-urls={peers}"),
                    format!("--initial-advertise-peer-urls={peers}"),
                    format!("--initial-cluster=default={peers}"),
                ]
            }
            Self::Valkey => {
                let place = ["--bind", &ip.to_string(), "--port", &port].map(str::to_owned);
                let keeps = ["--appendonly", "yes", "--maxmemory-policy", "noeviction"];
                [&place[..], &keeps.map(str::to_owned)].concat()
            }
        })
    }
}

impl Shared {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// It is not there or does not answer; with the end of its log.
    pub async fn start(which: Which) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        let (address, process) =
            program::on_free_address(async |address| spawn(which, path, address).await).await?;
        Ok(Self {
            which,
            address,
            process,
            folder,
        })
    }

    /// Starts it again after its process has ended, with its data and at its address.
    ///
    /// # Errors
    /// As [`Shared::start`].
    pub async fn start_again(&mut self) -> Result<()> {
        self.process = spawn(self.which, self.folder.path(), self.address).await?;
        Ok(())
    }

    /// The address for a user of NATS: a role, or `admin`, or `system` in the system's own account.
    #[must_use]
    pub fn nats(&self, user: &str) -> String {
        nats(user, self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, to signal and to read.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The users of `deploy/nats/rights.conf`.
const USERS: [&str; 4] = ["gateway", "scheduler", "worker", "admin"];

fn password(user: &str) -> String {
    format!("the-password-of-{user}")
}

/// The address for a user of NATS, where it is reached.
#[must_use]
pub fn nats(user: &str, address: SocketAddr) -> String {
    let password = match user {
        "system" => password("admin"),
        user => password(user),
    };
    format!("nats://{user}:{password}@{address}")
}

async fn spawn(which: Which, folder: &Path, address: SocketAddr) -> Result<Process> {
    let mut command = Command::new(program::shared(which.name())?);
    command.current_dir(folder).args(which.arguments(address)?);
    if which == Which::Nats {
        command.env("MIRASTACK_NATS_DATA", folder.join("data"));
        for user in USERS {
            let name = format!("MIRASTACK_{}_PASSWORD", user.to_uppercase());
            command.env(name, password(user));
        }
    }
    let mut process = Process::spawn(which.name(), command, folder)?;
    let listens = async || TcpStream::connect(address).await.context("connecting");
    process.until("it listens", listens).await?;
    if which == Which::Etcd {
        process.answers(&format!("http://{address}/health")).await?;
    }
    Ok(process)
}
