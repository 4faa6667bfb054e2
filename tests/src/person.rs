//! What a person does: start runs, look, and agree to changes.

use crate::api::Api;
use crate::miractl::Miractl;
use crate::wait::{until, until_within};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use std::time::Duration;

/// Longer than anything that a test's run waits for.
const RUN: Duration = Duration::from_secs(60);

/// Starts a run and answers its id.
///
/// # Errors
/// The start is not accepted.
pub async fn starts(api: &Api, workflow: &str, inputs: &Value) -> Result<String> {
    let path = format!("/api/v1/workflows/{workflow}/runs");
    let accepted = api.post(&path, &json!({ "inputs": inputs })).await?;
    let accepted = accepted.with_status(202)?;
    Ok(accepted["id"].as_str().context("no id")?.to_owned())
}

/// A run as it stands.
///
/// # Errors
/// It cannot be read.
pub async fn run(api: &Api, id: &str) -> Result<Value> {
    api.get(&format!("/api/v1/runs/{id}")).await?.ok()
}

/// Waits until the run has ended.
///
/// # Errors
/// It does not end in time; with the run as it stands.
pub async fn ended(api: &Api, id: &str) -> Result<Value> {
    until_within(RUN, "the end of the run", async || {
        let run = run(api, id).await?;
        ensure!(!run["ended_at"].is_null(), "{run}");
        Ok(run)
    })
    .await
}

/// Waits until the run asks, and answers the approval.
///
/// # Errors
/// It does not ask in time; with the run as it stands.
pub async fn asked(api: &Api, id: &str) -> Result<Value> {
    until("a question of the run", async || {
        let run = run(api, id).await?;
        let waiting = run["waiting_for"].as_array().into_iter().flatten();
        let approval = waiting
            .filter(|waiting| waiting["kind"] == "approval")
            .find_map(|waiting| waiting["id"].as_str());
        let Some(approval) = approval else {
            bail!("it does not ask: {run}");
        };
        api.get(&format!("/api/v1/approvals/{approval}"))
            .await?
            .ok()
    })
    .await
}

/// Waits until the run asks, and agrees to what it asks for.
///
/// # Errors
/// It does not ask, or the consent is refused.
pub async fn approves(api: &Api, id: &str) -> Result<()> {
    let approval = asked(api, id).await?;
    let id = approval["id"].as_str().context("no id")?;
    let body = json!({ "digest": approval["digest"], "comment": "fine" });
    let path = format!("/api/v1/approvals/{id}/approve");
    api.post(&path, &body).await?.ok().map(drop)
}

/// Runs `miractl` in a terminal and answers its question with yes; what the terminal shows is the answer.
///
/// # Errors
/// It does not ask, or does not end well.
pub async fn agrees(miractl: &Miractl, args: &[String]) -> Result<String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    miractl.in_terminal(&args, "(y/N)", "y\r").await
}
