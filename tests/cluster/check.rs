//! What `mirastack check` finds at real servers, and what keeps a role from starting.

use std::collections::BTreeSet;
use std::process::Output;
use std::sync::Arc;

use async_nats::jetstream::{self, stream};
use mirastack_tests::program;
use mirastack_tests::role::ROOT_KEY;
use mirastack_tests::shared::{Shared, Which};
use store::clock::{ProcessClock, SystemRandom};
use store::cluster::broker::Role;
use store::cluster::{Options, Verdict, check, open};
use store::conformance::PATIENCE;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::ground::Servers;
use crate::rights::connect;

fn options(servers: &Servers, role: Role, user: &str) -> Options {
    let clock = Arc::new(ProcessClock::start());
    let mut options = servers.options("mirastack", None, clock, Arc::new(SystemRandom));
    options.broker.role = role;
    options.broker.servers = vec![servers.nats.nats(user)];
    options.memory.url = servers.memory.valkey(user);
    options
}

/// The names of what is unsafe, and of what is weak.
async fn found(options: &Options) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let (mut unsafe_ones, mut weak) = (BTreeSet::new(), BTreeSet::new());
    for finding in Box::pin(check(options)).await {
        match finding.verdict {
            Verdict::Good => false,
            Verdict::Weak(_) => weak.insert(finding.name),
            Verdict::Unsafe(_) => unsafe_ones.insert(finding.name),
        };
    }
    (unsafe_ones, weak)
}

async fn as_scheduler(servers: &Servers) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    found(&options(servers, Role::Scheduler, "scheduler")).await
}

fn only<const N: usize>(
    unsafe_ones: [&'static str; N],
) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    (BTreeSet::from(unsafe_ones), BTreeSet::new())
}

/// What the program says, with nothing but these arguments.
async fn said(servers: &Servers, verb: &[&str], user: &str) -> Output {
    says(servers, verb, user, Some(ROOT_KEY)).await
}

async fn says(servers: &Servers, verb: &[&str], user: &str, key: Option<&str>) -> Output {
    let home = TempDir::new().expect("a folder");
    let program = program::built("mirastack").expect("it is built");
    let mut command = program::alone(&program, home.path());
    command.envs(key.map(|key| ("MIRASTACK_ROOT_KEY", key)));
    command.args(verb);
    command.arg(format!("--nats={}", servers.nats.nats(user)));
    command.arg(format!("--registry=http://{}", servers.registry.address()));
    command.arg(format!("--valkey={}", servers.memory.valkey(user)));
    let mut command = tokio::process::Command::from(command);
    let output = timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    output.expect("it ends by itself").expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn servers_with_the_settings_of_the_project_are_safe_for_each_role() {
    let servers = Servers::start(Which::Kine).await;
    let made = options(&servers, Role::Scheduler, "scheduler");
    Box::pin(open(&made)).await.expect("it makes the streams");
    for role in ["gateway", "scheduler", "worker"] {
        let output = said(&servers, &["check"], role).await;
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{role}: {out}{error}");
        let good = out.lines().filter(|line| line.starts_with("good ")).count();
        assert!(good >= 25 && !out.contains("UNSAFE"), "{role}: {out}");
        assert!(!out.contains("weak "), "{role}: {out}");
        assert!(!out.contains("the-password-of"), "{role}: {out}");
        // Without the key of the installation only a scheduler can start.
        let output = says(&servers, &["check"], role, None).await;
        let out = text(&output.stdout);
        let is_missed = out.contains("UNSAFE  root_key ") && !output.status.success();
        assert_eq!(is_missed, role != "scheduler", "{role}: {out}");
    }
}

#[tokio::test]
async fn what_is_unsafe_at_a_server_is_found_by_its_name() {
    let mut servers = Servers::start(Which::Etcd).await;
    assert_eq!(as_scheduler(&servers).await, only([]));
    // Somebody who may do everything is no worker.
    let too_much = found(&options(&servers, Role::Worker, "admin")).await;
    assert_eq!(too_much, only(["nats.rights"]));
    for (changes, unsafe_ones) in [
        (vec![("sync_interval: always", "")], only(["nats.sync"])),
        (
            vec![(r#"include "rights.conf""#, "")],
            only(["nats.auth", "nats.rights", "nats.settings"]),
        ),
        (
            vec![(
                r#""$JS.API.STREAM.INFO.*", "$JS.API.STREAM.PURGE.*""#,
                r#""$JS.API.STREAM.PURGE.*""#,
            )],
            only(["nats.streams"]),
        ),
        (
            vec![("max_payload: 1MB", "max_payload: 64KB")],
            only(["nats.payload"]),
        ),
    ] {
        servers.nats = Shared::changed(Which::Nats, &changes).await.expect("NATS");
        assert_eq!(as_scheduler(&servers).await, unsafe_ones, "{changes:?}");
    }
    let small = [(
        "sync_interval: always",
        "sync_interval: always, max_memory_store: 1MB",
    )];
    servers.nats = Shared::changed(Which::Nats, &small).await.expect("NATS");
    let weak = (BTreeSet::new(), BTreeSet::from(["nats.memory"]));
    assert_eq!(as_scheduler(&servers).await, weak);

    servers.nats = Shared::start(Which::Nats).await.expect("NATS");
    for (change, unsafe_ones) in [
        (("noeviction", "allkeys-lru"), only(["valkey.policy"])),
        (("maxmemory 256mb", ""), only(["valkey.limit"])),
        (
            ("appendonly yes", "replicaof 127.0.0.1 1"),
            only(["valkey.role"]),
        ),
        (
            ("appendonly yes", "cluster-enabled yes"),
            only(["valkey.mode"]),
        ),
    ] {
        servers.memory = Shared::changed(Which::Valkey, &[change])
            .await
            .expect("Valkey");
        assert_eq!(as_scheduler(&servers).await, unsafe_ones, "{change:?}");
    }
    servers.memory = Shared::changed(Which::Valkey, &[("aclfile users.acl", "")])
        .await
        .expect("Valkey");
    let mut nobody = options(&servers, Role::Scheduler, "scheduler");
    nobody.memory.url = format!("redis://{}", servers.memory.address());
    assert_eq!(found(&nobody).await, only(["valkey.auth"]));
}

#[tokio::test]
async fn what_does_not_answer_and_what_was_set_otherwise_is_found() {
    let mut servers = Servers::start(Which::Kine).await;
    let options = options(&servers, Role::Scheduler, "scheduler");
    Box::pin(open(&options))
        .await
        .expect("it makes the streams");
    let admin = jetstream::new(connect(&servers, "admin").await);
    let mut blobs = admin
        .get_stream("MIRASTACK_BLOBS")
        .await
        .expect("it is there");
    let is = blobs.info().await.expect("it tells").config.clone();
    let changed = stream::Config {
        max_age: std::time::Duration::from_secs(3_600),
        ..is
    };
    admin
        .update_stream(&changed)
        .await
        .expect("it may do everything");
    assert_eq!(found(&options).await, only(["nats.streams"]));

    servers.registry.process().kill().expect("it ran");
    servers.memory.process().kill().expect("it ran");
    let away = only(["nats.streams", "registry.reachable", "valkey.reachable"]);
    assert_eq!(found(&options).await, away);
    let wrong = Options {
        broker: store::cluster::broker::Options {
            servers: vec![format!("nats://gateway:wrong@{}", servers.nats.address())],
            ..options.broker.clone()
        },
        ..options
    };
    let away = only(["nats.reachable", "registry.reachable", "valkey.reachable"]);
    assert_eq!(found(&wrong).await, away);
}

#[tokio::test]
async fn a_role_does_not_start_on_unsafe_servers_and_says_what_to_mend() {
    let mut servers = Servers::start(Which::Kine).await;
    let lazy = [("sync_interval: always", "")];
    servers.nats = Shared::changed(Which::Nats, &lazy).await.expect("NATS");
    for role in ["gateway", "scheduler", "worker"] {
        let output = said(&servers, &[role], role).await;
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{role}: {error}");
        assert!(error.contains("nothing was started"), "{role}: {error}");
        let mend = "nats.sync: mirastack answers before its disk has it: set jetstream { sync_interval: always }";
        assert!(error.contains(mend), "{role}: {error}");
        assert_eq!(text(&output.stdout), "", "{role}");
        let output = said(&servers, &["check"], role).await;
        assert_eq!(output.status.code(), Some(1), "{role}");
        let out = text(&output.stdout);
        assert!(out.contains("\nUNSAFE  nats.sync "), "{role}: {out}");
    }
}
