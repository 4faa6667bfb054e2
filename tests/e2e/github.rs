//! A webhook of GitHub, as GitHub sends it, becomes a run of the example.

use hmac::{Hmac, KeyInit, Mac};
use mirastack_tests::api::Api;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::person;
use mirastack_tests::story::{apply, root};
use reqwest::Method;
use serde_json::Value;
use sha2::Sha256;

const SECRET: &str = "it is a secret to everybody";

/// The check that failed, of the payloads that `scripts/github-payloads` fetches.
async fn failed_check() -> Value {
    let script = root().expect("cargo runs the tests");
    let script = script.join("scripts/github-payloads");
    let fetched = tokio::process::Command::new(script).output().await;
    let fetched = fetched.expect("a shell");
    let why = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "{why}");
    let file = String::from_utf8(fetched.stdout).expect("a path");
    let text = std::fs::read(file.trim()).expect("the fetched file");
    let events: Vec<Value> = serde_json::from_slice(&text).expect("a list");
    let examples = events.iter().find(|event| event["name"] == "check_run");
    let examples = examples.and_then(|event| event["examples"].as_array());
    let failed = |body: &&Value| body["check_run"]["conclusion"] == "failure";
    let found = examples.and_then(|all| all.iter().find(failed));
    found.expect("a check that failed").clone()
}

fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
    mac.update(body.as_bytes());
    let digits = mac.finalize().into_bytes();
    let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

#[tokio::test]
async fn a_failed_check_on_github_is_noted_once_a_person_agrees() {
    let server = Mirastack::start(Setup::default()).await.expect("it starts");
    let miractl = server.miractl().expect("it was built");
    let set = ["secret", "set", "github_secret"];
    let set = miractl.run_with(&set, SECRET).await;
    set.expect("it runs").ok().expect("it is kept");
    for example in ["github.mira.yaml", "failed-check.mira.yaml"] {
        apply(&miractl, example).await.expect("it is valid");
    }
    let body = failed_check().await;
    let text = body.to_string();
    let nobody = Api::nobody(&server.url());
    let sent = nobody
        .request(Method::POST, "/hooks/github")
        .header("content-type", "application/json")
        .header("x-github-event", "check_run")
        .header("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
        .header("x-hub-signature-256", signature(&text))
        .body(text);
    let taken = nobody.send(sent).await.expect("it answers");
    let taken = taken.with_status(202).expect("it is taken");
    let run = taken["runs"][0]["id"].as_str().expect("a run").to_owned();

    let api = server.api().await.expect("the key is good");
    person::approves(&api, &run).await.expect("it asks");
    let ended = person::ended(&api, &run).await.expect("it ends");
    assert_eq!(ended["status"], "succeeded", "{ended}");
    let check = &body["check_run"];
    let (name, commit) = (check["name"].as_str(), check["head_sha"].as_str());
    let note = name.zip(commit).expect("it names both");
    let note = format!("{} failed on {}", note.0, note.1);
    assert_eq!(ended["outputs"]["note"], note.as_str());
    assert_eq!(ended["requester"], "hook:github");
}
