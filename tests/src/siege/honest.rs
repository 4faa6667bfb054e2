//! Somebody who does honest work all the time: one run a second, each of which is accepted and ends.

use crate::api::Api;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// The workflow of the work: one READ.
pub(super) const WORKFLOW: &str = "honest";
/// How a run of it is begun.
pub(super) const START: &str = "POST /api/v1/workflows/honest/runs";

/// The work, until it is ended or dropped.
pub(super) struct Honest {
    stop: CancellationToken,
    done: watch::Receiver<u32>,
    work: JoinSet<u32>,
}

/// Begins.
pub(super) fn begin(api: Api) -> Honest {
    let stop = CancellationToken::new();
    let (tell, done) = watch::channel(0);
    let mut work = JoinSet::new();
    work.spawn(go_on(api, stop.clone(), tell));
    Honest { stop, done, work }
}

impl Honest {
    /// Waits until the first runs have ended.
    pub(super) async fn warm(&self) {
        let mut done = self.done.clone();
        let waited = done.wait_for(|runs| *runs >= 3).await;
        waited.map(drop).expect("it goes on");
    }

    /// Ends; answers how many runs there were.
    ///
    /// # Panics
    /// One was not accepted or did not end.
    pub(super) async fn end(mut self) -> u32 {
        self.stop.cancel();
        let ended = self.work.join_next().await.expect("it was begun");
        ended.expect("every run was accepted and has ended")
    }
}

async fn go_on(api: Api, stop: CancellationToken, done: watch::Sender<u32>) -> u32 {
    let api = Arc::new(api);
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut runs = JoinSet::new();
    let mut count = 0;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = runs.join_next() => {
                ended.expect("a run");
                done.send_modify(|done| *done += 1);
            }
            _ = second.tick() => {
                let api = api.clone();
                runs.spawn(async move { one(&api).await });
                count += 1;
            }
        }
    }
    while let Some(ended) = runs.join_next().await {
        ended.expect("a run");
    }
    count
}

async fn one(api: &Api) {
    let ended = started_and_ended(api).await;
    let run = ended.unwrap_or_else(|e| panic!("an honest run: {e:#}"));
    assert_eq!(run["status"], "succeeded", "{run}");
}

async fn started_and_ended(api: &Api) -> Result<Value> {
    let path = format!("/api/v1/workflows/{WORKFLOW}/runs");
    let accepted = api.post(&path, &json!({})).await?.with_status(202)?;
    let id = accepted["id"].as_str().context("no id")?;
    let path = format!("/api/v1/runs/{id}?wait=60&until=end");
    api.get(&path).await?.ok()
}
