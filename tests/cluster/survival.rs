//! What a cluster goes through without that a run notices.

use anyhow::{Context as _, Result, ensure};
use mirastack_tests::api::Api;
use mirastack_tests::person;
use mirastack_tests::role::{Role, Servers};
use mirastack_tests::shared::Shared;
use mirastack_tests::wait::until;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::try_join;

const SLOW: &str = "\
workflow: slow
steps:
  - { id: slow, uses: demo/slow, with: { steps: 40, step_ms: 200 } }
outputs: { work: '${{ steps.slow.output }}' }
";

const CHANGE: &str = "\
workflow: change
steps:
  - { id: before, uses: demo/echo, with: { value: seven } }
  - { id: change, uses: demo/change, with: { key: k, value: '${{ steps.before.output.value }}' } }
  - { id: after, uses: demo/echo, with: { value: '${{ steps.change.output.changes }}' } }
outputs: { changes: '${{ steps.after.output.value }}' }
";

/// One of each role. The order is that in which they are dropped.
struct Cluster {
    gateway: Role,
    scheduler: Role,
    worker: Role,
}

impl Cluster {
    async fn start(servers: &Servers) -> Result<Self> {
        let (gateway, scheduler, worker) = try_join!(
            Role::start("gateway", servers),
            Role::start("scheduler", servers),
            Role::start("worker", servers),
        )?;
        Ok(Self {
            gateway,
            scheduler,
            worker,
        })
    }

    fn kill(&mut self) -> Result<()> {
        for role in [&mut self.gateway, &mut self.scheduler, &mut self.worker] {
            role.process.kill()?;
        }
        Ok(())
    }
}

/// Saves workflows once the agent is known.
async fn save(api: &Api, workflows: [(&str, &str); 2]) -> Result<()> {
    for (name, document) in workflows {
        let path = format!("/api/v1/workflows/{name}");
        until("the agent to be known", async || {
            api.put_yaml(&path, document).await?.ok()
        })
        .await?;
    }
    Ok(())
}

/// Asks Valkey something to which it answers a line, as its admin.
async fn ask(valkey: &Shared, command: &str) -> Result<String> {
    let address = valkey.valkey("admin");
    let (_, password) = address.split_once("admin:").context("an address")?;
    let (password, place) = password.split_once('@').context("an address")?;
    let mut connection = TcpStream::connect(place).await?;
    let asked = format!("AUTH admin {password}\r\n{command}\r\nQUIT\r\n");
    connection.write_all(asked.as_bytes()).await?;
    let mut answers = String::new();
    connection.read_to_string(&mut answers).await?;
    Ok(answers.lines().nth(1).context("an answer")?.to_owned())
}

/// Waits until something is kept in Valkey.
async fn checkpoint(valkey: &Shared) -> Result<()> {
    until("a checkpoint", async || {
        let kept = ask(valkey, "DBSIZE").await?;
        ensure!(kept != ":0", "{kept}");
        Ok(())
    })
    .await
}

async fn work(api: &Api, run: &str) -> Result<(Value, Value)> {
    let ended = person::ended(api, run).await?;
    ensure!(ended["status"] == "succeeded", "{ended}");
    let work = &ended["outputs"]["work"];
    Ok((work["resumed_at"].clone(), work["done_here"].clone()))
}

#[tokio::test]
async fn another_worker_goes_on_from_the_checkpoint_of_one_that_died() -> Result<()> {
    let servers = Servers::start().await?;
    let mut cluster = Cluster::start(&servers).await?;
    let api = cluster.gateway.admin().await?;
    save(&api, [("slow", SLOW), ("change", CHANGE)]).await?;
    let run = person::starts(&api, "slow", &json!({})).await?;
    checkpoint(&servers.valkey).await?;
    cluster.worker.process.kill()?;
    let _other = Role::start("worker", &servers).await?;
    let (resumed_at, done_here) = work(&api, &run).await?;
    let (before, here) = (resumed_at.as_u64(), done_here.as_u64());
    let (before, here) = before.zip(here).context("numbers")?;
    ensure!(before > 0 && before + here == 40, "{before} and {here}");
    Ok(())
}

#[tokio::test]
async fn a_run_ends_though_every_role_is_killed_and_the_memory_is_emptied() -> Result<()> {
    let servers = Servers::start().await?;
    let mut first = Cluster::start(&servers).await?;
    let api = first.gateway.admin().await?;
    save(&api, [("slow", SLOW), ("change", CHANGE)]).await?;
    let bob = api.somebody("bob", "admin").await?;
    let change = person::starts(&api, "change", &json!({})).await?;
    person::asked(&api, &change).await?;
    let slow = person::starts(&api, "slow", &json!({})).await?;
    checkpoint(&servers.valkey).await?;

    first.kill()?;
    let emptied = ask(&servers.valkey, "FLUSHALL").await?;
    ensure!(emptied == "+OK", "{emptied}");
    let second = Cluster::start(&servers).await?;
    let (api, bob) = (
        api.by(&second.gateway.url()?),
        bob.by(&second.gateway.url()?),
    );

    // What was asked before is still asked, and what was under way is done again from the beginning.
    until("the consent to be taken", async || {
        person::approves(&bob, &change).await
    })
    .await?;
    let ended = person::ended(&api, &change).await?;
    ensure!(ended["status"] == "succeeded", "{ended}");
    ensure!(
        ended["outputs"]["changes"] == 1,
        "it is changed once: {ended}"
    );
    let (resumed_at, done_here) = work(&api, &slow).await?;
    ensure!(
        resumed_at == 0 && done_here == 40,
        "{resumed_at} and {done_here}"
    );
    let list = api.get("/api/v1/runs?limit=100").await?.ok()?;
    ensure!(
        list["items"].as_array().is_some_and(|all| all.len() == 2),
        "{list}"
    );
    Ok(())
}

/// The queues are in the broker's memory, and whoever offers jobs makes them again: nobody waits for that.
#[tokio::test]
async fn who_comes_after_the_broker_was_restarted_waits_for_nobody() -> Result<()> {
    let mut servers = Servers::start().await?;
    let mut first = Cluster::start(&servers).await?;
    let api = first.gateway.admin().await?;
    save(&api, [("slow", SLOW), ("change", CHANGE)]).await?;
    servers.nats.process().kill()?;
    servers.nats.start_again().await?;
    first.gateway.process.kill()?;
    first.worker.process.kill()?;
    let (gateway, _worker) = try_join!(
        Role::start("gateway", &servers),
        Role::start("worker", &servers),
    )?;
    let api = api.by(&gateway.url()?);
    let run = person::starts(&api, "slow", &json!({})).await?;
    work(&api, &run).await.map(drop)
}
