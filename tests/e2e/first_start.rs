//! What somebody meets who starts the product for the first time.

use anyhow::{Context as _, Result};
use http::StatusCode;
use mirastack_tests::miractl::Miractl;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::person;
use mirastack_tests::process::{Process, Stream};
use mirastack_tests::program;
use mirastack_tests::story::{apply, root};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

async fn started() -> Mirastack {
    Mirastack::start(Setup::default())
        .await
        .expect("it starts on a fresh folder")
}

#[tokio::test]
async fn a_fresh_folder_gets_a_private_key_a_context_and_a_first_workflow() {
    let server = started().await;
    let bootstrap = server.data().join("bootstrap.json");
    let metadata = std::fs::metadata(&bootstrap).expect("it is written before the ready line");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let text = std::fs::read(&bootstrap).expect("it is ours");
    let key: Value = serde_json::from_slice(&text).expect("it is JSON");
    assert_eq!(key["http"], server.url());
    assert_eq!(key["grpc"], server.grpc().to_string());

    let miractl = server.miractl().expect("it was built");
    let who = miractl.run(&["whoami", "-o", "json"]).await;
    let who = who.and_then(|said| said.json()).expect("it needs no login");
    assert_eq!(who["roles"], json!(["admin"]), "{who}");
    let names = miractl.run(&["workflow", "list", "-o", "name"]).await;
    let names = names.expect("it runs");
    assert!(names.ok().expect("it answers").contains("hello"));
}

#[tokio::test]
async fn the_next_commands_of_the_readme_do_what_it_says() {
    let server = started().await;
    let miractl = server.miractl().expect("it was built");
    let commands = next_commands().expect("the README has them");
    let [agents, run, list, approve, get] = commands.each_ref().map(Vec::as_slice);

    let said = say(&miractl, agents).await;
    for agent in ["demo", "metrics", "alertmanager"] {
        let shown = said.0 == 0 && said.1.contains(agent);
        assert!(shown, "{agent} is not listed: {said:?}");
    }
    let (code, _) = say(&miractl, run).await;
    assert_eq!(code, 8, "the run stops for an approval");
    let (code, said) = say(&miractl, list).await;
    assert!(code == 0 && said.contains("demo/change"), "{said}");
    let approved = person::agrees(&miractl, approve).await;
    let approved = approved.expect("a person is asked and agrees");
    assert!(approved.contains("demo/change"), "the card: {approved}");

    let api = server.api().await.expect("the key is good");
    let runs = api.get("/api/v1/runs?limit=1").await.expect("it answers");
    let runs = runs.ok().expect("they may be read");
    let id = runs["items"][0]["id"].as_str().expect("a run has an id");
    let run = person::ended(&api, id).await.expect("the run ends");
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(run["outputs"]["after"], "world");
    let (code, said) = say(&miractl, get).await;
    assert!(code == 0 && said.contains("succeeded"), "{said}");
}

async fn say(miractl: &Miractl, args: &[String]) -> (i32, String) {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = miractl.run(&args).await.expect("it runs to its end");
    (said.code, said.stdout + &said.stderr)
}

/// The arguments of the five commands that the README gives for the other terminal.
fn next_commands() -> Result<[Vec<String>; 5]> {
    let readme = std::fs::read_to_string(root()?.join("README.md"))?;
    let after = readme.split_once("In another terminal:");
    let (_, block) = after
        .and_then(|(_, after)| after.split_once("```sh\n"))
        .context("no commands for the other terminal")?;
    let (block, _) = block.split_once("```").context("the block has no end")?;
    let words = |line: &str| {
        let args = line.strip_prefix("target/release/miractl ")?;
        Some(args.split(' ').map(str::to_owned).collect())
    };
    let commands: Option<Vec<Vec<String>>> = block.lines().map(words).collect();
    let commands = commands.context("each line calls target/release/miractl")?;
    let wrong = |commands: Vec<_>| anyhow::anyhow!("five commands, not {}", commands.len());
    commands.try_into().map_err(wrong)
}

#[tokio::test]
async fn every_example_is_valid_with_the_shipped_agents() {
    let server = started().await;
    let miractl = server.miractl().expect("it was built");
    let examples = root().expect("cargo runs the tests").join("examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(examples).expect("it is in the checkout") {
        let path = entry.expect("it can be read").path();
        let file = path.to_str().expect("names are UTF-8");
        let args = ["workflow", "validate", "-f", file];
        let said = miractl.run(&args).await.expect("it runs");
        assert_eq!(said.code, 0, "{file}: {}{}", said.stdout, said.stderr);
        seen += 1;
    }
    assert!(seen >= 4, "only {seen} examples");
}

#[tokio::test]
async fn the_examples_that_need_no_other_server_run() {
    let server = started().await;
    let miractl = server.miractl().expect("it was built");
    let api = server.api().await.expect("the key is good");
    apply(&miractl, "change-with-consent.mira.yaml")
        .await
        .expect("it is valid");
    apply(&miractl, "read-many.mira.yaml")
        .await
        .expect("it is valid");

    let many = person::starts(&api, "read-many", &json!({})).await;
    let many = person::ended(&api, &many.expect("it is accepted")).await;
    let many = many.expect("it ends by itself");
    assert_eq!(many["status"], "succeeded", "{many}");
    assert_eq!(many["outputs"]["read"], 7);

    let inputs = json!({ "value": "green" });
    let change = person::starts(&api, "change-with-consent", &inputs).await;
    let change = change.expect("it is accepted");
    person::approves(&api, &change).await.expect("it asks");
    let change = person::ended(&api, &change).await.expect("it ends");
    assert_eq!(change["status"], "succeeded", "{change}");
    assert_eq!(change["outputs"]["value"], "green");
}

#[tokio::test]
async fn a_run_that_waits_for_consent_outlives_the_process() {
    let mut server = started().await;
    let api = server.api().await.expect("the key is good");
    let inputs = json!({ "value": "later" });
    let id = person::starts(&api, "hello", &inputs).await;
    let id = id.expect("it is accepted");
    person::asked(&api, &id)
        .await
        .expect("it stops for consent");
    server.process().kill().expect("it ran");
    server
        .start_again()
        .await
        .expect("it starts on what it left");

    let api = server.api().await.expect("the key is still good");
    person::approves(&api, &id).await.expect("it still asks");
    let run = person::ended(&api, &id).await.expect("it ends");
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(run["outputs"]["after"], "later");
}

#[tokio::test]
async fn nobody_is_let_in_without_a_token() {
    let server = started().await;
    let nobody = mirastack_tests::api::Api::nobody(&server.url());
    for path in ["/api/v1/runs", "/api/v1/workflows/hello", "/api/v1/whoami"] {
        let answer = nobody.get(path).await.expect("it answers");
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

/// Starts the product so that it cannot start, and answers what it says.
async fn refused(args: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let program = program::built("mirastack").expect("it was built");
    let mut command = program::alone(&program, folder.path());
    command.arg("dev").args(args);
    if !args.contains(&"--data") {
        command.arg("--data").arg(folder.path().join("data"));
    }
    let mut process = Process::spawn("refused", command, folder.path()).expect("it starts");
    let status = process.ended().await.expect("it gives up");
    assert_eq!(status.code(), Some(1));
    assert_eq!(process.output(Stream::Stdout).expect("ours"), "");
    process.output(Stream::Stderr).expect("ours")
}

#[tokio::test]
async fn a_second_process_on_a_folder_is_refused_with_the_pid_of_the_first() {
    let mut server = started().await;
    let data = server.data();
    let data = data.to_str().expect("names are UTF-8");
    let said = refused(&[
        "--data",
        data,
        "--http",
        "127.0.0.1:0",
        "--grpc",
        "127.0.0.1:0",
    ])
    .await;
    let pid = server.process().pid().as_raw_nonzero().to_string();
    assert!(said.contains(&format!("process {pid}")), "{said}");
    server.api().await.expect("the first is not disturbed");
}

#[tokio::test]
async fn a_busy_port_names_the_flag_that_changes_it() {
    let busy = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let busy = busy.local_addr().map(|address| (busy, address.to_string()));
    let (_busy, address) = busy.expect("it is bound");
    for (flag, other) in [("--http", "--grpc"), ("--grpc", "--http")] {
        let said = refused(&[flag, &address, other, "127.0.0.1:0"]).await;
        assert!(said.contains(&address) && said.contains(flag), "{said}");
    }
}
