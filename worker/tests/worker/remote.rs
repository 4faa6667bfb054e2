//! Agents that run by themselves, and the engine with which they register.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use engine::duration::Duration as Length;
use engine::job::Job;
use engine::registry::{self, Agent, Instance, Kind};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use store::embedded::{Embedded, Options, Place};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::{Child, ChildStderr, Command};
use worker::{CallResult, Caller, PluginsConfig, RemoteConfig, Said};

use crate::bench::within;
use crate::yard::{self, Heard, Yard, call_of, job, quick};

/// A running agent.
pub(crate) struct Process {
    pub(crate) child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it is there");
        let log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        Self { child, log }
    }

    /// Waits until it has logged this.
    pub(crate) async fn says(&mut self, text: &str) {
        let line = async {
            while let Some(line) = self.log.next_line().await.expect("a pipe") {
                if line.contains(text) {
                    return;
                }
            }
            panic!("it ended without saying: {text}");
        };
        within(line).await;
    }

    pub(crate) fn pid(&self) -> i64 {
        self.child.id().expect("it runs").into()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), signal).expect("it runs");
    }
}

pub(crate) fn remote(lease_s: u64, trusted: &[&str]) -> PluginsConfig {
    PluginsConfig {
        remote: RemoteConfig {
            lease: Length::from_secs(lease_s),
            trusted: trusted.iter().map(ToString::to_string).collect(),
            ..RemoteConfig::default()
        },
        ..quick()
    }
}

/// An engine on a free port.
pub(crate) async fn engine(config: PluginsConfig) -> (Yard, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    (yard_at(listener, config).await, address)
}

pub(crate) async fn yard_at(listener: TcpListener, config: PluginsConfig) -> Yard {
    let store = Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
    let folder = TempDir::new().expect("a temporary folder");
    Yard::at(listener, config, folder, store).await
}

/// Waits until so many of them are in the registry.
pub(crate) async fn until(yard: &Yard, name: &str, count: usize) -> Vec<Instance> {
    let prefix = format!("{}{name}/", Kind::Plugins.of(&yard::tenant()));
    let registry = &yard.backend.registry;
    let mut revision = 0;
    let wait = async {
        loop {
            let items = registry.list(&prefix, "", 10).await.expect("an open store");
            if items.len() == count {
                let decode = |item: &store::port::Item| registry::decode(&item.value);
                return items
                    .iter()
                    .map(|i| decode(i).expect("an instance"))
                    .collect();
            }
            for change in registry
                .watch(&prefix, revision)
                .await
                .expect("an open store")
            {
                revision = match change {
                    store::port::Change::Put(item) => item.revision,
                    store::port::Change::Deleted { revision, .. }
                    | store::port::Change::Gap { revision } => revision,
                };
            }
        }
    };
    within(wait).await
}

/// Waits until the registry says of the only instance of an agent what `is` wants.
pub(crate) async fn until_is(yard: &Yard, name: &str, is: impl Fn(&Instance) -> bool) -> Instance {
    let prefix = format!("{}{name}/", Kind::Plugins.of(&yard::tenant()));
    let mut revision = 0;
    loop {
        let there = until(yard, name, 1).await.remove(0);
        if is(&there) {
            return there;
        }
        let changes = within(yard.backend.registry.watch(&prefix, revision)).await;
        for change in changes.expect("an open store") {
            revision = match change {
                store::port::Change::Put(item) => item.revision,
                store::port::Change::Deleted { revision, .. }
                | store::port::Change::Gap { revision } => revision,
            };
        }
    }
}

pub(crate) async fn agent(yard: &Yard, name: &str) -> Agent {
    let key = Kind::Agents.key(&yard::tenant(), name);
    let item = yard
        .backend
        .registry
        .get(&key)
        .await
        .expect("an open store");
    registry::decode(&item.expect("it registered").value).expect("an agent")
}

/// A call of an action as the agent offers it now.
pub(crate) async fn pinned(yard: &Yard, name: &str, action: &str) -> Job {
    let agent = agent(yard, name).await;
    let mut job = job(name);
    let offered = agent.manifest.action(action).expect("it is offered");
    job.action.digest = registry::action_digest(name, offered);
    job.action.name.action = action.to_owned();
    job
}

/// What a call of an action gives.
pub(crate) async fn result(yard: &Yard, name: &str, action: &str, params: Value) -> Value {
    let job = pinned(yard, name, action).await;
    let called = yard.call(&job, &params, Duration::from_secs(10)).await;
    let CallResult::Succeeded { output } = called else {
        panic!("{called:?}")
    };
    serde_json::from_slice(&output).expect("JSON")
}

/// The same, with what was said meanwhile.
pub(crate) async fn result_and_said(yard: &Yard, name: &str, params: Value) -> (Value, Vec<Said>) {
    let job = pinned(yard, name, "read").await;
    let heard = Arc::new(Heard::default());
    let call = call_of(&job, &params, Duration::from_secs(10));
    let called = within(yard.plugins.call(call, heard.clone())).await;
    let CallResult::Succeeded { output } = called else {
        panic!("{called:?}")
    };
    let said = heard.0.lock().expect("no panic").clone();
    (serde_json::from_slice(&output).expect("JSON"), said)
}

/// A line in the log.
pub(crate) fn line(level: &'static str, message: &str) -> Said {
    Said::Log {
        level,
        message: message.to_owned(),
    }
}

/// A port that refuses connections until it is listened on.
pub(crate) fn reserved() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    (socket, address)
}

/// Ends the engine, and starts it again at the same address, over the same store.
pub(crate) async fn restarted(yard: Yard, address: SocketAddr, config: PluginsConfig) -> Yard {
    let Yard {
        backend,
        plugins,
        folder,
        stop,
        mut running,
        ..
    } = yard;
    stop.cancel();
    within(running.join_next()).await;
    drop((running, plugins));
    let listener = TcpListener::bind(address).await.expect("its own port");
    let (_, handle) = Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
    Yard::at(listener, config, folder, (backend, handle)).await
}
