//! What it does in a call.

use std::io::Write;
use std::pin::Pin;
use std::process::{Command, Stdio};

use futures::{Stream, StreamExt, stream};
use proto::environment;
use proto::v1::execute_event::Event;
use proto::v1::{self, ExecuteEvent, ExecuteRequest, ExecuteResponse};
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::service::refused;
use crate::{Puppet, say, variable};

/// What it says in a call.
pub(crate) type Events = Pin<Box<dyn Stream<Item = Result<ExecuteEvent, Status>> + Send>>;

impl Puppet {
    pub(crate) async fn act(&self, request: ExecuteRequest) -> Result<Events, Status> {
        let params: Value = serde_json::from_slice(&request.params_json).unwrap_or_default();
        let result = |value: Value| {
            Event::Result(ExecuteResponse {
                success: true,
                result_json: value.to_string().into(),
                ..ExecuteResponse::default()
            })
        };
        let events = match params["do"].as_str().unwrap_or("echo") {
            "pid" => vec![result(json!({ "pid": std::process::id() }))],
            "token" => vec![result(json!({ "token": variable(environment::TOKEN) }))],
            "environment" => vec![result(environment_of_this())],
            "request" => vec![result(told(&request))],
            "ask" => match self.ask(&request, &params).await {
                Ok(told) => vec![result(told)],
                Err(status) => vec![failure(&json!({ "error": status.message() }))],
            },
            "call back" => vec![result(self.call_back(&request).await)],
            "die" => {
                say(params["last words"].as_str().unwrap_or("aargh"));
                std::process::exit(9);
            }
            "hang" => return Ok(stream::pending().boxed()),
            "hang up" => Vec::new(),
            "refused" => vec![result(json!({ "streams": refused() }))],
            "answer twice" => vec![result(json!({ "n": 1 })), result(json!({ "n": 2 }))],
            "talk on" => return Ok(talk_on()),
            "bad" => return self.misbehave(&params).await,
            "nonsense" => return Ok(stream::iter([Ok(ExecuteEvent { event: None })]).boxed()),
            "huge" => vec![result(
                json!({ "text": "x".repeat(proto::limits::EXECUTE_REPLY) }),
            )],
            "refuse" => return Err(Status::new(Code::Unauthenticated, "who are you?")),
            "fail" => vec![failure(&params)],
            "dense" => vec![written(&dense())],
            "name twice" => vec![written(r#"{"a":1,"b":{"c":1,"\u0063":2}}"#)],
            "talk" => vec![
                Event::Progress(v1::Progress {
                    percent: 50.0,
                    message: "half".to_owned(),
                }),
                Event::Checkpoint(v1::Checkpoint {
                    bytes: "here".into(),
                }),
                result(json!({})),
            ],
            _ => vec![result(params)],
        };
        Ok(stream::iter(events)
            .map(|event| Ok(ExecuteEvent { event: Some(event) }))
            .boxed())
    }
}

impl Puppet {
    /// The ways to answer that no plugin should have.
    async fn misbehave(&self, params: &Value) -> Result<Events, Status> {
        let raw = |bytes: Vec<u8>| {
            one(Event::Result(ExecuteResponse {
                success: true,
                result_json: bytes.into(),
                ..ExecuteResponse::default()
            }))
        };
        let fine = || raw(b"{}".to_vec());
        Ok(match params["how"].as_str().unwrap_or_default() {
            "no json" => raw(b"hello".to_vec()),
            "empty" => raw(Vec::new()),
            "no text" => raw(b"{\"a\":\"\xff\xfe\"}".to_vec()),
            "nul" => raw(b"{\"a\":\"\0\"}".to_vec()),
            "deep" => raw("[".repeat(1_000_000).into_bytes()),
            "no number" => raw(b"{\"a\":1e999}".to_vec()),
            "other schema" => raw(b"[\"\\u001b[2J\"]".to_vec()),
            "progress" => without_end(|| progress(50.0, "half".to_owned())),
            "checkpoints" => without_end(|| checkpoint(proto::limits::CHECKPOINT)),
            "large checkpoint" => stream::iter([Ok(checkpoint(3 << 20).of())])
                .chain(fine())
                .boxed(),
            "odd progress" => {
                let said = [f64::NAN, f64::INFINITY, -5.0, 1e300]
                    .map(|percent| Ok(progress(percent, "\u{1b}[2J".repeat(2_000)).of()));
                stream::iter(said).chain(fine()).boxed()
            }
            "many lines" => talk_on().take(21_000).chain(fine()).boxed(),
            "status" => return Err(Status::internal("\u{1b}[2J broken")),
            "long status" => return Err(Status::internal("s".repeat(14_000))),
            "too long status" => return Err(Status::internal("s".repeat(200_000))),
            "late" => {
                let late = async {
                    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
                    Ok(failed("late", "an answer to what nobody asks any more").of())
                };
                stream::once(late).boxed()
            }
            "stop" => {
                let own = std::process::id().to_string();
                let _ = Command::new("kill").args(["-STOP", &own]).status();
                stream::pending().boxed()
            }
            "stdout" => {
                let chunk = [b'x'; 4096];
                for _ in 0..4_000 {
                    let _ = std::io::stdout().write_all(&chunk);
                    let _ = std::io::stderr().write_all(&chunk);
                }
                fine()
            }
            "fork" => {
                let child = Command::new("sleep")
                    .arg("3600")
                    .stdin(Stdio::null())
                    .spawn();
                let pid = child.map(|child| child.id()).unwrap_or_default();
                raw(json!({ "child": pid }).to_string().into_bytes())
            }
            "long error" | "escapes" | "long code" => one(odd_failure(params)),
            how => {
                self.wire.sabotage(how).await;
                if params["and"] == "answers" {
                    fine()
                } else {
                    stream::pending().boxed()
                }
            }
        })
    }
}

/// A result as this text.
fn written(text: &str) -> Event {
    Event::Result(ExecuteResponse {
        success: true,
        result_json: text.to_owned().into(),
        ..ExecuteResponse::default()
    })
}

/// As many small values as a result has room for.
fn dense() -> String {
    format!(r#"{{"a":[{}0]}}"#, r#"{"":0},"#.repeat(580_000))
}

fn odd_failure(params: &Value) -> Event {
    match params["how"].as_str().unwrap_or_default() {
        "long error" => failed("long", &"e\u{1b}[2J".repeat(600_000)),
        "escapes" => failed("odd", "\u{1b}]0;owned\u{7}\u{202e}txt.exe\0"),
        _ => failed(&"c".repeat(1 << 20), "why"),
    }
}

trait Of {
    fn of(self) -> ExecuteEvent;
}

impl Of for Event {
    fn of(self) -> ExecuteEvent {
        ExecuteEvent { event: Some(self) }
    }
}

fn one(event: Event) -> Events {
    stream::iter([Ok(event.of())]).boxed()
}

fn progress(percent: f64, message: String) -> Event {
    Event::Progress(v1::Progress { percent, message })
}

fn checkpoint(bytes: usize) -> Event {
    Event::Checkpoint(v1::Checkpoint {
        bytes: vec![7; bytes].into(),
    })
}

fn failed(code: &str, error: &str) -> Event {
    Event::Result(ExecuteResponse {
        code: code.to_owned(),
        error: error.to_owned(),
        change: v1::Change::NotMade.into(),
        ..ExecuteResponse::default()
    })
}

fn environment_of_this() -> Value {
    let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    json!({ "names": names, "data": variable(environment::DATA_DIR) })
}

fn told(request: &ExecuteRequest) -> Value {
    json!({
        "run": request.execution_id, "step": request.step_id, "tenant": request.tenant_id,
        "workflow": request.workflow_id, "key": request.idempotency_key, "fence": request.fence,
        "attempt": request.attempt, "deadline": request.deadline_epoch_ms,
        "start": request.time_range.as_ref().map(|t| t.start_epoch_ms),
        "who": request.principal.as_ref().map(|p| p.name.clone()),
        "rights": request.principal.as_ref().map(|p| p.rights.clone()),
        "checkpoint": String::from_utf8_lossy(&request.checkpoint),
    })
}

fn failure(params: &Value) -> Event {
    let text = |key: &str| params[key].as_str().unwrap_or_default().to_owned();
    Event::Result(ExecuteResponse {
        error: text("error"),
        code: text("code"),
        retryable: true,
        change: v1::Change::NotMade.into(),
        ..ExecuteResponse::default()
    })
}

fn talk_on() -> Events {
    without_end(|| {
        Event::Log(v1::LogLine {
            message: "and another thing".to_owned(),
            ..v1::LogLine::default()
        })
    })
}

fn without_end(event: impl Fn() -> Event + Send + 'static) -> Events {
    stream::repeat_with(move || {
        Ok(ExecuteEvent {
            event: Some(event()),
        })
    })
    .boxed()
}
