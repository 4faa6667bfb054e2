//! Guards of processes.

use anyhow::Result;
use mirastack_tests::process::{Process, Stream};
use mirastack_tests::wait::until;
use rustix::process::{Signal, test_kill_process};
use std::process::Command;
use tempfile::TempDir;

fn shell(script: &str, folder: &TempDir) -> Result<Process> {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::spawn("shell", command, folder.path())
}

#[tokio::test]
async fn a_process_does_not_outlive_its_guard() {
    let folder = tempfile::tempdir().expect("a folder");
    let process = shell("exec sleep 1000", &folder).expect("it starts");
    let pid = process.pid();
    test_kill_process(pid).expect("it runs");
    drop(process);
    test_kill_process(pid).expect_err("it is gone and was waited for");
}

#[tokio::test]
async fn a_line_is_found_when_it_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "printf 'port=12'; read forever < fifo; echo 34; exec sleep 1000";
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder.path());
    assert!(
        Command::new("mkfifo")
            .arg(folder.path().join("fifo"))
            .status()
            .expect("it runs")
            .success()
    );
    let mut process = Process::spawn("shell", command, folder.path()).expect("it starts");
    let half = process.until("half a line", async || half(&folder));
    assert_eq!(half.await.expect("it is written at once"), "port=12");
    let picked = process.line(Stream::Stdout, "the port", |line| {
        line.strip_prefix("port=").map(str::to_owned)
    });
    // The first looks at half a line, then the second lets the rest be written.
    let (port, written) = tokio::join!(picked, async {
        std::fs::write(folder.path().join("fifo"), "go\n")
    });
    written.expect("the script reads");
    assert_eq!(port.expect("the line comes"), "1234");
}

fn half(folder: &TempDir) -> Result<String> {
    let text = std::fs::read_to_string(folder.path().join("shell.out"))?;
    anyhow::ensure!(!text.is_empty(), "nothing yet");
    Ok(text)
}

#[tokio::test]
async fn who_ends_before_the_fact_is_named_with_what_it_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut process = shell("echo no such port >&2; exit 7", &folder).expect("it starts");
    let error = process
        .line(Stream::Stdout, "the port", |_| Some(()))
        .await
        .expect_err("there is none");
    let error = format!("{error:#}");
    assert!(error.contains("it ended before, exit status: 7"), "{error}");
    assert!(error.contains("no such port"), "{error}");
    assert!(error.contains("waiting for the port"), "{error}");
}

#[tokio::test]
async fn signals_reach_the_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "trap 'echo told; exit 3' TERM; echo armed; while :; do sleep 0.01; done";
    let mut process = shell(script, &folder).expect("it starts");
    process
        .line(Stream::Stdout, "the trap", |line| {
            (line == "armed").then_some(())
        })
        .await
        .expect("it is set");

    process.signal(Signal::STOP).expect("it runs");
    until("it stands still", async || {
        let state =
            std::fs::read_to_string(format!("/proc/{}/stat", process.pid().as_raw_nonzero()))?;
        anyhow::ensure!(state.contains(") T "), "{state}");
        Ok(())
    })
    .await
    .expect("the kernel stops it");
    process.signal(Signal::CONT).expect("it is stopped");

    let status = process.terminate().await.expect("it ends");
    assert_eq!(status.code(), Some(3));
    assert!(
        process
            .output(Stream::Stdout)
            .expect("it has said so")
            .contains("told")
    );
    process.signal(Signal::TERM).expect_err("it has ended");
}

#[tokio::test]
async fn a_second_start_does_not_find_the_lines_of_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = shell("echo ready first; exec sleep 1000", &folder).expect("it starts");
    let who = |line: &str| line.strip_prefix("ready ").map(str::to_owned);
    assert_eq!(
        first
            .line(Stream::Stdout, "the line", who)
            .await
            .expect("it comes"),
        "first"
    );
    first.kill().expect("it dies");
    let mut second = shell("echo ready second; exec sleep 1000", &folder).expect("it starts");
    assert_eq!(
        second
            .line(Stream::Stdout, "the line", who)
            .await
            .expect("it comes"),
        "second"
    );
}
