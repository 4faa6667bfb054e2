//! What systemd is told, and the units that say so.

use std::collections::BTreeSet;
use std::fs;

use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::program;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::UnixDatagram;
use tokio::process::Command;
use tokio::time::{Duration, timeout};

/// Something is told within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// A sign of life is due so often, in microseconds.
const EVERY: &str = "300000";

async fn heard(socket: &UnixDatagram) -> String {
    let mut message = [0; 100];
    let told = timeout(PATIENCE, socket.recv(&mut message)).await;
    let length = told.expect("something is told").expect("it is bound");
    String::from_utf8_lossy(&message[..length])
        .trim()
        .to_owned()
}

#[tokio::test]
async fn systemd_is_told_that_we_are_ready_that_we_live_and_that_we_end() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    let setup = Setup::default()
        .env("NOTIFY_SOCKET", path.to_str().expect("text"))
        .env("WATCHDOG_USEC", EVERY);
    let mut mirastack = Mirastack::start(setup).await.expect("it starts");
    let mut ready = false;
    let mut lives = 0;
    while !ready || lives < 3 {
        assert!(lives < 100, "it lives, and is not ready");
        match heard(&socket).await.as_str() {
            "READY=1" => ready = true,
            "WATCHDOG=1" => lives += 1,
            other => panic!("{other}"),
        }
    }
    let asked = mirastack.process().signal(Signal::TERM);
    asked.expect("it runs");
    while heard(&socket).await != "STOPPING=1" {}
    mirastack.process().ended().await.expect("it ends");
}

#[tokio::test]
async fn the_root_key_may_be_handed_over_by_systemd() {
    let folder = TempDir::new().expect("a folder");
    let key = "8f5ca3b2d1e04796a3c5f7e9b1d3c5a79b8d6f4e2c0a1b3d5f7e9c8b6a4d2e10";
    fs::write(folder.path().join("root.key"), key).expect("a file");
    let setup = Setup::default().env(
        "CREDENTIALS_DIRECTORY",
        folder.path().to_str().expect("text"),
    );
    let mirastack = Mirastack::start(setup).await.expect("it starts");
    assert!(mirastack.data().join("bootstrap.json").exists());
    let made = mirastack.data().join("root.key");
    assert!(!made.exists(), "no other key is made");
}

/// The units name verbs and flags that there are.
#[tokio::test]
async fn units_start_what_there_is() {
    let units = fs::read_dir(program::of_project("deploy/systemd")).expect("they are there");
    let mut verbs = BTreeSet::new();
    for unit in units {
        let text = fs::read_to_string(unit.expect("a file").path()).expect("text");
        let start = text
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        let mut words = start.expect("it starts something").split_whitespace();
        assert_eq!(words.next(), Some("/usr/bin/mirastack"));
        let verb = words.next().expect("a role");
        let mut help = Command::new(program::built("mirastack").expect("it is built"));
        let help = help.args([verb, "--help"]).output().await.expect("it runs");
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        for flag in words.filter(|word| word.starts_with("--")) {
            assert!(help.contains(&format!("{flag} <")), "{verb} {flag}");
        }
        assert!(
            text.contains("\nType=notify\n") && text.contains("\nWatchdogSec="),
            "{verb}"
        );
        verbs.insert(verb.to_owned());
    }
    assert_eq!(
        verbs,
        ["gateway", "scheduler", "worker"].map(str::to_owned).into()
    );
}
