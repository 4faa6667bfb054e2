//! What a client does, and what it sees: it submits a run, agrees to its change and watches it to its end, whatever
//! happens to the server meanwhile.

use super::ground::World;
use crate::api::{Answer, Api};
use crate::wait::until_within;
use anyhow::{Context as _, Result, bail, ensure};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// The workflow that clients start. Its queries are names, for these look the same however they travel. What is known
/// not to have been done is done again, for connections are cut under living senders too.
pub(super) const WORKFLOW: &str = r#"
workflow: judged
inputs:
  name: { type: string }
steps:
  - id: before
    uses: metrics/instant_query
    with: { query: "${{ inputs.name }}_before" }
    retry: { attempts: 5 }
  - id: silence
    uses: alertmanager/create_silence
    with:
      matchers: [{ name: errand, value: "${{ inputs.name }}" }]
      duration: 1h
      comment: "${{ inputs.name }}"
    retry: { attempts: 5 }
  - id: after
    uses: metrics/instant_query
    with: { query: "${{ inputs.name }}_after" }
    retry: { attempts: 5 }
outputs:
  silence: "${{ steps.silence.output.id }}"
"#;

/// Where its runs are started.
pub(super) const RUNS: &str = "/api/v1/workflows/judged/runs";

/// Longer than a run takes once nothing befalls the server any more.
const PATIENCE: Duration = Duration::from_secs(120);

/// What one client was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Errand {
    /// Its name: its key, its run's label, and what its silence matches.
    pub name: String,
    /// The run of each 202 that it got.
    pub accepted: Vec<String>,
    /// How its run ended.
    pub status: Option<String>,
    /// When its run ended.
    pub ended_at: Option<String>,
    /// It was asked although it had been told that its consent was taken.
    pub asked_again: Option<String>,
    /// The approval of which it was told that its consent was taken.
    pub consented: Option<String>,
    /// The silence that its run says it has made.
    pub silence: Option<String>,
    /// The READ steps that it saw succeeded.
    pub shown: Vec<Shown>,
    /// What it saw last, for messages.
    pub last: String,
}

/// A READ step was seen as succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it had asked.
    pub query: String,
    /// So many queries had come by then, of whichever run.
    pub at: usize,
}

/// Looks until it finds what is wanted, for as long as the product is struck, and a while longer.
async fn patiently<T>(
    world: &World,
    what: &str,
    mut look: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    loop {
        match until_within(PATIENCE, what, &mut look).await {
            Err(_) if world.calm() < PATIENCE => {}
            found => return found,
        }
    }
}

/// A look that was answered; its error is final, the error around it says to look again.
type Looked<T> = Result<Result<T>>;

impl Errand {
    /// Goes all the way, or as far as it gets.
    pub(super) async fn go(name: String, world: World) -> Self {
        let mut errand = Self {
            name,
            ..Self::default()
        };
        if let Err(error) = errand.all_the_way(&world).await {
            errand.last = format!("{error:#} {}", errand.last);
        }
        errand
    }

    async fn all_the_way(&mut self, world: &World) -> Result<()> {
        let id = self.is_accepted(world).await?;
        let mut version = None;
        patiently(world, "the end of its run", async || {
            self.looks(world, &id, &mut version).await
        })
        .await??;
        // A client that has forgotten its answer asks again.
        self.is_accepted(world).await.map(drop)
    }

    /// Submits until it is answered 202, always with the same key.
    async fn is_accepted(&mut self, world: &World) -> Result<String> {
        patiently(world, "a 202", async || {
            let body =
                json!({ "inputs": { "name": self.name }, "labels": { "errand": self.name } });
            let api = world.front();
            let request = api.request(Method::POST, RUNS);
            let request = request.header("idempotency-key", &self.name).json(&body);
            let answer = present(api.send(request).await)?;
            Ok(self.accepted(&answer))
        })
        .await?
    }

    fn accepted(&mut self, answer: &Answer) -> Result<String> {
        let accepted = answer.with_status(202)?;
        let id = accepted["id"].as_str().context("a 202 without an id")?;
        self.accepted.push(id.to_owned());
        Ok(id.to_owned())
    }

    /// Waits for a change of its run, writes down what it sees, and agrees if it is asked.
    async fn looks(&mut self, world: &World, id: &str, version: &mut Option<String>) -> Looked<()> {
        let answer = present(change(&world.api(), id, version.as_deref()).await)?;
        let run = match answer.ok() {
            Ok(run) => run,
            Err(error) => return Ok(Err(error)),
        };
        self.sees(&run, world);
        if self.status.is_some() {
            return Ok(Ok(()));
        }
        if let Some(approval) = question(&run) {
            if self.consented.is_some() {
                self.asked_again = Some(approval.to_owned());
            }
            match self.agrees(world, approval).await? {
                Ok(()) => self.consented = Some(approval.to_owned()),
                Err(error) => return Ok(Err(error)),
            }
        }
        // What is seen again is new to a client whose consent was lost.
        *version = Some(answer.header("etag").to_owned());
        bail!("it goes on: {run}")
    }

    fn sees(&mut self, run: &Value, world: &World) {
        self.last = run.to_string();
        let steps = run["steps"].as_array().into_iter().flatten();
        for step in steps.filter(|s| s["permission"] == "READ" && s["status"] == "succeeded") {
            let query = format!("{}_{}", self.name, step["id"].as_str().unwrap_or_default());
            if !self.shown.iter().any(|shown| shown.query == query) {
                let at = world.queries();
                self.shown.push(Shown { query, at });
            }
        }
        if let Some(ended_at) = run["ended_at"].as_str() {
            self.ended_at = Some(ended_at.to_owned());
            self.status = run["status"].as_str().map(str::to_owned);
            self.silence = run["outputs"]["silence"].as_str().map(str::to_owned);
        }
    }

    async fn agrees(&self, world: &World, approval: &str) -> Looked<()> {
        let path = format!("/api/v1/approvals/{approval}");
        let asked = present(world.api().get(&path).await)?;
        let asked = match asked.ok() {
            Ok(asked) => asked,
            Err(error) => return Ok(Err(error)),
        };
        let body = json!({ "digest": asked["digest"], "comment": self.name });
        let answer = world.front().post(&format!("{path}/approve"), &body).await;
        Ok(present(answer)?.ok().map(drop))
    }
}

/// The run when it differs from what was seen, or after a while.
async fn change(api: &Api, id: &str, version: Option<&str>) -> Result<Answer> {
    let request = api.request(
        Method::GET,
        &format!("/api/v1/runs/{id}?wait=10&until=change"),
    );
    let request = match version {
        Some(version) => request.header("if-none-match", version),
        None => request,
    };
    api.send(request).await
}

/// The approval that the run waits for.
fn question(run: &Value) -> Option<&str> {
    let mut waiting = run["waiting_for"].as_array()?.iter();
    let approval = waiting.find(|waiting| waiting["kind"] == "approval")?;
    approval["id"].as_str()
}

/// An answer of the server itself, and not of one that is dead or not ready yet.
fn present(answer: Result<Answer>) -> Result<Answer> {
    let answer = answer?;
    let away = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE];
    ensure!(
        !away.contains(&answer.status),
        "it is away: {}",
        answer.text
    );
    Ok(answer)
}
