//! Agents that this project did not write, on both public SDKs, which ask people while they execute a step.

use anyhow::{Context as _, Result, bail, ensure};
use mirastack_tests::api::Api;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::process::Process;
use mirastack_tests::story::root;
use mirastack_tests::wait::until;
use mirastack_tests::{person, program};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A step of an agent that asks: what it says is the run's input.
const ASKS: &str = r#"
workflow: asks-AGENT
inputs:
  why: { type: string }
  level: { type: string, default: "2" }
  then: { type: string, default: "" }
steps:
  - id: ask
    uses: AGENT/read
    with: { query: ask, why: "${{ inputs.why }}"MORE }
    timeout: 2m
    retry: { attempts: 1 }
outputs: { told: "${{ steps.ask.output }}" }
"#;

/// What only the Go agent takes.
const MORE: &str =
    r#", level: "${{ inputs.level }}", then: "${{ inputs.then }}", context: '{"host":"api-1"}'"#;

/// A server that trusts the agent, and the agent.
struct Ground {
    server: Mirastack,
    api: Api,
    _agent: Process,
    _folder: TempDir,
}

impl Ground {
    async fn new(agent: &str) -> Result<Self> {
        let setup = Setup::default().env("MIRASTACK_TRUST_AGENTS", agent);
        let (server, folder) = (Mirastack::start(setup).await?, tempfile::tempdir()?);
        let api = server.api().await?;
        let peer = match agent {
            "gopher" => fetched("go-peer").await?,
            _ => fetched("python-sdk").await?,
        };
        let (_, process) = program::on_free_address(async |own| {
            let mut command = program::alone(&peer, folder.path());
            if agent != "gopher" {
                command.arg(root()?.join("worker/tests/worker/python/agent.py"));
                command.arg("repaired");
            }
            surround(&mut command, server.grpc(), own);
            let mut process = Process::spawn(agent, command, folder.path())?;
            let offered = process.until("the agent", async || offers(&api, agent).await);
            offered.await.map(|()| process)
        })
        .await?;
        let ground = Self {
            server,
            api,
            _agent: process,
            _folder: folder,
        };
        let more = if agent == "gopher" { MORE } else { "" };
        let document = ASKS.replace("AGENT", agent).replace("MORE", more);
        let path = format!("/api/v1/workflows/asks-{agent}");
        ground.api.put_yaml(&path, &document).await?.ok()?;
        Ok(ground)
    }
}

/// What a script of the project fetches or builds.
pub(crate) async fn fetched(script: &str) -> Result<PathBuf> {
    let script = root()?.join("scripts").join(script);
    let output = tokio::process::Command::new(script).output().await?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{why}");
    Ok(String::from_utf8(output.stdout)?.trim().into())
}

/// Whether the agent can be called.
async fn offers(api: &Api, agent: &str) -> Result<()> {
    let path = format!("/api/v1/agents/{agent}");
    let listed = api.get(&path).await?.ok()?;
    let instances = listed["instances"].as_array().map_or(0, Vec::len);
    ensure!(instances == 1, "{listed}");
    Ok(())
}

pub(crate) fn surround(command: &mut Command, engine: SocketAddr, own: SocketAddr) {
    command
        .env("MIRASTACK_ENGINE_ADDR", engine.to_string())
        .env("MIRASTACK_PLUGIN_ADDR", own.to_string())
        .env("MIRASTACK_PLUGIN_ADVERTISE_ADDR", own.to_string())
        .env("MIRASTACK_PLUGIN_TENANT_SLUG", "default")
        .env("MIRASTACK_PLUGIN_TENANT_ID", "default")
        .env("MIRASTACK_PLUGIN_HEARTBEAT_INTERVAL", "1");
}

/// Decides about the card.
async fn decides(api: &Api, card: &Value, verb: &str) -> Result<mirastack_tests::api::Answer> {
    let id = card["id"].as_str().context("no id")?;
    let body = json!({ "digest": card["digest"], "comment": "as you wish" });
    let path = format!("/api/v1/approvals/{id}/{verb}");
    api.post(&path, &body).await
}

/// What the agent was told, once its run has ended.
async fn told(api: &Api, run: &str) -> Result<Value> {
    let ended = person::ended(api, run).await?;
    if ended["status"] != "succeeded" {
        bail!("{ended}");
    }
    Ok(ended["outputs"]["told"].clone())
}

#[tokio::test]
async fn a_go_agent_asks_people_and_is_told_what_they_say() {
    let ground = Ground::new("gopher").await.expect("it registers");
    let (api, why) = (&ground.api, "restart api-1\u{1b}[2J");
    let inputs = json!({ "why": why });
    let run = person::starts(api, "asks-gopher", &inputs).await;
    let run = run.expect("it is taken");
    let card = person::asked(api, &run).await.expect("its agent asks");
    let question = &card["question"];
    assert_eq!(question["description"], "restart api-1\\u{1b}[2J");
    assert_eq!(
        (&card["permission"], &card["action"], &question["proven"]),
        (&json!("MODIFY"), &json!("gopher/read"), &json!(false)),
        "{card}"
    );
    assert_eq!(question["context"], json!({ "host": "api-1" }));
    assert_eq!(question["blast_radius"]["resources"], json!(["api-1"]));
    let shown = person::run(api, &run).await.expect("it is there");
    assert_eq!(shown["status"], "waiting", "{shown}");
    let listed = api.get("/api/v1/approvals?i_may_decide=true").await;
    let listed = listed.expect("it answers").ok().expect("a list");
    assert_eq!(listed["items"][0]["id"], card["id"], "{listed}");

    let operator = ground
        .api
        .somebody("operator", "operator")
        .await
        .expect("a key");
    let refused = decides(&operator, &card, "approve").await;
    refused
        .expect("it answers")
        .with_status(403)
        .expect("no right");
    let other = json!({ "id": card["id"], "digest": "0".repeat(64) });
    let changed = decides(api, &other, "approve").await.expect("it answers");
    changed.with_status(409).expect("other bytes");
    let engineer = ground
        .api
        .somebody("engineer", "engineer")
        .await
        .expect("a key");
    let agreed = decides(&engineer, &card, "approve").await;
    let agreed = agreed.expect("it answers").ok().expect("the right");
    assert_eq!(agreed["state"], "approved", "{agreed}");
    let answer = json!({
        "approved": true, "timed_out": false, "reviewer": "key:engineer", "comment": "as you wish",
    });
    let told_it = told(api, &run).await.expect("it goes on");
    assert_eq!(
        (&told_it["code"], &told_it["answer"]),
        (&json!("OK"), &answer)
    );
}

#[tokio::test]
async fn a_question_is_of_its_level_and_a_run_that_stops_takes_it_back() {
    let ground = Ground::new("gopher").await.expect("it registers");
    let (api, engineer) = (
        &ground.api,
        ground.api.somebody("engineer", "engineer").await,
    );
    let engineer = engineer.expect("a key");
    let inputs = json!({ "why": "drop it", "level": "3" });
    let run = person::starts(api, "asks-gopher", &inputs).await;
    let run = run.expect("it is taken");
    let card = person::asked(api, &run).await.expect("its agent asks");
    let refused = decides(&engineer, &card, "reject").await;
    refused
        .expect("it answers")
        .with_status(403)
        .expect("no right");
    let refused = decides(api, &card, "reject").await.expect("it answers");
    refused.ok().expect("an admin may");
    let told_it = told(api, &run).await.expect("it goes on");
    assert_eq!(
        (
            &told_it["answer"]["approved"],
            &told_it["answer"]["reviewer"]
        ),
        (&json!(false), &json!("key:bootstrap"))
    );
    let inputs = json!({ "why": "look", "level": "1" });
    let run = person::starts(api, "asks-gopher", &inputs).await;
    let told_it = told(api, &run.expect("it is taken")).await;
    assert_eq!(
        told_it.expect("it goes on")["code"],
        json!("InvalidArgument")
    );
    let run = person::starts(api, "asks-gopher", &json!({ "why": "wait" })).await;
    let run = run.expect("it is taken");
    let card = person::asked(api, &run).await.expect("its agent asks");
    let path = format!("/api/v1/runs/{run}/cancel");
    let cancelled = api.post(&path, &json!({})).await.expect("it answers");
    cancelled.ok().expect("it is cancelled");
    let late = decides(api, &card, "approve").await.expect("it answers");
    late.with_status(409).expect("nobody asks any more");
}

#[tokio::test]
async fn what_people_said_outlives_the_server_and_what_they_did_not_is_asked_again() {
    let mut ground = Ground::new("gopher").await.expect("it registers");
    // Told the answer, its first attempt works on until the server dies.
    let inputs = json!({ "why": "once", "then": "wait" });
    let run = person::starts(&ground.api, "asks-gopher", &inputs).await;
    let decided = run.expect("it is taken");
    let card = person::asked(&ground.api, &decided).await;
    let card = card.expect("its agent asks");
    let agreed = decides(&ground.api, &card, "approve").await;
    agreed.expect("it answers").ok().expect("the right");
    let inputs = json!({ "why": "nobody looks" });
    let run = person::starts(&ground.api, "asks-gopher", &inputs).await;
    let open = run.expect("it is taken");
    let first = person::asked(&ground.api, &open).await;
    let first = first.expect("its agent asks");

    ground.server.process().kill().expect("it ran");
    let started = ground.server.start_again().await;
    started.expect("it starts on what it left");
    ground.api = ground.server.api().await.expect("the key is good");
    let told_it = told(&ground.api, &decided).await.expect("it goes on");
    assert_eq!(told_it["answer"]["approved"], true, "{told_it}");
    let path = format!("/api/v1/approvals?run={decided}");
    let asked = ground.api.get(&path).await.expect("it answers");
    let asked = asked.ok().expect("a list");
    assert_eq!(asked["items"].as_array().map(Vec::len), Some(1), "{asked}");

    let second = until("another question", async || {
        let card = person::asked(&ground.api, &open).await?;
        ensure!(card["id"] != first["id"], "{card}");
        Ok(card)
    });
    let second = second.await.expect("its agent asks again");
    let closed = decides(&ground.api, &first, "approve").await;
    closed
        .expect("it answers")
        .with_status(409)
        .expect("its attempt is over");
    let agreed = decides(&ground.api, &second, "approve").await;
    agreed.expect("it answers").ok().expect("the right");
    let told_it = told(&ground.api, &open).await.expect("it goes on");
    assert_eq!(told_it["answer"]["approved"], true, "{told_it}");
}

#[tokio::test]
async fn a_python_agent_asks_people_and_is_told_what_they_say() {
    let ground = Ground::new("snake").await.expect("it registers");
    for (verb, approved) in [("approve", true), ("reject", false)] {
        let inputs = json!({ "why": format!("to {verb}") });
        let run = person::starts(&ground.api, "asks-snake", &inputs).await;
        let run = run.expect("it is taken");
        let card = person::asked(&ground.api, &run).await;
        let card = card.expect("its agent asks");
        // The SDK says no level: that counts as a change.
        assert_eq!(card["permission"], "MODIFY", "{card}");
        let decided = decides(&ground.api, &card, verb).await;
        decided.expect("it answers").ok().expect("the right");
        let told_it = told(&ground.api, &run).await.expect("it goes on");
        assert_eq!(told_it["approved"], approved, "{told_it}");
    }
}
