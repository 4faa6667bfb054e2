//! The servers that a cluster shares: NATS, Kine, etcd, Valkey. Each is a real one, with its data in a folder of its own.

use crate::process::Process;
use crate::program;
use anyhow::{Context as _, Result, ensure};
use rustix::process::Pid;
use std::fs;
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
    /// Valkey, with the settings and the rights of `deploy/valkey`.
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

    /// Where its settings are, with those of its users last.
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Nats => &["deploy/nats/one.conf", "deploy/nats/rights.conf"],
            Self::Valkey => &["deploy/valkey/valkey.conf", "deploy/valkey/users.acl"],
            Self::Kine | Self::Etcd => &[],
        }
    }

    fn write_settings(self, folder: &Path, changes: &[(&str, &str)]) -> Result<()> {
        let mut left: Vec<_> = changes.iter().collect();
        for path in self.settings() {
            let path = program::of_project(path);
            let mut text = fs::read_to_string(&path)?;
            left.retain(|(from, _)| !text.contains(from));
            for (from, to) in changes {
                text = text.replace(from, to);
            }
            if self == Self::Valkey {
                for user in USERS {
                    let place = format!("{}_PASSWORD", user.to_uppercase());
                    text = text.replace(&place, &password(user));
                }
            }
            fs::write(folder.join(path.file_name().context("a file")?), text)?;
        }
        ensure!(left.is_empty(), "nowhere in the settings: {left:?}");
        Ok(())
    }

    fn arguments(self, address: SocketAddr) -> Result<Vec<String>> {
        let (ip, port) = (address.ip(), address.port().to_string());
        let url = format!("http://{address}");
        Ok(match self {
            Self::Nats => {
                let place = ["--addr", &ip.to_string(), "--port", &port].map(str::to_owned);
                [&place[..], &["--config", "one.conf"].map(str::to_owned)].concat()
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
                [&["valkey.conf".to_owned()], &place[..]].concat()
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
        Self::changed(which, &[]).await
    }

    /// Starts it with other settings: each text is replaced by another.
    ///
    /// # Errors
    /// As [`Shared::start`]; or a text is nowhere in the settings.
    pub async fn changed(which: Which, changes: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        which.write_settings(folder.path(), changes)?;
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

    /// The address for a user of Valkey: a role, or `admin`.
    #[must_use]
    pub fn valkey(&self, user: &str) -> String {
        format!("redis://{user}:{}@{}", password(user), self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The id of its process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.process.pid()
    }

    /// The process, to signal and to read.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The users of `deploy`.
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
        command.env("NATS_DATA", folder.join("data"));
        for user in USERS {
            let name = format!("NATS_{}_PASSWORD", user.to_uppercase());
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
