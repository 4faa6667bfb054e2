//! What happens, as it happens: server-sent events.
//!
//! The journal is the truth and live news a hint: whoever listens reads the journal up to its end, then takes news as
//! long as each follows the one before, and else reads the journal again. So there is no gap and nothing twice.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use engine::event::RunStatus;
use engine::id::RunKey;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::json;
use store::port::{News, Subscription, Topic};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::config::std_time;
use crate::gate::{Gate, Shared};
use crate::journal::{ShownRecord, end_in, run_key};
use crate::problem::Problem;
use crate::request::header;
use crate::respond::{self, NO_STORE};
use crate::route::{Route, Shape};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const EVENT_STREAM: &str = "text/event-stream";
/// Events that wait for a slow reader; then the journal waits for it.
const BUFFER: usize = 64;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/runs/{id}/events", Right::Read),
            "streamRun",
            "What happens in a run: `record` (its id is the record's number), `progress`, `log`, at last `run.ended`; \
             `gap` where lines of the log or progress may be missing, and no record is. `Last-Event-ID` resumes.",
            one,
        )
        .answer(200, "The events.", Shape::events(EVENT_STREAM))
        .empty(204, "The run has ended, and everything was sent before."),
        Route::get(
            ("/api/v1/events", Right::Read),
            "streamAll",
            "What happens in all runs, from now on: `record` with its `run`; `gap` when some were missed. It has no history: \
             whoever was away reads the lists, and `Last-Event-ID` is refused.",
            all,
        )
        .answer(200, "The events.", Shape::events(EVENT_STREAM)),
    ]
}

async fn one(
    State(gate): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let key = run_key(&caller.tenant, &id)?;
    let after = match header(&headers, &LAST_EVENT_ID).filter(|id| !id.is_empty()) {
        None => 0,
        Some(id) => id
            .parse()
            .map_err(|_| Problem::malformed("Last-Event-ID must be the number of a record"))?,
    };
    let run = gate.whole_run(&key).await?;
    if run.status().is_end() && after >= run.n() {
        return Ok(respond::empty());
    }
    let (sender, receiver) = channel(BUFFER);
    let told = Told::new(&gate, caller, sender);
    gate.tasks.spawn(follow(told, key, after));
    Ok(stream(receiver))
}

async fn all(
    State(gate): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if headers.contains_key(LAST_EVENT_ID) {
        let detail = "the stream of all runs begins now and has no history: it cannot go on after Last-Event-ID";
        let hint = "leave it out; GET /api/v1/runs has what was missed, and the stream of one run its history";
        return Err(Problem::malformed(detail).hint(hint));
    }
    let heard = gate
        .backend
        .live
        .subscribe(Topic::Tenant(caller.tenant.clone()));
    let (sender, receiver) = channel(BUFFER);
    let told = Told::new(&gate, caller, sender);
    gate.tasks.spawn(follow_all(told, heard));
    Ok(stream(receiver))
}

fn stream(receiver: Receiver<Bytes>) -> Response {
    let parts = ReceiverStream::new(receiver).map(Ok::<_, Infallible>);
    let mut response = Response::new(Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(CACHE_CONTROL, NO_STORE);
    // Proxies that collect answers would keep the events back.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

/// One listener.
struct Told {
    gate: Arc<Gate>,
    caller: Caller,
    sender: Sender<Bytes>,
    beat: Interval,
}

/// The listener is gone or may not listen any more, or everything was said.
struct Over;

impl Told {
    fn new(gate: &Arc<Gate>, caller: Caller, sender: Sender<Bytes>) -> Self {
        let mut beat = interval(std_time(gate.config.heartbeat));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            gate: gate.clone(),
            caller,
            sender,
            beat,
        }
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Over> {
        self.sender.send(bytes).await.map_err(|_| Over)
    }

    async fn event<T: Serialize>(&self, id: Option<u64>, name: &str, data: &T) -> Result<(), Over> {
        self.send(event(id, name, data)).await
    }

    /// The next news, with a comment at each beat; over when the listener's token is.
    async fn next(&mut self, heard: &mut Subscription) -> Result<Result<News, RecvError>, Over> {
        loop {
            tokio::select! {
                biased;
                () = self.gate.stopping.cancelled() => return Err(Over),
                () = self.sender.closed() => return Err(Over),
                // Before the news: they may follow each other without a pause.
                _ = self.beat.tick() => {
                    if !self.caller.still_holds(&self.gate) {
                        return Err(Over);
                    }
                    let comment = Bytes::from_static(b":\n\n");
                    self.sender.send(comment).await.map_err(|_| Over)?;
                }
                news = heard.recv() => return Ok(news),
            }
        }
    }
}

/// An event as it goes over the wire. JSON has no line breaks of its own, so that it is one line.
fn event<T: Serialize>(id: Option<u64>, name: &str, data: &T) -> Bytes {
    let data = serde_json::to_string(data).expect("its keys are text");
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("{id}event: {name}\ndata: {data}\n\n").into()
}

/// Tells one run to one listener.
async fn follow(mut told: Told, key: RunKey, after: u64) {
    let Err(Over) = follow_from(&mut told, &key, after).await else {
        return;
    };
}

async fn follow_from(told: &mut Told, key: &RunKey, after: u64) -> Result<(), Over> {
    let mut heard = told.gate.backend.live.subscribe(Topic::Run(key.clone()));
    let mut n = after;
    loop {
        n = history(told, key, n).await?;
        loop {
            match told.next(&mut heard).await? {
                Ok(News::Record { record, .. }) if record.n <= n => {}
                Ok(News::Record {
                    record,
                    events,
                    hash,
                }) if record.n == n + 1 => {
                    n = record.n;
                    let shown = ShownRecord::new(&record, &events, hash);
                    told.event(Some(n), "record", &shown).await?;
                    if let Some(status) = end_in(&events) {
                        return ended(told, key, (n, status)).await;
                    }
                }
                // Something was missed: the journal has it.
                Ok(News::Record { .. }) => break,
                // The same, but for what it does not have.
                Err(RecvError::Lagged(missed)) => {
                    told.event(None, "gap", &json!({"missed": missed})).await?;
                    break;
                }
                Ok(News::Progress {
                    step,
                    percent,
                    message,
                }) => {
                    let data = json!({"step": step, "percent": percent, "message": message});
                    told.event(None, "progress", &data).await?;
                }
                Ok(News::Log {
                    step,
                    level,
                    message,
                }) => {
                    let data = json!({"step": step, "level": level, "message": message});
                    told.event(None, "log", &data).await?;
                }
                Ok(News::Answered { .. }) => {}
                Err(RecvError::Closed) => return Err(Over),
            }
        }
    }
}

/// Tells the journal after `n`; answers the number of its last record.
async fn history(told: &Told, key: &RunKey, mut n: u64) -> Result<u64, Over> {
    let entries = told.gate.backend.journal.read(key, n).await;
    let entries = entries.map_err(|error| {
        tracing::warn!(%error, run = %key.run, "a run is not followed further");
        Over
    })?;
    for entry in &entries {
        let events = entry.record.events().map_err(|_| Over)?;
        n = entry.record.n;
        let shown = ShownRecord::new(&entry.record, &events, entry.hash);
        told.event(Some(n), "record", &shown).await?;
        if let Some(status) = end_in(&events) {
            ended(told, key, (n, status)).await?;
            return Err(Over);
        }
    }
    Ok(n)
}

async fn ended(told: &Told, key: &RunKey, (n, status): (u64, RunStatus)) -> Result<(), Over> {
    let data = json!({"run": key.run, "status": status});
    told.event(Some(n), "run.ended", &data).await
}

/// A record of some run.
#[derive(Serialize)]
struct OfRun {
    run: engine::id::RunId,
    #[serde(flatten)]
    record: ShownRecord,
}

/// Tells all runs to one listener.
async fn follow_all(mut told: Told, mut heard: Subscription) {
    loop {
        let sent = match told.next(&mut heard).await {
            Err(Over) | Ok(Err(RecvError::Closed)) => return,
            Ok(Err(RecvError::Lagged(missed))) => {
                told.event(None, "gap", &json!({"missed": missed})).await
            }
            Ok(Ok(News::Record {
                record,
                events,
                hash,
            })) => {
                let data = OfRun {
                    run: record.key.run,
                    record: ShownRecord::new(&record, &events, hash),
                };
                told.event(None, "record", &data).await
            }
            Ok(Ok(News::Progress { .. } | News::Log { .. } | News::Answered { .. })) => Ok(()),
        };
        if sent.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_data() {
        let bytes = event(Some(3), "record", &json!({"text": "a\nb"}));
        assert_eq!(
            &bytes[..],
            b"id: 3\nevent: record\ndata: {\"text\":\"a\\nb\"}\n\n"
        );
    }
}
