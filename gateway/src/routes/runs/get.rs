//! One run, also waited for.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use engine::digest::Digest;
use engine::event::{Event, PinnedAction};
use engine::id::RunKey;
use engine::record::Record;
use engine::registry::action_digest;
use engine::run::Run;
use http::header::{CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use store::port::{News, Subscription, Topic};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::gate::{Gate, Shared};
use crate::journal::{Read, run_key};
use crate::problem::Problem;
use crate::request::{Arg, Args};
use crate::respond::{self, names, revision_tag};
use crate::route::{Route, Shape};
use crate::show::run::ShownRun;

/// A waited-for run is looked at so often, whatever is told of it: live news may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/runs/{id}", Right::Read),
            "getRun",
            "A run. With `wait` the answer comes when the run is as asked, or as it is after that time.",
            get,
        )
        .waits()
        .args(&[
            Arg {
                name: "wait",
                says: "Seconds to wait, at most 60.",
            },
            Arg {
                name: "until",
                says: "`end`, `attention` (ended, or a person is needed) or `change` (differs from `If-None-Match`).",
            },
        ])
        .answer(200, "The run.", Shape::json::<ShownRun>()),
        Route::get(
            ("/api/v1/runs/{id}/blobs/{sha256}", Right::Read),
            "getBlob",
            "A large value of a run.",
            blob,
        )
        .answer(200, "The value.", Shape::any("application/json")),
    ]
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    End,
    Attention,
    Change,
}

async fn get(
    State(gate): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    args: Args,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = run_key(&caller.tenant, &id)?;
    // Without a wait it decides nothing, and is read all the same: a mistake in it would come out later.
    let until = until(&args, &headers)?;
    let Some(wait) = wait(&gate, &args)? else {
        return answer(&gate, &key, &caller).await;
    };
    let end = Instant::now() + wait;
    let mut heard = gate.backend.live.subscribe(Topic::Run(key.clone()));
    let mut known = None;
    loop {
        let run = match known.take() {
            Some(run) => Read::Whole(run),
            None => gate.read_run(&key).await?,
        };
        let run = match run {
            Read::Whole(run) => run,
            Read::Damaged(row, what) => {
                return Ok(respond::json(&ShownRun::damaged(
                    &row,
                    &caller.tenant,
                    &what,
                )));
            }
        };
        let shown = shown(&gate, &run).await?;
        let tag = revision_tag(run.n());
        let there = match until {
            Until::End => shown.status.is_end(),
            Until::Attention => shown.status.is_end() || shown.needs_a_person(),
            Until::Change => !names(&headers, &IF_NONE_MATCH, &tag),
        };
        if there || Instant::now() >= end || gate.stopping.is_cancelled() {
            return Ok(respond::tagged(&shown, &tag));
        }
        if until == Until::End {
            // Showing it after each record would cost more than the run. Errors are met above.
            let ended = timeout_at(end, until_ended(&gate, &key, &mut heard, Some(run))).await;
            known = ended.ok().and_then(Result::ok);
        } else {
            news(&gate, &mut heard, end).await;
        }
    }
}

fn wait(gate: &Gate, args: &Args) -> Result<Option<Duration>, Problem> {
    let seconds = args.parsed::<u64>("wait", "a number of seconds")?;
    let longest = Duration::from_millis(gate.config.wait_max.millis());
    Ok(seconds.map(|seconds| Duration::from_secs(seconds).min(longest)))
}

fn until(args: &Args, headers: &HeaderMap) -> Result<Until, Problem> {
    match args.one("until") {
        Some("end") => Ok(Until::End),
        Some("attention") => Ok(Until::Attention),
        Some("change") => Ok(Until::Change),
        None if headers.contains_key(IF_NONE_MATCH) => Ok(Until::Change),
        None => Ok(Until::End),
        Some(other) => Err(Problem::malformed(format!(
            "until is {other:?}: it must be end, attention or change"
        ))),
    }
}

/// Waits for the next record, or until it is time to look again.
async fn news(gate: &Gate, heard: &mut Subscription, end: Instant) {
    let look = end.min(Instant::now() + LOOK_AGAIN);
    loop {
        tokio::select! {
            biased;
            () = gate.stopping.cancelled() => return,
            news = heard.recv() => match news {
                Ok(News::Progress { .. } | News::Log { .. } | News::Answered { .. }) => {}
                Ok(News::Record { .. }) | Err(RecvError::Lagged(_)) => return,
                Err(RecvError::Closed) => return sleep_until(look).await,
            },
            () = sleep_until(look) => return,
        }
    }
}

/// Waits until a run has ended, or this gateway stops, and answers it as it is then. What was `heard` from before its
/// creation misses nothing.
///
/// # Errors
/// 503.
pub(super) async fn ended(
    gate: &Gate,
    key: &RunKey,
    heard: Option<Subscription>,
) -> Result<Box<Run>, Problem> {
    match heard {
        Some(mut heard) => until_ended(gate, key, &mut heard, None).await,
        None => {
            let mut heard = gate.backend.live.subscribe(Topic::Run(key.clone()));
            let run = gate.whole_run(key).await?;
            until_ended(gate, key, &mut heard, Some(run)).await
        }
    }
}

/// As [`ended`], of a run as it was after what is heard began. Each record is made part of it as it is told; the
/// journal is read only where one was missed.
async fn until_ended(
    gate: &Gate,
    key: &RunKey,
    heard: &mut Subscription,
    mut run: Option<Box<Run>>,
) -> Result<Box<Run>, Problem> {
    let mut stopping = pin!(gate.stopping.cancelled());
    let mut look = pin!(tokio::time::sleep(LOOK_AGAIN));
    loop {
        if let Some(ended) = run.take_if(|run| run.status().is_end()) {
            return Ok(ended);
        }
        let complete = tokio::select! {
            biased;
            () = &mut stopping => return gate.whole_run(key).await,
            news = heard.recv() => match news {
                Ok(News::Record { record, events, hash }) => learn(&mut run, &record, &events, hash),
                Ok(News::Progress { .. } | News::Log { .. } | News::Answered { .. }) => true,
                Err(RecvError::Lagged(_)) => false,
                Err(RecvError::Closed) => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    false
                }
            },
            () = &mut look => {
                look.as_mut().reset(Instant::now() + LOOK_AGAIN);
                false
            }
        };
        if !complete {
            run = Some(gate.whole_run(key).await?);
        }
    }
}

/// Makes a record part of its run. Answers whether none is missing before it.
fn learn(run: &mut Option<Box<Run>>, record: &Record, events: &[Event], hash: Digest) -> bool {
    match run {
        Some(run) => record.n <= run.n() || run.follow(record, events, hash).is_ok(),
        None => {
            *run = Run::begin(record, events, hash).ok().map(Box::new);
            run.is_some()
        }
    }
}

async fn answer(gate: &Arc<Gate>, key: &RunKey, caller: &Caller) -> Result<Response, Problem> {
    match gate.read_run(key).await? {
        Read::Whole(run) => {
            let tag = revision_tag(run.n());
            Ok(respond::tagged(&shown(gate, &run).await?, &tag))
        }
        Read::Damaged(row, what) => Ok(respond::json(&ShownRun::damaged(
            &row,
            &caller.tenant,
            &what,
        ))),
    }
}

/// A run as the API shows it.
///
/// # Errors
/// 503.
pub(super) async fn shown(gate: &Gate, run: &Run) -> Result<ShownRun, Problem> {
    let created = &run.state().head.created;
    let tenant = &run.key().tenant;
    let workflow = gate.definition(tenant, created.definition).await?;
    let blobs = blobs_of(gate, run.key());
    let offered = |action: &PinnedAction| {
        let agent = gate.agents.get(tenant, &action.name.agent);
        agent.is_some_and(|agent| {
            let known = agent.value.manifest.action(&action.name.action);
            known.is_some_and(|a| action_digest(&action.name.agent, a) == action.digest)
        })
    };
    Ok(ShownRun::of(run, &workflow, &blobs, &offered))
}

/// Where the large values of a run can be read.
pub(super) fn blobs_of(gate: &Gate, key: &RunKey) -> String {
    format!("{}/blobs", gate.run_url(key.run))
}

async fn blob(
    State(gate): State<Shared>,
    caller: Caller,
    Path((id, sha256)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let key = run_key(&caller.tenant, &id)?;
    let missing = || Problem::not_found("value", &sha256);
    let digest: Digest = sha256.parse().map_err(|_| missing())?;
    let bytes = match gate.backend.blobs.get(&key, digest).await? {
        Some(bytes) => bytes,
        None => inline(&gate, &key, digest).await?.ok_or_else(missing)?,
    };
    let json = HeaderValue::from_static("application/json");
    let tag = format!("\"{digest}\"");
    let mut response = respond::tagged_bytes(StatusCode::OK, json.clone(), bytes, &tag);
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// A value that stands in the first record, but is too large to be shown with the run.
async fn inline(gate: &Gate, key: &RunKey, digest: Digest) -> Result<Option<Vec<u8>>, Problem> {
    let run = gate.whole_run(key).await?;
    let created = &run.state().head.created;
    let mut values = created.inputs.values().chain(&created.trigger.event);
    let found = values.find(|value| value.digest == digest);
    Ok(found.and_then(|value| value.inline.as_ref().map(|bytes| bytes.to_vec())))
}
