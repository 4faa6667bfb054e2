//! Where settings come from, and what is said about those that are wrong.

use anyhow::Result;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::program;
use mirastack_tests::story::root;
use mirastack_tests::wait::PATIENCE;
use serde_json::json;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Output;
use tempfile::TempDir;
use tokio::process::Command;

/// A folder with a configuration in it.
struct Desk(TempDir);

impl Desk {
    fn new(text: &str) -> Self {
        let desk = Self(tempfile::tempdir().expect("a folder"));
        fs::write(desk.file(), text).expect("writable");
        desk
    }

    fn file(&self) -> String {
        self.0.path().join("mirastack.yaml").display().to_string()
    }

    async fn config(&self, args: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
        let mut command = program::alone(&program::built("mirastack")?, self.0.path());
        command
            .arg("config")
            .args(args)
            .envs(environment.iter().copied());
        Ok(Command::from(command).output().await?)
    }

    async fn shows(&self, args: &[&str], environment: &[(&str, &str)]) -> String {
        let output = self.config(args, environment).await.expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        String::from_utf8(output.stdout).expect("text")
    }

    async fn refuses(&self) -> String {
        let output = self
            .config(&["--config", &self.file()], &[])
            .await
            .expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// The line of a setting: its value, and where it comes from.
fn line(shown: &str, key: &str) -> (String, String) {
    let found = shown.lines().find_map(|line| {
        let (value, source) = line
            .strip_prefix(key)?
            .strip_prefix(": ")?
            .split_once("# ")?;
        Some((value.trim().to_owned(), source.to_owned()))
    });
    found.unwrap_or_else(|| panic!("no {key} in\n{shown}"))
}

#[tokio::test]
async fn the_command_line_comes_before_the_environment_before_the_file_before_the_default() {
    let desk = Desk::new("http: 127.0.0.1:1\ngrpc: 127.0.0.1:2\nkeep: 5d\nlog: debug\n");
    let args = ["--config", &desk.file(), "--http", "127.0.0.1:3"];
    let environment = [
        ("MIRASTACK_HTTP", "127.0.0.1:4"),
        ("MIRASTACK_GRPC", "127.0.0.1:5"),
    ];
    let shown = desk.shows(&args, &environment).await;
    let is = |key: &str, value: &str, source: String| {
        assert_eq!(line(&shown, key), (value.to_owned(), source), "{shown}");
    };
    is("http", "\"127.0.0.1:3\"", "flag --http".to_owned());
    is(
        "grpc",
        "\"127.0.0.1:5\"",
        "environment MIRASTACK_GRPC".to_owned(),
    );
    is("keep", "\"5d\"", format!("file {}:3:7", desk.file()));
    is("keep_runs", "\"1000000\"", "default".to_owned());
    is("log", "\"debug\"", format!("file {}:4:6", desk.file()));
}

#[tokio::test]
async fn what_is_printed_is_a_file_that_means_the_same() {
    let desk = Desk::new(
        "tls: { cert: /a.pem, key: /b.pem }\nagent_networks: [10.0.0.0/8, 192.0.2.0/24]\n",
    );
    let first = desk.shows(&["--config", &desk.file()], &[]).await;
    fs::write(desk.file(), &first).expect("writable");
    let second = desk.shows(&["--config", &desk.file()], &[]).await;
    for key in ["  cert", "  key", "agent_networks", "http", "plugins"] {
        assert_eq!(
            line(&first, key).0,
            line(&second, key).0,
            "{first}\n{second}"
        );
    }
    assert_eq!(
        line(&second, "agent_networks").0,
        "[\"10.0.0.0/8\", \"192.0.2.0/24\"]"
    );
}

#[tokio::test]
async fn what_is_wrong_in_a_file_is_told_with_its_place_and_the_nearest_name() {
    let desk = Desk::new(
        "htpp: 127.0.0.1:1\ngrpc: nowhere\ntls:\n  crt: /a.pem\nkeep: [1d, 2d]\nhttp: 127.0.0.1:1\nhttp: 127.0.0.1:2\n",
    );
    let told = desk.refuses().await;
    assert!(told.contains(":7:1: "), "a key twice: {told}");
    let desk = Desk::new("htpp: 127.0.0.1:1\ngrpc: nowhere\ntls:\n  crt: /a.pem\nkeep: [1d, 2d]\n");
    let told = desk.refuses().await;
    for (place, what) in [
        (":1:1: ", "there is no setting `htpp`; did you mean `http`?"),
        (":2:7: ", "grpc: it must be IP:PORT"),
        (
            ":4:3: ",
            "there is no setting `tls.crt`; did you mean `tls.cert`?",
        ),
        (":5:7: ", "keep: "),
    ] {
        let found = told
            .lines()
            .any(|line| line.contains(place) && line.contains(what));
        assert!(found, "{place}{what} in\n{told}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let desk = Desk::new("");
    for path in [desk.0.path().join("missing.yaml"), desk.0.path().to_owned()] {
        let path = path.display().to_string();
        let output = desk
            .config(&["--config", &path], &[])
            .await
            .expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(&path), "{told}");
    }
}

#[tokio::test]
async fn the_root_key_is_never_shown() {
    let desk = Desk::new("");
    let key = "5f".repeat(32);
    let shown = desk.shows(&[], &[("MIRASTACK_ROOT_KEY", &key)]).await;
    assert!(
        !shown.contains(&key) && shown.contains("environment MIRASTACK_ROOT_KEY (hidden)"),
        "{shown}"
    );
}

#[tokio::test]
async fn what_would_stop_the_start_is_said_beside_the_settings() {
    let desk = Desk::new("");
    let plain = desk.shows(&[], &[]).await;
    assert!(!plain.contains("this stops the start"), "{plain}");
    let shown = desk.shows(&["--http", "0.0.0.0:8443"], &[]).await;
    let told = "# this stops the start: http.tls: 0.0.0.0:8443: others than this machine reach it";
    assert!(shown.contains(told), "{shown}");
    let allowed = ["--http", "0.0.0.0:8443", "--allow-unsafe"];
    let shown = desk.shows(&allowed, &[]).await;
    assert!(
        shown.contains("# unsafe, and allowed: http.tls: 0.0.0.0:8443"),
        "{shown}"
    );
    let shown = desk.shows(&["--tls-cert", "cert.pem"], &[]).await;
    let told = "# this stops the start: TLS needs both a certificate and its key";
    assert!(shown.contains(told), "{shown}");
    let key = format!("{}\n", "5f".repeat(32));
    let data = desk.0.path().display().to_string();
    fs::write(desk.0.path().join("root.key"), key).expect("writable");
    let shown = desk.shows(&["--data", &data], &[]).await;
    assert!(shown.contains("/root.key: it is a pattern"), "{shown}");
}

#[tokio::test]
async fn addresses_are_shown_as_others_reach_them() {
    let setup = Setup::default().env("MIRASTACK_PUBLIC_URL", "https://mirastack.example/");
    let server = Mirastack::start(setup).await.expect("it starts");
    let api = server.api().await.expect("the first key works");
    let inputs = json!({ "inputs": { "value": "world" } });
    let started = api.post("/api/v1/workflows/hello/runs", &inputs).await;
    let started = started.expect("it answers").with_status(202);
    let run = started.expect("it is accepted");
    let id = run["id"].as_str().expect("an id");
    let url = format!("https://mirastack.example/api/v1/runs/{id}");
    assert_eq!(run["url"], url);
    let desk = Desk::new("public_url: mirastack.example\n");
    let told = desk.refuses().await;
    assert!(
        told.contains("public_url: it must be http://HOST or https://HOST"),
        "{told}"
    );
}

#[tokio::test]
async fn the_documented_file_names_every_setting_with_its_default() {
    let example = root()
        .expect("cargo runs the tests")
        .join("docs/mirastack.yaml");
    let text = fs::read_to_string(&example).expect("it is in the checkout");
    let desk = Desk::new(&text);
    let plain = desk.shows(&[], &[]).await;
    let documented = desk.shows(&["--config", &desk.file()], &[]).await;
    let values = |shown: &str| -> Vec<String> {
        let lines = shown
            .lines()
            .map(|line| line.split("# ").next().unwrap_or_default());
        lines.map(|line| line.trim_end().to_owned()).collect()
    };
    assert_eq!(values(&plain), values(&documented));
    for line in plain
        .lines()
        .filter(|line| line.contains(": ") && !line.trim_start().starts_with('#'))
    {
        let key = line.split(':').next().unwrap_or_default().trim();
        assert!(
            text.contains(&format!("{key}:")),
            "{key} is not in docs/mirastack.yaml"
        );
    }
}

/// Files that are none, and what is said about them.
fn broken() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let many: String = (0..20_000).map(|n| format!("k{n}: 1\n")).collect();
    let utf16 = "keep: 5d\n".encode_utf16().flat_map(u16::to_le_bytes);
    vec![
        ("malformed", b"http: [".to_vec(), "not YAML"),
        ("oversized", vec![b'#'; 1024 * 1024 + 1], "is longer than"),
        ("nested", vec![b'['; 100_000], "nested more than 64 deep"),
        (
            "wrong types",
            b"http: {a: 1}\nkeep: [[1]]\n".to_vec(),
            "a mapping cannot stand here",
        ),
        (
            "unknown names",
            many.into_bytes(),
            "there is no setting `k99`",
        ),
        ("no UTF-8", b"http: \xff\xfe".to_vec(), "valid UTF-8"),
        (
            "UTF-16",
            [0xff, 0xfe].into_iter().chain(utf16).collect(),
            "valid UTF-8",
        ),
        ("zeros", vec![0; 1_000], "not YAML"),
        (
            "duplicate keys",
            b"keep: 1d\nkeep: 2d\n".to_vec(),
            "written twice",
        ),
        (
            "an alias",
            b"http: &a x\ngrpc: *a\n".to_vec(),
            "aliases are not supported",
        ),
        (
            "a tag",
            b"http: !!str x\n".to_vec(),
            "tags are not supported",
        ),
        (
            "two documents",
            b"keep: 1d\n---\nkeep: 1d\n".to_vec(),
            "one document",
        ),
        (
            "a number that is too large",
            b"keep_runs: 99999999999999999999999\n".to_vec(),
            "too large",
        ),
    ]
}

#[tokio::test]
async fn no_file_that_is_broken_in_any_way_is_taken_or_does_harm() {
    for (name, bytes, says) in broken() {
        let desk = Desk::new("");
        fs::write(desk.file(), bytes).expect("writable");
        let file = desk.file();
        let args = ["--config", file.as_str()];
        let output = tokio::time::timeout(PATIENCE, desk.config(&args, &[])).await;
        let output = output.expect("it is told in time").expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            matches!(output.status.code(), Some(1 | 2)),
            "{name}: {told}"
        );
        assert!(told.contains(says), "{name}: {told}");
        assert!(told.len() < 64 * 1024 && output.stdout.is_empty(), "{name}");
    }
}

#[tokio::test]
async fn no_command_line_that_is_broken_in_any_way_is_taken_or_does_harm() {
    let long = "x".repeat(100_000);
    let lines: [(&str, &[&str]); 12] = [
        ("no command", &["nothing"]),
        ("one that comes later", &["export"]),
        ("an unknown name", &["dev", "--nothing"]),
        ("a word too many", &["dev", "extra"]),
        ("a wrong type", &["dev", "--http", "x"]),
        ("a wrong word", &["dev", "--log-format", "xml"]),
        ("nothing for a time", &["dev", "--keep", ""]),
        ("oversized", &["dev", "--keep", &long]),
        ("a number below", &["dev", "--keep-runs=-1"]),
        ("the same twice", &["dev", "--keep", "1d", "--keep", "2d"]),
        ("what is needed is missing", &["restore"]),
        ("before the command", &["--data", "x"]),
    ];
    for (name, line) in lines {
        let output = mirastack(line.iter().map(OsStr::new)).await;
        refused(name, &output);
    }
    for line in [&[&b"\xff"[..]][..], &[b"dev", b"--http", b"\xff\xfe"]] {
        let line = line.iter().map(|word| OsStr::from_bytes(word));
        refused("no UTF-8", &mirastack(line).await);
    }
}

async fn mirastack(args: impl Iterator<Item = &OsStr>) -> Output {
    let home = tempfile::tempdir().expect("a folder");
    let mut command = program::alone(&program::built("mirastack").expect("built"), home.path());
    command.args(args);
    let output = tokio::time::timeout(PATIENCE, Command::from(command).output()).await;
    output.expect("it ends by itself").expect("it runs")
}

fn refused(name: &str, output: &Output) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{name}: {told}");
    assert!(
        output.stdout.is_empty() && !told.contains("panicked"),
        "{name}: {told}"
    );
}
