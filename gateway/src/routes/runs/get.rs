//! One run, also waited for.

use std::pin::pin;
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
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::gate::{Gate, Shared};
use crate::journal::{Read, end_in, run_key};
use crate::problem::Problem;
use crate::request::{Arg, Args};
use crate::respond::{self, names};
use crate::route::{Route, Shape};
use crate::show::run::ShownRun;

/// A waited-for run is looked at so often, whatever is told of it: live news may be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Where news were missed its journal is read at most so often: where there are many, they are missed again and again.
const READ_AGAIN: Duration = Duration::from_millis(250);
/// Whoever waits keeps a run while its records take no more than this, in bytes. Of a larger one its end is heard of.
const KEPT_MAX: usize = 64 * 1024;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/runs/{id}", Right::Read),
            "getRun",
            "A run. With `wait` the answer comes when the run is as asked, or as it is after that time.",
            get,
        )
        .waits()
        .args(const { &[
            Arg::one("wait", "Seconds to wait, at most 60."),
            Arg::one(
                "until",
                "`end`, `attention` (ended, or a person is needed) or `change` (differs from `If-None-Match`).",
            ),
        ] })
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
        let read = gate.read_run(&key).await?;
        let answer = look(&gate, &caller, read, |_, _| true).await?;
        return answer.ok_or_else(Problem::internal);
    };
    let end = Instant::now() + wait;
    let mut heard = gate.backend.live.subscribe(Topic::Run(key.clone()));
    let mut known = None;
    loop {
        let looked_at = Instant::now();
        let read = match known.take() {
            Some(run) => Read::Whole(run),
            None => gate.read_run(&key).await?,
        };
        let over = looked_at >= end || gate.stopping.is_cancelled();
        if let Some(answer) = look(&gate, &caller, read, |run, tag| {
            over || match until {
                Until::End => run.status.is_end(),
                Until::Attention => run.status.is_end() || run.needs_a_person(),
                Until::Change => !names(&headers, &IF_NONE_MATCH, tag),
            }
        })
        .await?
        {
            return Ok(answer);
        }
        // Nothing of the run is kept meanwhile: many may wait.
        if until == Until::End {
            // Showing it after each record would cost more than the run. Errors are met above.
            let ended =
                timeout_at(end, until_ended(&gate, &key, &mut heard, Kept::default())).await;
            known = ended.ok().and_then(Result::ok);
        } else {
            news(&gate, &mut heard, end.min(looked_at + READ_AGAIN), end).await;
        }
    }
}

/// The run as it is, if it is as wanted. What cannot be read is not waited for.
async fn look(
    gate: &Gate,
    caller: &Caller,
    read: Read,
    wanted: impl Fn(&ShownRun, &str) -> bool,
) -> Result<Option<Response>, Problem> {
    Ok(match read {
        Read::Whole(run) => {
            let shown = shown(gate, &run).await?;
            let tag = gate.revision_tag(run.n());
            wanted(&shown, &tag).then(|| respond::tagged(&shown, &tag))
        }
        Read::Damaged(row, what) => Some(respond::json(&ShownRun::damaged(
            *row,
            &caller.tenant,
            &what,
        ))),
    })
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

/// Waits for the next record, or until it is time to look again: not before `again` where news were missed.
async fn news(gate: &Gate, heard: &mut Subscription, again: Instant, end: Instant) {
    let look = end.min(Instant::now() + LOOK_AGAIN);
    loop {
        tokio::select! {
            biased;
            () = gate.stopping.cancelled() => return,
            news = heard.recv() => match news {
                Ok(News::Progress { .. } | News::Log { .. } | News::Answered { .. }) => {}
                Ok(News::Record { .. }) => return,
                Err(RecvError::Lagged(_)) => return sleep_until(again).await,
                Err(RecvError::Closed) => return sleep_until(look).await,
            },
            () = sleep_until(look) => return,
        }
    }
}

/// A run that was just made, and what is heard of it since before that.
pub(super) type Made = (Subscription, Box<Run>);

/// Waits until a run has ended, or this gateway stops, and answers it as it is then.
///
/// # Errors
/// 503.
pub(super) async fn ended(
    gate: &Gate,
    key: &RunKey,
    made: Option<Made>,
) -> Result<Box<Run>, Problem> {
    if let Some((mut heard, run)) = made {
        if run.status().is_end() {
            return Ok(run);
        }
        return until_ended(gate, key, &mut heard, Kept::from(run)).await;
    }
    let mut heard = gate.backend.live.subscribe(Topic::Run(key.clone()));
    let run = gate.whole_run(key).await?;
    if run.status().is_end() {
        return Ok(run);
    }
    drop(run);
    until_ended(gate, key, &mut heard, Kept::default()).await
}

/// As [`ended`], of a run that had not ended after what is heard began.
async fn until_ended(
    gate: &Gate,
    key: &RunKey,
    heard: &mut Subscription,
    mut kept: Kept,
) -> Result<Box<Run>, Problem> {
    let mut stopping = pin!(gate.stopping.cancelled());
    let mut look = pin!(sleep(LOOK_AGAIN));
    let mut again = Instant::now();
    loop {
        let may_have_ended = tokio::select! {
            biased;
            () = &mut stopping => return gate.whole_run(key).await,
            news = heard.recv() => match news {
                Ok(News::Record { record, events, hash }) => {
                    kept.learn(&record, &events, hash);
                    end_in(&events).is_some()
                }
                Ok(News::Progress { .. } | News::Log { .. } | News::Answered { .. }) => false,
                Err(RecvError::Lagged(_)) => {
                    // The end comes last, so it is most likely among what can still be heard.
                    kept.run = None;
                    look.as_mut().reset(again);
                    false
                }
                Err(RecvError::Closed) => {
                    sleep(LOOK_AGAIN).await;
                    true
                }
            },
            () = &mut look => {
                look.as_mut().reset(Instant::now() + LOOK_AGAIN);
                true
            }
        };
        if let Some(ended) = kept.run.take_if(|run| run.status().is_end()) {
            return Ok(ended);
        }
        if may_have_ended {
            again = Instant::now() + READ_AGAIN;
            let run = gate.whole_run(key).await?;
            if run.status().is_end() {
                return Ok(run);
            }
        }
    }
}

/// A run that is known from its first record on, while it is small.
#[derive(Default)]
struct Kept {
    run: Option<Box<Run>>,
    bytes: usize,
}

impl From<Box<Run>> for Kept {
    fn from(run: Box<Run>) -> Self {
        Self {
            run: Some(run),
            bytes: 0,
        }
    }
}

impl Kept {
    /// Makes a record part of it. Where one is missing, or they are too many, it is not kept any more.
    fn learn(&mut self, record: &Record, events: &[Event], hash: Digest) {
        self.bytes += record.payload.len();
        self.run = match self.run.take() {
            _ if self.bytes > KEPT_MAX => None,
            None => None,
            Some(run) if record.n <= run.n() => Some(run),
            Some(mut run) => run.follow(record, events, hash).is_ok().then_some(run),
        };
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
