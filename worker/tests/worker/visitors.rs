//! Agents that run by themselves and register: the example `visitor`, made with the SDK, as processes of their own.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use engine::duration::Duration as Length;
use engine::job::Job;
use engine::registry::{self, Agent, Instance, Kind, SettingValue};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use store::embedded::{Embedded, Options, Place};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpSocket};
use tokio::process::{Child, ChildStderr, Command};
use worker::{CallResult, NotSent, PluginsConfig, RemoteConfig};

use crate::bench::{seal, within};
use crate::jobs;
use crate::yard::{self, Yard, example, job, quick};

/// A running agent.
struct Visitor {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Visitor {
    fn start(engine: SocketAddr) -> Self {
        let mut child = Command::new(example("visitor"))
            .args(["--engine", &engine.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it is built");
        let log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        Self { child, log }
    }

    /// Waits until it has logged this.
    async fn says(&mut self, text: &str) {
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

    fn pid(&self) -> i64 {
        self.child.id().expect("it runs").into()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a pid"), signal).expect("it runs");
    }
}

fn remote(lease_s: u64, trusted: &[&str]) -> PluginsConfig {
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
async fn engine(config: PluginsConfig) -> (Yard, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    (yard_at(listener, config).await, address)
}

async fn yard_at(listener: TcpListener, config: PluginsConfig) -> Yard {
    let store = Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
    let folder = TempDir::new().expect("a temporary folder");
    Yard::at(listener, config, folder, store).await
}

/// Waits until so many of them are in the registry.
async fn until(yard: &Yard, count: usize) -> Vec<Instance> {
    let prefix = format!("{}visitor/", Kind::Plugins.of(&yard::tenant()));
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

async fn agent(yard: &Yard) -> Agent {
    let key = Kind::Agents.key(&yard::tenant(), "visitor");
    let item = yard
        .backend
        .registry
        .get(&key)
        .await
        .expect("an open store");
    registry::decode(&item.expect("it registered").value).expect("an agent")
}

/// A call of an action as the agent offers it now.
async fn pinned(yard: &Yard, action: &str) -> Job {
    let agent = agent(yard).await;
    let mut job = job("visitor");
    let offered = agent.manifest.action(action).expect("it is offered");
    job.action.digest = registry::action_digest("visitor", offered);
    job.action.name.action = action.to_owned();
    job
}

async fn result(yard: &Yard, action: &str) -> Value {
    let job = pinned(yard, action).await;
    let called = yard.call(&job, &json!({}), Duration::from_secs(10)).await;
    let CallResult::Succeeded { output } = called else {
        panic!("{called:?}")
    };
    serde_json::from_slice(&output).expect("JSON")
}

#[tokio::test]
async fn an_agent_may_be_up_before_its_engine_and_outlive_it() {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    let mut visitor = Visitor::start(address);
    visitor.says("could not register").await;

    let config = || remote(9, &[]);
    let first = yard_at(socket.listen(64).expect("a bound socket"), config()).await;
    let there = until(&first, 1).await;
    assert_eq!(there[0].form, "native");
    assert!(there[0].expires_at.is_some() && agent(&first).await.unauthenticated);
    assert_eq!(result(&first, "act").await["pid"], visitor.pid());
    let health = first.plugins.health(&yard::tenant(), "visitor").await;
    assert!(health.is_some_and(|health| health.ok));

    let Yard {
        backend,
        plugins,
        folder,
        stop,
        mut running,
        ..
    } = first;
    stop.cancel();
    within(running.join_next()).await;
    drop((running, plugins));
    let listener = TcpListener::bind(address).await.expect("its own port");
    let (_, handle) = Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
    let second = Yard::at(listener, config(), folder, (backend, handle)).await;
    until(&second, 1).await;
    assert_eq!(result(&second, "act").await["pid"], visitor.pid());
}

#[tokio::test]
async fn an_instance_that_is_silent_is_gone_and_the_others_are_called() {
    let (yard, address) = engine(remote(3, &[])).await;
    let visitors = [Visitor::start(address), Visitor::start(address)];
    until(&yard, 2).await;
    let job = pinned(&yard, "act").await;
    visitors[0].signal(Signal::STOP);
    let mut lost = 0;
    for _ in 0..5 {
        match yard.call(&job, &json!({}), Duration::from_secs(1)).await {
            CallResult::Succeeded { .. } => {}
            CallResult::TimedOut => lost += 1,
            other @ (CallResult::Failed { .. }
            | CallResult::NotSent(_)
            | CallResult::Lost { .. }) => panic!("{other:?}"),
        }
    }
    assert!(
        lost <= 1,
        "{lost} calls went to the one that does not answer"
    );
    until(&yard, 1).await;
    assert_eq!(result(&yard, "act").await["pid"], visitors[1].pid());
    visitors[0].signal(Signal::CONT);
    until(&yard, 2).await;
}

#[tokio::test]
async fn an_instance_that_dies_is_gone_at_once() {
    let (yard, address) = engine(remote(90, &[])).await;
    let mut visitors = [Visitor::start(address), Visitor::start(address)];
    until(&yard, 2).await;
    visitors[0].child.kill().await.expect("it runs");
    until(&yard, 1).await;
    assert_eq!(result(&yard, "act").await["pid"], visitors[1].pid());

    visitors[1].signal(Signal::TERM);
    let ended = within(visitors[1].child.wait()).await.expect("it ran");
    assert!(ended.success());
    until(&yard, 0).await;
    let job = pinned(&yard, "act").await;
    let mut call = yard::call_of(&job, &json!({}), Duration::from_secs(5));
    call.ready = Duration::ZERO;
    let heard = std::sync::Arc::new(yard::Heard::default());
    let result = worker::Caller::call(yard.plugins.as_ref(), call, heard).await;
    let CallResult::NotSent(NotSent::Unavailable(why)) = result else {
        panic!("{result:?}")
    };
    assert_eq!(why, "no instance of the agent visitor is registered now");
}

#[tokio::test]
async fn changes_and_secrets_are_for_those_whom_the_configuration_names() {
    let sealed = || {
        let bound = registry::setting_seal(&jobs::tenant(), "visitor", "url");
        let plain = json!("http://secret-place").to_string();
        SettingValue::Sealed(seal().seal(&bound, [3; 24], plain.as_bytes()))
    };
    let (yard, address) = engine(remote(90, &[])).await;
    let _stranger = Visitor::start(address);
    let note = until(&yard, 1).await.remove(0).note.expect("a note");
    assert!(note.ends_with("does not trust it: change"), "{note}");
    let offered = agent(&yard).await.manifest;
    assert!(offered.action("change").is_none() && offered.action("act").is_some());
    let revision = yard
        .set("visitor", SettingValue::Plain(json!("http://a")))
        .await;
    let job = pinned(&yard, "act").await;
    let patience = Duration::from_secs(5);
    let ready = worker::Caller::ready(yard.plugins.as_ref(), &job, revision, patience).await;
    ready.expect("the settings in force");
    assert_eq!(result(&yard, "act").await["url"], "http://a");
    let revision = yard.set("visitor", sealed()).await;
    let ready = worker::Caller::ready(yard.plugins.as_ref(), &job, revision, patience).await;
    ready.expect("the settings in force");
    assert_eq!(result(&yard, "act").await["url"], "");

    let (yard, address) = engine(remote(90, &["visitor"])).await;
    yard.set("visitor", sealed()).await;
    let trusted = Visitor::start(address);
    assert_eq!(until(&yard, 1).await.remove(0).note, None);
    let changed = result(&yard, "change").await;
    assert_eq!(changed["pid"], trusted.pid());
    assert_eq!(changed["url"], "***url***");
}
