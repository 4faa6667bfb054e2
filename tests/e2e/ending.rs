//! How the product ends, in good order and not, and what it finds again.

use anyhow::{Context as _, Result, ensure};
use mirastack_tests::api::Api;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::person;
use mirastack_tests::process::{Process, Stream};
use mirastack_tests::program;
use mirastack_tests::wait::until;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

/// A READ of which the result is saved, and one that takes `steps` times 100 ms.
const WORK: &str = r#"workflow: work
inputs:
  steps: { type: integer }
steps:
  - id: first
    uses: demo/read
    with: { key: before }
  - id: slow
    uses: demo/slow
    with: { steps: "${{ inputs.steps }}", step_ms: 100 }
outputs:
  steps: "${{ steps.slow.output.steps }}"
"#;

async fn started() -> (Mirastack, Api) {
    let server = Mirastack::start(Setup::default()).await;
    let server = server.expect("it starts on a fresh folder");
    let api = server.api().await.expect("the key is good");
    let saved = api.put_yaml("/api/v1/workflows/work", WORK).await;
    saved.and_then(|a| a.ok()).expect("it is valid");
    (server, api)
}

/// Starts the work and waits until its second step is with the agent.
async fn in_flight(api: &Api, steps: u32) -> String {
    let run = person::starts(api, "work", &json!({ "steps": steps })).await;
    let run = run.expect("it is accepted");
    let running = until("the slow step to run", async || {
        let slow = step(api, &run, "slow").await?;
        ensure!(slow["status"] == "running", "{slow}");
        Ok(())
    });
    running.await.expect("it begins");
    run
}

async fn step(api: &Api, run: &str, id: &str) -> Result<Value> {
    let steps = api.get(&format!("/api/v1/runs/{run}/steps")).await?.ok()?;
    let mut steps = steps["items"].as_array().into_iter().flatten();
    let found = steps.find(|step| step["id"] == id);
    found.cloned().context("no such step")
}

fn tries(step: &Value) -> usize {
    step["attempts"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn sigterm_lets_a_short_read_finish_and_hands_a_long_one_back() {
    let (mut server, api) = started().await;
    let long = in_flight(&api, 150).await;
    let short = in_flight(&api, 50).await;
    let ended = server.process().terminate().await.expect("it ends");
    assert!(ended.success(), "{ended}");
    server
        .start_again()
        .await
        .expect("it starts on what it left");

    let api = server.api().await.expect("the key is still good");
    for (run, steps) in [(&long, 150), (&short, 50)] {
        let ended = person::ended(&api, run).await.expect("it ends");
        assert_eq!(ended["status"], "succeeded", "{ended}");
        assert_eq!(ended["outputs"]["steps"], steps, "{ended}");
        let first = step(&api, run, "first").await.expect("it is there");
        assert_eq!(tries(&first), 1, "its result was saved: {first}");
    }
    let finished = step(&api, &short, "slow").await.expect("it is there");
    assert_eq!(tries(&finished), 1, "5 s are waited for: {finished}");
    let back = step(&api, &long, "slow").await.expect("it is there");
    assert!(tries(&back) >= 2, "15 s are not: {back}");
    let output = |name: &str| back["output"][name].as_u64().unwrap_or_default();
    assert_eq!(output("resumed_at") + output("done_here"), 150, "{back}");
}

/// The processes that this one has started.
fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("Linux has it");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(|id: &u32| {
        // Processes come and go while we look.
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        parent.is_some_and(|parent| parent.trim() == pid.to_string())
    })
    .collect()
}

fn lives(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.contains("mirastack-agent") || status.contains("Name:\tmirastack")
}

#[tokio::test]
async fn agents_die_with_the_process_that_started_them() {
    let (mut server, api) = started().await;
    in_flight(&api, 600).await;
    let pid = u32::try_from(server.process().pid().as_raw_nonzero().get()).expect("it is positive");
    let agents = children(pid);
    assert!(!agents.is_empty() && agents.iter().all(|pid| lives(*pid)));
    server.process().kill().expect("it ran");
    let gone = until("the end of the agents", async || {
        let left: Vec<_> = agents.iter().filter(|pid| lives(**pid)).collect();
        ensure!(left.is_empty(), "{left:?} live on");
        Ok(())
    });
    gone.await.expect("nothing is left behind");
}

/// An agent that hangs when it is asked what it can do, and its child.
const HANGS: &str = "#!/bin/sh\nsleep 3600 &\necho $! > \"$(dirname \"$0\")/child\"\nwait\n";

#[tokio::test]
async fn a_start_that_hangs_ends_when_it_is_told_to_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let plugin = folder.path().join("plugins/hangs");
    fs::create_dir_all(&plugin).expect("it is ours");
    let program = plugin.join("hangs");
    fs::write(&program, HANGS).expect("it is ours");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");

    let built = program::built("mirastack").expect("it was built");
    let mut command = program::alone(&built, folder.path());
    command.args(["dev", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    command.arg("--data").arg(folder.path().join("data"));
    command.arg("--plugins").arg(folder.path().join("plugins"));
    let mut server = Process::spawn("mirastack", command, folder.path()).expect("it was built");
    let child = server.until("the child of the agent", async || {
        let written = fs::read_to_string(plugin.join("child"))?;
        Ok(written.trim().parse::<u32>()?)
    });
    let child = child.await.expect("the agent is asked");
    let ended = server.terminate().await.expect("it ends");
    assert!(ended.success(), "{ended}");
    let said = server.output(Stream::Stdout).expect("its output");
    assert_eq!(said, "", "it was told to end before it was ready");
    gone(&[child]).await;
}

#[tokio::test]
async fn a_demo_that_is_told_to_end_leaves_no_server_behind() {
    for signal in [Signal::TERM, Signal::HUP] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let built = program::built("demo").expect("it was built");
        let mut command = program::alone(&built, folder.path());
        // Where cargo says that it is when it runs the demo.
        command.env("CARGO_MANIFEST_DIR", env!("CARGO_MANIFEST_DIR"));
        command.arg("--yes").env("DEMO_HOLD", "1");
        let mut demo = Process::spawn("demo", command, folder.path()).expect("it was built");
        let up = |line: &str| line.contains("silence-noisy-alert.mira.yaml").then_some(());
        let up = demo.line(Stream::Stdout, "the servers to be up", up);
        up.await.expect("it starts them");
        let pid = u32::try_from(demo.pid().as_raw_nonzero().get()).expect("it is positive");
        let servers = children(pid);
        assert!(servers.len() >= 3, "{servers:?}");
        demo.signal(signal).expect("it runs");
        demo.ended().await.expect("it ends");
        gone(&servers).await;
    }
}

/// Waits until none of these processes is there any more.
async fn gone(pids: &[u32]) {
    let gone = until("their end", async || {
        let there = |pid: &&u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status"));
            status.is_ok_and(|status| !status.contains("State:\tZ"))
        };
        let left: Vec<_> = pids.iter().filter(there).collect();
        ensure!(left.is_empty(), "{left:?} live on");
        Ok(())
    });
    gone.await.expect("nothing is left behind");
}
