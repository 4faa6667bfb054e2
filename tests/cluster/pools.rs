//! Workers of several pools: each takes only the jobs of the agents that its pool has.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use mirastack_tests::api::Api;
use mirastack_tests::person;
use mirastack_tests::program;
use mirastack_tests::role::{Role, Servers};
use mirastack_tests::wait::until;
use rustix::process::Signal;
use serde_json::{Value, json};

const WORKFLOW: &str = "\
workflow: far
steps:
  - { id: first, uses: demo/echo, with: { value: '${{ inputs.said }}' } }
inputs:
  said: { type: string }
";

/// A folder of agents with the one of that name.
fn with_agent(folder: &Path, name: &str) -> Result<()> {
    let here = folder.join(name);
    fs::create_dir(&here)?;
    symlink(
        program::built(&format!("mirastack-agent-{name}"))?,
        here.join(name),
    )?;
    Ok(())
}

/// Starts some runs, and waits for the end of each.
async fn all_succeed(api: &Api, said: &str) -> Result<()> {
    let inputs = json!({ "said": said });
    let started = (0..10).map(|_| person::starts(api, "far", &inputs));
    for id in try_join_all(started).await? {
        let run: Value = person::ended(api, &id).await?;
        ensure!(run["status"] == "succeeded", "{run}");
    }
    Ok(())
}

async fn ends(mut role: Role) -> Result<()> {
    role.process.signal(Signal::TERM)?;
    let status = role.process.ended().await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// The value of a figure of one pool; nothing while it is not shown.
async fn figure(role: &Role, name: &str, pool: &str) -> Result<Option<f64>> {
    let figures = role.figures().await?;
    let line = format!("{name}{{pool=\"{pool}\"}} ");
    let value = figures.lines().find_map(|l| l.strip_prefix(&line));
    Ok(value.map(str::parse).transpose()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pool_does_what_its_agents_are_for_from_none_to_many_and_back() -> Result<()> {
    let servers = Servers::start().await?;
    let scheduler = Role::start_with("scheduler", &servers, &["--metrics", "127.0.0.1:0"]);
    let (gateway, scheduler) = tokio::try_join!(Role::start("gateway", &servers), scheduler)?;
    let (demo, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    with_agent(demo.path(), "demo")?;
    with_agent(other.path(), "metrics")?;
    let demo = demo.path().to_str().context("text")?.to_owned();
    let other = other.path().to_str().context("text")?.to_owned();
    let worker = async |pool: &str, plugins: &str| {
        let more = ["--pool", pool, "--plugins", plugins, "--slots", "4"];
        Role::start_with("worker", &servers, &more).await
    };
    // A job of `demo` that one of these took would fail: they do not have it.
    let _others = try_join_all((0..2).map(|_| worker("default", &other))).await?;
    let far = worker("far", &demo).await?;
    let api = gateway.admin().await?;
    until("the agent to be known", async || {
        api.put_yaml("/api/v1/workflows/far", WORKFLOW).await?.ok()
    })
    .await?;
    all_succeed(&api, "one pool").await?;

    // Nobody of the pool is left: what comes in waits, and is there to see for whoever starts workers.
    ends(far).await?;
    let waits = person::starts(&api, "far", &json!({ "said": "none" })).await?;
    until("the job to wait in its pool", async || {
        let queued = figure(&scheduler, "mirastack_scheduler_queued", "far").await?;
        ensure!(queued == Some(1.0), "{queued:?}");
        Ok(())
    })
    .await?;
    let many = try_join_all((0..3).map(|_| worker("far", &demo))).await?;
    let run = person::ended(&api, &waits).await?;
    ensure!(run["status"] == "succeeded", "{run}");
    all_succeed(&api, "many").await?;

    // The agent moves to another pool, whose workers also get what waits in the old one.
    for role in many {
        ends(role).await?;
    }
    let waits = person::starts(&api, "far", &json!({ "said": "moved" })).await?;
    until("the job to wait in its pool", async || {
        let queued = figure(&scheduler, "mirastack_scheduler_queued", "far").await?;
        ensure!(queued == Some(1.0), "{queued:?}");
        Ok(())
    })
    .await?;
    let _near = worker("near", &demo).await?;
    let run = person::ended(&api, &waits).await?;
    ensure!(run["status"] == "succeeded", "{run}");
    until("nothing to be queued any more", async || {
        let queued = figure(&scheduler, "mirastack_scheduler_queued", "far").await?;
        ensure!(queued == Some(0.0), "{queued:?}");
        Ok(())
    })
    .await
}
