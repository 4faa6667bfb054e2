//! Somebody who does honest work all the time: one run a second, each of which is accepted and ends in good time.

use crate::api::Api;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// The workflow of the work: one READ.
pub(super) const WORKFLOW: &str = "honest";
/// How a run of it is begun.
pub(super) const START: &str = "POST /api/v1/workflows/honest/runs";

/// On a machine whose processors are all busy a run is accepted within this.
const ACCEPTED: Duration = Duration::from_secs(20);
/// And has ended within this, unless the owner of its run has other work.
pub(super) const SOON: Duration = Duration::from_secs(20);
/// So many runs of those that are wanted are begun at least: one a second.
const SHARE: f64 = 0.9;

/// The work, until it is ended or dropped.
pub(super) struct Honest {
    stop: CancellationToken,
    done: watch::Receiver<u32>,
    work: JoinSet<Done>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Accepted, and ended.
    runs: u32,
    time: Duration,
    /// The longest from a request to its 202, and to the end of its run.
    accepted: Duration,
    ended: Duration,
}

/// Begins; every run must have ended within this.
pub(super) fn begin(api: Api, within: Duration) -> Honest {
    let stop = CancellationToken::new();
    let (tell, done) = watch::channel(0);
    let mut work = JoinSet::new();
    work.spawn(go_on((api, within), stop.clone(), tell));
    Honest { stop, done, work }
}

impl Honest {
    /// Waits until the first runs have ended.
    pub(super) async fn warm(&self) {
        let mut done = self.done.clone();
        let waited = done.wait_for(|runs| *runs >= 3).await;
        waited.map(drop).expect("it goes on");
    }

    /// Ends.
    ///
    /// # Panics
    /// A run was not accepted or did not end in time.
    pub(super) async fn end(mut self) -> Done {
        self.stop.cancel();
        let ended = self.work.join_next().await.expect("it was begun");
        ended.expect("every run was accepted and has ended")
    }
}

impl Done {
    /// Fails where there were fewer than one a second, nearly.
    pub(super) fn assert_rate(&self) {
        let wanted = SHARE * self.time.as_secs_f64();
        assert!(f64::from(self.runs) >= wanted, "{self}");
    }

    fn add(&mut self, (accepted, ended): (Duration, Duration)) {
        self.runs += 1;
        self.accepted = self.accepted.max(accepted);
        self.ended = self.ended.max(ended);
    }
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            runs,
            time,
            accepted,
            ended,
        } = self;
        write!(
            f,
            "{runs} honest runs in {time:.1?}, accepted within {accepted:.2?}, ended within {ended:.2?}"
        )
    }
}

async fn go_on(
    (api, within): (Api, Duration),
    stop: CancellationToken,
    told: watch::Sender<u32>,
) -> Done {
    let api = Arc::new(api);
    let begin = Instant::now();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut runs = JoinSet::new();
    let mut done = Done::default();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(ended) = runs.join_next() => {
                done.add(ended.expect("a run"));
                told.send_replace(done.runs);
            }
            _ = second.tick() => {
                let api = api.clone();
                runs.spawn(async move { one(&api, within).await });
            }
        }
    }
    done.time = begin.elapsed();
    while let Some(ended) = runs.join_next().await {
        done.add(ended.expect("a run"));
    }
    done
}

async fn one(api: &Api, within: Duration) -> (Duration, Duration) {
    let ended = started_and_ended(api, within).await;
    ended.unwrap_or_else(|e| panic!("an honest run: {e:#}"))
}

async fn started_and_ended(api: &Api, within: Duration) -> Result<(Duration, Duration)> {
    let begin = Instant::now();
    let path = format!("/api/v1/workflows/{WORKFLOW}/runs");
    let body = json!({});
    let started = timeout(ACCEPTED, api.post(&path, &body)).await;
    let started = started.context("it is not accepted in time")??;
    let id = started.with_status(202)?["id"]
        .as_str()
        .context("no id")?
        .to_owned();
    let accepted = begin.elapsed();
    let path = format!("/api/v1/runs/{id}?wait=60&until=end");
    let ended = timeout(within, api.get(&path)).await;
    let run = ended.context("it does not end in time")??.ok()?;
    ensure!(run["status"] == "succeeded", "{run}");
    Ok((accepted, begin.elapsed()))
}
