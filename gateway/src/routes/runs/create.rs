//! Starting a workflow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use bytes::Bytes;
use engine::code::Code;
use engine::digest::Digest;
use engine::event::{Trigger, TriggerKind};
use engine::id::{RunId, Tenant};
use engine::language;
use engine::principal::Permission;
use engine::value::{Labels, Trust};
use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use store::port::Topic;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::gate::{Gate, Shared};
use crate::idempotency::{key_of, replayed};
use crate::keyed::{Claimed, Keyed as Sent};
use crate::plans::Ready;
use crate::problem::{Problem, Spot};
use crate::request::{Origin, header, json};
use crate::respond;
use crate::room::Held;
use crate::route::{Keyed, Route, Shape};
use crate::routes::runs::get::{Made, ended, shown};
use crate::show::run::ShownRun;
use crate::submit::{Asking, Labelled, Order};

const PREFER: HeaderName = HeaderName::from_static("prefer");
/// No run has more labels of its own.
const LABELS_MAX: usize = 64;
/// No label is longer, name and value together, in bytes.
const LABEL_BYTES_MAX: usize = 512;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            ("/api/v1/workflows/{name}/runs", Right::Start),
            "startRun",
            "Start a workflow. With `Prefer: wait=SECONDS` the answer is the ended run, if it ends in that time.",
            create,
        )
        .keyed(Keyed::Own)
        .waits()
        .body(Shape::json::<NewRun>())
        .answer(202, "It is accepted, durably.", Shape::json::<Accepted>())
        .answer(200, "It has ended; with `dry_run`: it would be accepted.", Shape::json::<Done>()),
    ]
}

/// What a 200 holds: the ended run, or with `dry_run` what would be accepted.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = RunEndedOrPlanned)]
#[expect(dead_code, reason = "it only describes the two answers")]
enum Done {
    Run(Box<ShownRun>),
    Plan(DryRun),
}

/// What a workflow is started with.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRun {
    /// Its inputs, of their declared types.
    #[serde(default)]
    #[schema(value_type = Object)]
    inputs: Map<String, Json>,
    /// Labels besides the workflow's own.
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// Check only; nothing is started.
    #[serde(default)]
    dry_run: bool,
}

/// A run that was accepted.
#[derive(Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// Its id.
    #[schema(value_type = String)]
    id: RunId,
    /// `queued`.
    status: &'static str,
    /// Where it can be looked at.
    url: String,
}

/// What a run would be.
#[derive(Serialize, ToSchema)]
struct DryRun {
    /// Always true.
    dry_run: bool,
    /// The workflow.
    workflow: String,
    /// Its revision.
    revision: u64,
    /// READ, MODIFY or ADMIN.
    #[schema(value_type = String)]
    permission: Permission,
    /// All inputs, with defaults.
    #[schema(value_type = Object)]
    inputs: Map<String, Json>,
}

/// A request that creates one run.
pub(crate) struct Submit<'a> {
    pub(crate) gate: &'a Arc<Gate>,
    pub(crate) caller: &'a Caller,
    /// The key that it was sent under.
    pub(crate) sent: Option<Sent>,
    /// Until when an ended run is waited for.
    pub(crate) wait: Option<Instant>,
}

async fn create(
    State(gate): State<Shared>,
    caller: Caller,
    origin: Origin,
    Path(name): Path<String>,
    OriginalUri(uri): OriginalUri,
    (held, headers): (Held, HeaderMap),
    body: Bytes,
) -> Result<Response, Problem> {
    let submit = Submit::new(&gate, &caller, (&headers, uri.path(), &body))?;
    let order = order(&submit, &name, (&headers, &body), origin).await;
    drop(body);
    held.give_back();
    match order {
        Ok(Ordered::Dry(dry)) => Ok(respond::plain(StatusCode::OK, &dry)),
        Ok(Ordered::Run(order)) => submit.run(&name, *order).await,
        // The same request may have been right when it came first.
        Err(problem) => submit.again(problem).await,
    }
}

enum Ordered {
    Dry(DryRun),
    Run(Box<Order>),
}

async fn order(
    submit: &Submit<'_>,
    name: &str,
    (headers, body): (&HeaderMap, &[u8]),
    origin: Origin,
) -> Result<Ordered, Problem> {
    let (gate, caller) = (submit.gate, submit.caller);
    let new: NewRun = json(headers, body)?;
    check_labels(&new.labels)?;
    let saved = gate.workflow(&caller.tenant, name).await?;
    let ready = gate
        .ready(&caller.tenant, name, &saved)
        .await?
        .map_err(|unready| not_ready(&unready.why))?;
    let inputs = inputs(&ready, &new.inputs)?;
    if new.dry_run {
        return Ok(Ordered::Dry(DryRun {
            dry_run: true,
            workflow: ready.name.clone(),
            revision: ready.revision,
            permission: ready.plan.workflow.permission,
            inputs,
        }));
    }
    let asking = Asking {
        inputs: Labelled::new(&inputs, |input| {
            let trust = match new.inputs.contains_key(input) {
                true => Trust::Person,
                false => Trust::Config,
            };
            let source = format!("input:{input}");
            Labels::new(trust, &source, caller.tenant.as_str())
        })?,
        labels: new.labels,
        requester: caller.who.clone(),
        trigger: trigger(headers),
        traceparent: Some(origin.traceparent),
        asked: Some(Digest::of(body)),
        keys: submit.keys(),
    };
    let order = Order::of_workflow(&ready, asking, gate.now());
    Ok(Ordered::Run(Box::new(order)))
}

/// 409: the workflow was right when it was saved, and does not fit the agents as they are now.
fn not_ready(why: &str) -> Problem {
    Problem::conflict(
        Code::PluginUnavailable,
        format!("the workflow does not fit the agents as they are now: {why}"),
    )
    .hint("see that the agent is there, or save the workflow again to see all errors")
}

fn inputs(ready: &Ready, given: &Map<String, Json>) -> Result<Map<String, Json>, Problem> {
    language::inputs(&ready.plan.workflow, given).map_err(|bad| {
        let spots: Vec<Spot> = bad
            .into_iter()
            .map(|bad| Spot {
                hint: bad.hint,
                ..Spot::at(
                    format!("/inputs/{}", bad.name),
                    format!("the input {}: {}", bad.name, bad.message),
                )
            })
            .collect();
        let detail = match spots.as_slice() {
            [one] => one.message.clone(),
            many => format!("{} inputs are wrong", many.len()),
        };
        Problem::invalid(detail, spots)
    })
}

/// # Errors
/// 422 when there are too many, or one has no name or is too long.
pub(crate) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Problem> {
    let planted = engine::planted!("fuzz_request");
    assert!(!(planted && labels.len() > 1), "planted: request");
    if labels.len() > LABELS_MAX {
        let message = format!("a run has at most {LABELS_MAX} labels of its own");
        return Err(Problem::invalid_at("/labels", message));
    }
    for (name, value) in labels {
        if name.is_empty() || name.len() + value.len() > LABEL_BYTES_MAX {
            return Err(Problem::invalid_at(
                format!("/labels/{name}"),
                format!("a label has a name, and at most {LABEL_BYTES_MAX} bytes"),
            ));
        }
    }
    Ok(())
}

/// Through which door: our own command line says who it is.
pub(crate) fn trigger(headers: &HeaderMap) -> Trigger {
    let cli = header(headers, &USER_AGENT).is_some_and(|agent| agent.starts_with("miractl/"));
    Trigger {
        kind: if cli {
            TriggerKind::Cli
        } else {
            TriggerKind::Api
        },
        hook: None,
        delivery: None,
        redelivery_of: None,
        fingerprint: None,
        event: None,
    }
}

/// `Prefer: wait=N` (RFC 7240), in seconds.
fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    let all = headers.get_all(PREFER).iter();
    let parts = all.filter_map(|value| value.to_str().ok());
    let mut parts = parts.flat_map(|value| value.split([',', ';']));
    parts.find_map(|part| part.trim().strip_prefix("wait=")?.parse().ok())
}

impl<'a> Submit<'a> {
    pub(crate) fn new(
        gate: &'a Arc<Gate>,
        caller: &'a Caller,
        (headers, path, body): (&HeaderMap, &str, &[u8]),
    ) -> Result<Self, Problem> {
        let key = key_of(headers)?;
        let sent = key.map(|key| Sent::new(&caller.who, path, key, body));
        let wait = preferred_wait(headers).map(|seconds| {
            let longest = gate.config.wait_max.millis();
            let ms = seconds.saturating_mul(1_000).min(longest);
            Instant::now() + Duration::from_millis(ms)
        });
        Ok(Self {
            gate,
            caller,
            sent,
            wait,
        })
    }

    /// The keys that lead to the run.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.sent.iter().map(|sent| sent.name.clone()).collect()
    }

    /// Creates the run, or finds the one that the key has made.
    pub(crate) async fn run(&self, workflow: &str, order: Order) -> Result<Response, Problem> {
        let claimed = match &self.sent {
            None => Claimed::New(self.gate.new_run_id()),
            Some(sent) => self.gate.claim(&self.caller.tenant, workflow, sent).await?,
        };
        match claimed {
            Claimed::There(run) => Ok(replayed(self.answer(run, None).await?)),
            Claimed::New(run) => {
                let key = self.gate.run_key(&self.caller.tenant, run);
                let heard = self.wait.map(|_| {
                    let topic = Topic::Run(key.clone());
                    self.gate.backend.live.subscribe(topic)
                });
                let made = self.gate.create(&key, order).await?;
                let is_new = made.is_some();
                let answer = self.answer(run, heard.zip(made)).await?;
                Ok(if is_new { answer } else { replayed(answer) })
            }
        }
    }

    /// What the key has led to, although the request would be refused now.
    pub(crate) async fn again(&self, problem: Problem) -> Result<Response, Problem> {
        let Some(sent) = &self.sent else {
            return Err(problem);
        };
        match self.gate.claimed(&self.caller.tenant, sent).await? {
            Some(run) => Ok(replayed(self.answer(run, None).await?)),
            None => Err(problem),
        }
    }

    async fn answer(&self, run: RunId, made: Option<Made>) -> Result<Response, Problem> {
        if let Some(end) = self.wait
            && let Some(shown) = self.ended_by(run, made, end).await
        {
            return Ok(respond::plain(StatusCode::OK, &shown));
        }
        Ok(accepted(self.gate, run))
    }

    /// The run, if it ends in time and can be read. It was accepted, whatever becomes of waiting for it.
    async fn ended_by(&self, run: RunId, made: Option<Made>, end: Instant) -> Option<ShownRun> {
        let tenant: &Tenant = &self.caller.tenant;
        let key = self.gate.run_key(tenant, run);
        let wait = async {
            let run = ended(self.gate, &key, made).await?;
            match run.status().is_end() {
                true => shown(self.gate, &run).await.map(Some),
                false => Ok(None),
            }
        };
        let waited = timeout_at(end, wait).await.ok()?;
        waited.unwrap_or_else(|problem: Problem| {
            tracing::debug!(?problem, %run, "its end is not waited for");
            None
        })
    }
}

/// 202 with where to look.
fn accepted(gate: &Gate, run: RunId) -> Response {
    let accepted = Accepted {
        id: run,
        status: "queued",
        url: gate.run_url(run),
    };
    let place = format!("/api/v1/runs/{run}");
    respond::located(StatusCode::ACCEPTED, &place, &accepted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_preferred_wait_is_found_among_other_preferences() {
        let of = |text: &'static str| {
            preferred_wait(&HeaderMap::from_iter([(
                PREFER,
                HeaderValue::from_static(text),
            )]))
        };
        assert_eq!(of("wait=30"), Some(30));
        assert_eq!(of("respond-async, wait=5"), Some(5));
        assert_eq!(of("handling=lenient; wait=x"), None);
        assert_eq!(preferred_wait(&HeaderMap::new()), None);
    }
}
