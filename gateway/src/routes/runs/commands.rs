//! What can be asked of a run.

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use engine::command::Command;
use engine::id::RunKey;
use engine::value::{INLINE_BYTES_MAX, Labels, Trust, Value};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::command::Asked;
use crate::gate::{Gate, Shared};
use crate::idempotency::Asking;
use crate::journal::run_key;
use crate::problem::Problem;
use crate::request::json;
use crate::respond;
use crate::route::{Route, Shape};
use crate::routes::runs::get::shown;
use crate::show::run::ShownRun;

/// No comment is longer, in bytes.
pub(crate) const COMMENT_MAX: usize = 4_096;

pub(super) fn routes() -> Vec<Route> {
    let commands = [
        Route::post(
            ("/api/v1/runs/{id}/cancel", Right::Start),
            "cancelRun",
            "Stop a run. A change that is being made is waited for.",
            cancel,
        )
        .body(Shape::json::<Cancel>()),
        Route::post(
            ("/api/v1/runs/{id}/resume", Right::Resume),
            "resumeRun",
            "Let a parked run go on.",
            resume,
        )
        .body(Shape::json::<Nothing>()),
        Route::post(
            ("/api/v1/runs/{id}/steps/{step}/resolve", Right::Resolve),
            "resolveStep",
            "Settle a step of which it is not known whether its change was made.",
            resolve,
        )
        .body(Shape::json::<Resolve>()),
    ];
    let described = |route: Route| {
        route
            .answer(
                200,
                "It is decided; the run as it is now.",
                Shape::json::<ShownRun>(),
            )
            .answer(
                202,
                "It is kept, and will be decided.",
                Shape::json::<Kept>(),
            )
    };
    commands.into_iter().map(described).collect()
}

/// Stop a run.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancelRun)]
struct Cancel {
    /// Why; stands in the journal.
    #[serde(default)]
    reason: Option<String>,
    /// Not supported in this version.
    #[serde(default)]
    compensate: Option<bool>,
}

/// No settings.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Empty)]
pub(crate) struct Nothing {}

/// What a person knows about a step in doubt.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResolveStep)]
struct Resolve {
    /// `done`: the change was made; `not_done`: the step runs again.
    outcome: Outcome,
    /// What the step answers, where later steps need it.
    #[serde(default)]
    #[schema(value_type = Object)]
    output: Option<Json>,
    /// How you know; stands in the journal.
    comment: String,
    /// The number of the step's last attempt as you saw it; where there was another since, the answer is 409.
    #[serde(default)]
    attempt: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ResolveOutcome)]
enum Outcome {
    Done,
    NotDone,
}

/// A command that was taken, and not decided yet.
#[derive(Serialize, ToSchema)]
#[schema(as = KeptCommand)]
pub(crate) struct Kept {
    /// `accepted`.
    status: &'static str,
    /// Where to look.
    url: String,
}

/// 422: nothing compensates in this version.
pub(super) fn no_compensation() -> Problem {
    Problem::invalid_at("/compensate", "compensate is not supported in this version")
        .code(engine::code::Code::NotSupported)
}

/// # Errors
/// 422 when a text for the journal is too long.
pub(crate) fn check_comment(pointer: &str, comment: Option<&str>) -> Result<(), Problem> {
    if comment.is_some_and(|c| c.len() > COMMENT_MAX) {
        return Err(Problem::invalid_at(
            pointer,
            format!("at most {COMMENT_MAX} bytes"),
        ));
    }
    Ok(())
}

async fn cancel(
    State(gate): State<Shared>,
    caller: Caller,
    asking: Asking,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let request: Cancel = json(&headers, &body)?;
    if request.compensate.is_some() {
        return Err(no_compensation());
    }
    check_comment("/reason", request.reason.as_deref())?;
    let command = Command::Cancel {
        who: caller.who.clone(),
        reason: request.reason,
        if_unchanged: false,
    };
    ask(&gate, &run_key(&caller.tenant, &id)?, asking, command).await
}

async fn resume(
    State(gate): State<Shared>,
    caller: Caller,
    asking: Asking,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let Nothing {} = json(&headers, &body)?;
    let command = Command::Resume {
        who: caller.who.clone(),
    };
    ask(&gate, &run_key(&caller.tenant, &id)?, asking, command).await
}

async fn resolve(
    State(gate): State<Shared>,
    caller: Caller,
    asking: Asking,
    Path((id, step)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let request: Resolve = json(&headers, &body)?;
    check_comment("/comment", Some(&request.comment))?;
    if request.comment.trim().is_empty() {
        return Err(Problem::invalid_at("/comment", "say how you know"));
    }
    let done = request.outcome == Outcome::Done;
    if request.output.is_some() && !done {
        return Err(Problem::invalid_at(
            "/output",
            "a step that runs again has no output yet",
        ));
    }
    let key = run_key(&caller.tenant, &id)?;
    must_exist(&gate, &key).await?;
    let output = match &request.output {
        Some(json) => Some(kept_output(&gate, &key, (&step, json), &caller).await?),
        None => None,
    };
    let command = Command::Resolve {
        step,
        done,
        output,
        comment: request.comment,
        who: caller.who.clone(),
        attempt: request.attempt,
    };
    ask(&gate, &key, asking, command).await
}

/// What a person says that a step answered, in `Blobs` when it is large.
async fn kept_output(
    gate: &Gate,
    key: &RunKey,
    (step, json): (&str, &Json),
    caller: &Caller,
) -> Result<Value, Problem> {
    let source = format!("step:{step}");
    let labels = Labels::new(Trust::Person, &source, caller.tenant.as_str());
    let made = Value::make(json, labels, INLINE_BYTES_MAX)
        .map_err(|e| Problem::too_large(format!("the output: {e}")))?;
    if let Some(bytes) = &made.blob {
        gate.backend
            .blobs
            .put(key, made.value.digest, bytes)
            .await?;
    }
    Ok(made.value)
}

async fn must_exist(gate: &Gate, key: &RunKey) -> Result<(), Problem> {
    if gate.exists(key).await? {
        return Ok(());
    }
    Err(Problem::not_found("run", &key.run.to_string()))
}

/// Asks a run that exists, and shows it as it is then.
async fn ask(
    gate: &Gate,
    key: &RunKey,
    asking: Asking,
    command: Command,
) -> Result<Response, Problem> {
    must_exist(gate, key).await?;
    let id = asking.0.unwrap_or_else(|| gate.backend.random.nonce());
    match gate.ask(key, id, &command).await? {
        Asked::Decided | Asked::Already => {
            let run = gate.whole_run(key).await?;
            Ok(respond::plain(StatusCode::OK, &shown(gate, &run).await?))
        }
        Asked::Kept => Ok(kept(gate, key)),
    }
}

/// 202: nobody has decided it yet.
pub(crate) fn kept(gate: &Gate, key: &RunKey) -> Response {
    let place = format!("/api/v1/runs/{}", key.run);
    let kept = Kept {
        status: "accepted",
        url: gate.run_url(key.run),
    };
    respond::located(StatusCode::ACCEPTED, &place, &kept)
}
