//! An agent on the released Python SDK as it is, which cannot say what it can do: what people see of it and can do.

use anyhow::{Result, ensure};
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::process::Process;
use mirastack_tests::program;
use mirastack_tests::story::root;
use mirastack_tests::wait::until;
use serde_json::Value;

use crate::questions::{fetched, surround};

#[tokio::test]
async fn an_agent_that_cannot_say_what_it_can_do_is_seen_as_such_and_gets_its_settings() {
    agent_is_seen_and_set().await.expect("as it is documented");
}

async fn agent_is_seen_and_set() -> Result<()> {
    let (server, folder) = (
        Mirastack::start(Setup::default()).await?,
        tempfile::tempdir()?,
    );
    let (api, peer) = (server.api().await?, fetched("python-sdk").await?);
    let (_, (row, _agent)) = program::on_free_address(async |own| {
        let mut command = program::alone(&peer, folder.path());
        command.arg(root()?.join("worker/tests/worker/python/agent.py"));
        surround(&mut command, server.grpc(), own);
        command.env("MIRASTACK_SDK_CONFIG_CACHE_TTL", "0");
        let mut agent = Process::spawn("snake", command, folder.path())?;
        let listed = agent.until("the agent", async || {
            let listed = api.get("/api/v1/agents").await?.ok()?;
            let rows = listed["items"].as_array().cloned().unwrap_or_default();
            let row = rows.into_iter().find(|row| row["name"] == "snake");
            row.ok_or_else(|| anyhow::anyhow!("{listed}"))
        });
        Ok((listed.await?, agent))
    })
    .await?;
    let why = row["metadata_unavailable"].as_str().unwrap_or_default();
    ensure!(
        row["authenticated"] == false && why.contains("serialize"),
        "{row}"
    );
    ensure!(row["actions"] == Value::Array(Vec::new()), "{row}");

    let miractl = server.miractl()?;
    let said = miractl.run(&["agent", "list"]).await?;
    let line = said.stdout.lines().find(|line| line.contains("snake"));
    let line = line.unwrap_or_default();
    ensure!(
        line.contains("unauthenticated, metadata unavailable"),
        "{said:?}"
    );
    // It fetches its settings each time that it is asked how it is.
    for (url, code) in [("broken", 1), ("http://a", 0)] {
        let set = format!("url={url}");
        let said = miractl.run(&["agent", "config-set", "snake", &set]).await?;
        ensure!(said.code == 0, "{said:?}");
        let said = until("its answer", async || {
            let said = miractl.run(&["agent", "health", "snake"]).await?;
            ensure!(said.code == code, "{said:?}");
            Ok(said)
        });
        let said = said.await?;
        ensure!(
            said.stdout.contains("the back end is down") == (code == 1),
            "{said:?}"
        );
    }
    let said = miractl.run(&["agent", "config", "snake"]).await?;
    ensure!(said.stdout.contains("http://a"), "{said:?}");
    Ok(())
}
