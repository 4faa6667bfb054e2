//! The live events of a run, over server-sent events that survive lost connections.
//!
//! History comes first; `Last-Event-ID` goes on where a connection broke. The server sends a
//! comment every 15 s, so silence of three of these means that the connection is dead.

use std::time::Duration;

use eventsource_stream::{Event, Eventsource};
use futures::stream::{BoxStream, Stream, StreamExt, unfold};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::call::{Call, v1};
use crate::client::{Api, chain};
use crate::exit::{Exit, Failure, Result};
use crate::patience::pauses;

/// Three of the server's comments missing.
const SILENCE: Duration = Duration::from_secs(45);
/// Without `--timeout`, a server that is gone for so long is given up.
const GIVE_UP: Duration = Duration::from_secs(300);

/// What was heard.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// A record of the journal.
    Record(Value),
    /// An agent says how far it is.
    Progress(Value),
    /// An agent says something.
    Log(Value),
    /// Words of agents may be missing here.
    Missed,
    /// There will be nothing more.
    Ended,
    /// The connection is lost and being made again.
    Lost(String),
}

struct Connection<'a> {
    api: &'a Api,
    run: String,
    last: Option<String>,
    stream: Option<BoxStream<'a, std::result::Result<Event, String>>>,
    pauses: Box<dyn Iterator<Item = Duration>>,
    lost_at: Option<Instant>,
    heard: bool,
    patient: bool,
    over: bool,
}

/// The events of `run`. A server of which nothing was ever heard (`heard`: by the caller) is given up at once. With
/// `patient` the caller has a deadline of its own, and a lost server is never given up here.
pub(crate) fn events<'a>(
    api: &'a Api,
    run: &str,
    heard: bool,
    patient: bool,
) -> impl Stream<Item = Result<Heard>> + 'a {
    let connection = Connection {
        api,
        run: run.to_owned(),
        last: None,
        stream: None,
        pauses: Box::new(pauses()),
        lost_at: None,
        heard,
        patient,
        over: false,
    };
    unfold(connection, |mut connection| async move {
        if connection.over {
            return None;
        }
        let heard = connection.hear().await;
        connection.over = matches!(heard, Ok(Heard::Ended) | Err(_));
        Some((heard, connection))
    })
}

impl Connection<'_> {
    async fn hear(&mut self) -> Result<Heard> {
        loop {
            let Some(stream) = &mut self.stream else {
                if let Some(heard) = self.connect().await? {
                    return Ok(heard);
                }
                continue;
            };
            let why = match timeout(SILENCE, stream.next()).await {
                Ok(Some(Ok(event))) => {
                    if let Some(heard) = self.sort(&event) {
                        return Ok(heard);
                    }
                    continue;
                }
                Ok(Some(Err(_))) => "it broke off".to_owned(),
                Ok(None) => "the server closed the connection".to_owned(),
                Err(_) => "the connection is silent".to_owned(),
            };
            if let Some(heard) = self.lose(why).await {
                return Ok(heard);
            }
        }
    }

    /// Opens the stream; `Some` if there is something to say about it.
    async fn connect(&mut self) -> Result<Option<Heard>> {
        let mut call = Call::get(v1(["runs", &self.run, "events"])).accepting("text/event-stream");
        if self.heard {
            // From here on it is this stream that is patient.
            call = call.once();
        }
        if let Some(last) = &self.last {
            call = call.header("last-event-id", last);
        }
        match self.api.open(&call).await {
            Ok(answer) if answer.status() == StatusCode::NO_CONTENT => Ok(Some(Heard::Ended)),
            Ok(answer) => {
                let events = answer
                    .bytes_stream()
                    .map(|part| part.map_err(|e| chain(&e)))
                    .eventsource();
                self.heard = true;
                self.stream = Some(events.map(|event| event.map_err(|e| e.to_string())).boxed());
                Ok(None)
            }
            Err(failure) if failure.exit != Exit::Unreachable => Err(failure),
            Err(failure) if self.given_up() => Err(Failure::new(
                Exit::Unreachable,
                format!("{} — the run's state is not known", failure.message),
            )
            .hint(format!(
                "the run may well go on: miractl run watch {}",
                self.run
            ))),
            Err(failure) => Ok(self.lose(failure.message).await),
        }
    }

    fn given_up(&self) -> bool {
        !self.heard || !self.patient && self.lost_at.is_some_and(|since| since.elapsed() > GIVE_UP)
    }

    /// Waits before the next connection; says so the first time.
    async fn lose(&mut self, why: String) -> Option<Heard> {
        self.stream = None;
        let first = self.lost_at.is_none();
        self.lost_at.get_or_insert_with(Instant::now);
        if first {
            return Some(Heard::Lost(why));
        }
        sleep(self.pauses.next().unwrap_or(SILENCE)).await;
        None
    }

    fn sort(&mut self, event: &Event) -> Option<Heard> {
        if self.lost_at.take().is_some() {
            self.pauses = Box::new(pauses());
        }
        if !event.id.is_empty() {
            self.last = Some(event.id.clone());
        }
        let data = serde_json::from_str(&event.data).unwrap_or(Value::Null);
        match event.event.as_str() {
            "record" | "message" => Some(Heard::Record(data)),
            "progress" => Some(Heard::Progress(data)),
            "log" => Some(Heard::Log(data)),
            "gap" => Some(Heard::Missed),
            "run.ended" => Some(Heard::Ended),
            _ => None,
        }
    }
}
