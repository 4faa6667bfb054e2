//! The agent that the floor calls, started as the product starts it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use proto::address::Address;
use proto::client::PluginClient;
use proto::environment;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long the agent may take to say its port.
const START: Duration = Duration::from_secs(10);

/// A running agent. Dropping it kills it.
pub(super) struct Agent {
    _child: Child,
    client: PluginClient,
    /// Held open, so that a late line of the agent does not break it.
    _stdout: BufReader<ChildStdout>,
}

impl Agent {
    /// Starts the program and connects to it.
    pub(super) async fn start(program: &Path, data: &Path) -> anyhow::Result<Self> {
        let name = program.display();
        let mut child = Command::new(program)
            .env(environment::PLUGIN_ADDR, "127.0.0.1:0")
            .env(environment::DATA_DIR, data)
            .env_remove(environment::ENGINE_ADDR)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let mut stdout = BufReader::new(child.stdout.take().context("the agent has no stdout")?);
        let mut line = String::new();
        let read = timeout(START, stdout.read_line(&mut line)).await;
        let Some(port) = environment::port(line.trim_end()) else {
            bail!("{name} did not say its port within {START:?} ({read:?}): {line:?}");
        };
        let address = Address::Tcp(format!("127.0.0.1:{port}"));
        let client = PluginClient::connect(&address, None)
            .await
            .with_context(|| format!("connecting to {name} at {address}"))?;
        Ok(Self {
            _child: child,
            client,
            _stdout: stdout,
        })
    }

    /// Its connection; clones share it.
    pub(super) fn client(&self) -> PluginClient {
        self.client.clone()
    }
}
