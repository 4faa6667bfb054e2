//! Every process is replaced by another, one after the other, while work comes in.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use http::Method;
use mirastack_tests::api::Api;
use mirastack_tests::cluster::Cluster;
use mirastack_tests::person;
use mirastack_tests::role::{Role, Servers};
use mirastack_tests::wait::until;
use rustix::process::Signal;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;

const WORKFLOW: &str = "\
workflow: load
steps:
  - { id: first, uses: demo/echo, with: { value: one } }
  - { id: slow, uses: demo/slow, with: { steps: 3, step_ms: 50 } }
";

/// So many send requests, each one after the other.
const SENDERS: usize = 4;
/// Tries of one request, which finds a gateway that is going away at most twice: it is sent to the other.
const TRIES: usize = 100;

/// Where gateways are that have not ended.
type Gateways = Arc<Mutex<Vec<String>>>;

/// Sends requests until it is told to stop, and answers the runs. Where a connection breaks, the same request goes to
/// another gateway; an answer is never a failure. Also answers how often a request was sent and its answer did not come.
async fn sends(
    who: usize,
    api: Api,
    gateways: Gateways,
    stop: CancellationToken,
) -> Result<(Vec<String>, usize)> {
    let (mut runs, mut cut_off) = (Vec::new(), 0);
    while !stop.is_cancelled() {
        let key = format!("{who}-{}", runs.len());
        let mut accepted = None;
        for attempt in 0..TRIES {
            let url = {
                let all = gateways.lock().expect("nobody panics with it");
                all[(runs.len() + attempt) % all.len()].clone()
            };
            let path = "/api/v1/workflows/load/runs";
            let request = api.by(&url).request(Method::POST, path);
            let request = request
                .header("Idempotency-Key", &key)
                .json(&json!({ "inputs": {} }));
            match api.send(request).await {
                Ok(answer) => {
                    accepted = Some(answer.with_status(202)?);
                    break;
                }
                Err(error) => {
                    let asked = error.downcast_ref::<reqwest::Error>();
                    cut_off += usize::from(!asked.is_some_and(reqwest::Error::is_connect));
                    sleep(Duration::from_millis(20)).await;
                }
            }
        }
        let accepted = accepted.context("no gateway takes it")?;
        runs.push(accepted["id"].as_str().context("an id")?.to_owned());
        sleep(Duration::from_millis(20)).await;
    }
    Ok((runs, cut_off))
}

/// Ends a role in good order, and starts another in its place.
async fn replace(role: &mut Role, verb: &str, servers: &Servers) -> Result<()> {
    role.process.signal(Signal::TERM)?;
    let status = role.process.ended().await?;
    ensure!(status.success(), "{verb}: {status}");
    *role = Role::start(verb, servers).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_role_is_restarted_under_load_and_no_request_fails() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let api = cluster.api().await?;
    until("the agent to be known", async || {
        api.put_yaml("/api/v1/workflows/load", WORKFLOW).await?.ok()
    })
    .await?;
    let urls: Result<Vec<String>> = cluster.gateways.iter().map(Role::url).collect();
    let gateways: Gateways = Arc::new(Mutex::new(urls?));
    let stop = CancellationToken::new();
    let mut senders = JoinSet::new();
    for who in 0..SENDERS {
        senders.spawn(sends(who, api.clone(), Arc::clone(&gateways), stop.clone()));
    }

    for number in 0..cluster.gateways.len() {
        replace(&mut cluster.gateways[number], "gateway", &cluster.servers).await?;
        let url = cluster.gateways[number].url()?;
        gateways.lock().expect("nobody panics with it")[number] = url;
    }
    for role in &mut cluster.schedulers {
        replace(role, "scheduler", &cluster.servers).await?;
    }
    for role in &mut cluster.workers {
        replace(role, "worker", &cluster.servers).await?;
    }

    stop.cancel();
    let api = api.by(&cluster.url()?);
    let (mut count, mut lost_answers) = (0, 0);
    while let Some(sent) = senders.join_next().await {
        let (runs, cut_off) = sent??;
        lost_answers += cut_off;
        for run in runs {
            let ended = person::ended(&api, &run).await?;
            ensure!(ended["status"] == "succeeded", "{ended}");
            count += 1;
        }
    }
    // At most what was in flight when a gateway was asked to end.
    let in_flight = SENDERS * cluster.gateways.len();
    ensure!(
        lost_answers <= in_flight,
        "{lost_answers} answers did not come"
    );
    ensure!(count >= 50, "only {count} runs came in");
    let mut listed = 0;
    let mut after = String::new();
    loop {
        let page = api
            .get(&format!("/api/v1/runs?limit=1000{after}"))
            .await?
            .ok()?;
        listed += page["items"].as_array().context("a list")?.len();
        match page["next_cursor"].as_str() {
            Some(next) => after = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(
        listed == count,
        "{listed} runs are there of {count} that were accepted"
    );
    Ok(())
}
