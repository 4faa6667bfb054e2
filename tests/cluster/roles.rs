//! The roles, each in processes of its own, on real servers.

use anyhow::{Context as _, Result, ensure};
use mirastack_tests::api::Api;
use mirastack_tests::person;
use mirastack_tests::role::{Role, Servers};
use mirastack_tests::wait::until;
use serde_json::json;
use tokio::try_join;

const ECHO: &str = "\
workflow: echo
inputs: { value: { type: string } }
steps:
  - { id: first, uses: demo/echo, with: { value: '${{ inputs.value }}' } }
  - { id: pause, wait: 100ms }
  - { id: second, uses: demo/echo, with: { value: '${{ steps.first.output.value }}' } }
outputs: { value: '${{ steps.second.output.value }}' }
";

/// Starts a run and waits for its end: whoever owns it may have to listen first.
async fn run(api: &Api, value: &str) -> Result<()> {
    let id = person::starts(api, "echo", &json!({ "value": value })).await?;
    let ended = person::ended(api, &id).await?;
    ensure!(ended["status"] == "succeeded", "{ended}");
    ensure!(ended["outputs"]["value"] == value, "{ended}");
    Ok(())
}

#[tokio::test]
async fn runs_end_on_a_cluster_whoever_is_killed() -> Result<()> {
    let servers = Servers::start().await?;
    // A gateway may come first: it waits for what a scheduler makes.
    let first = Role::start("gateway", &servers);
    let (first, other) = try_join!(first, Role::start("scheduler", &servers))?;
    let (mut gateways, mut others) = (vec![first], vec![other]);
    gateways.push(Role::start("gateway", &servers).await?);
    for verb in ["scheduler", "worker", "worker"] {
        others.push(Role::start(verb, &servers).await?);
    }
    let first = gateways[0].admin().await?;
    let second = first.by(&gateways[1].url()?);
    until("the agent to be known", async || {
        second.put_yaml("/api/v1/workflows/echo", ECHO).await?.ok()
    })
    .await?;
    for (number, api) in [&first, &second, &first, &second].into_iter().enumerate() {
        run(api, &format!("v{number}")).await?;
    }

    // One of each dies; who is left does its work.
    gateways[0].process.kill()?;
    others[0].process.kill()?;
    others[2].process.kill()?;
    for number in 0..4 {
        run(&second, &format!("w{number}")).await?;
    }
    let list = second.get("/api/v1/runs?limit=100").await?.ok()?;
    let ended = list["items"].as_array().context("a list")?;
    ensure!(ended.len() == 8, "{list}");
    for role in gateways.iter_mut().skip(1).chain(others.iter_mut()) {
        if role.process.signal(rustix::process::Signal::TERM).is_ok() {
            role.process.ended().await?;
        }
    }
    Ok(())
}
