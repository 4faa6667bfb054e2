//! What a plugin asks people while it works on an execution: put to the owner of its run, and waited for.
//!
//! The answer is a word for the plugin and grants nothing. The question belongs to the attempt that asks, and is
//! taken back when that is over; the answer stays with the step.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::event::{ApprovalState, Event};
use engine::job::{Answer, Word, call_digest};
use engine::principal::Permission;
use engine::question::{BlastRadius, Words};
use proto::manifest::Permission as Level;
use proto::v1::{self, RequestApprovalRequest, RequestApprovalResponse};
use serde_json::{Map, Value as Json};
use store::port::{News, Subscription, Topic};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};
use tonic::Status;

use super::Common;
use super::asker::{ASKED_WEIGHT_MAX, Party};
use super::launches::{Call, Launch};
use crate::{failure, said};

/// So long before its call is over a plugin gets its answer, so that it can still say what it makes of it.
const TIME_TO_TELL: Duration = Duration::from_secs(1);
/// What happens may be missed: without news the owner is asked again so often.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Asks people, and waits until they have decided or the plugin's time is over.
///
/// # Errors
/// Why they are not asked.
pub(super) async fn ask(
    common: &Common,
    party: &Party,
    asked: RequestApprovalRequest,
) -> Result<RequestApprovalResponse, Status> {
    let level = level(&asked)?;
    let (launch, call) = party.executing(&asked.execution_id, &asked.step_id)?;
    if !launch.trusted {
        let message = "the configuration does not trust this plugin, which proves nothing: it has nobody asked";
        return Err(Status::permission_denied(message));
    }
    let words = words(&launch, level, &asked)?;
    let left = call.due.saturating_duration_since(Instant::now());
    let left = within(left.saturating_sub(TIME_TO_TELL), asked.timeout_seconds);
    if left.is_zero() {
        let message = "the call is nearly over: nobody could answer in time";
        return Err(Status::deadline_exceeded(message));
    }
    let Ok(_seat) = Arc::clone(&launch.questions).try_acquire_owned() else {
        let message = "this plugin asks too many things at once: ask one after the other";
        return Err(Status::resource_exhausted(message));
    };
    let word = |left: Duration| Word::Ask {
        attempt: call.job.attempt_key(),
        words: Box::new(words.clone()),
        within_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
        call: call_digest(&call.job.action, &call.job.call),
    };
    tokio::select! {
        biased;
        () = common.stopping.cancelled() => Err(Status::unavailable("the engine is stopping")),
        answer = answered(common, &call, left, word) => answer,
    }
}

/// Asks until there is an answer.
async fn answered(
    common: &Common,
    call: &Call,
    left: Duration,
    word: impl Fn(Duration) -> Word,
) -> Result<RequestApprovalResponse, Status> {
    let key = &call.job.key;
    let until = Instant::now() + left;
    let mut news = common.ports.live.subscribe(Topic::Run(key.clone()));
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let word = word(left);
        let asked = said::until(&common.ports, &call.job, &word, |answer| match answer {
            Answer::Granted { .. } | Answer::Heard { .. } => None,
            Answer::Question { .. } | Answer::Denied { .. } => Some(answer),
        });
        let Ok(answer) = timeout(left + said::PATIENCE, asked).await else {
            // The owner has not said so in time, and will.
            return Ok(RequestApprovalResponse {
                timed_out: true,
                ..RequestApprovalResponse::default()
            });
        };
        match answer {
            Answer::Question {
                state: ApprovalState::Pending,
                ..
            } => {
                // The owner closes it at its time; a moment later it is asked what has become of it.
                let again = LOOK_AGAIN.min(left + TIME_TO_TELL / 4);
                let _ = timeout(again, closed(&mut news, call)).await;
            }
            Answer::Question {
                state,
                reviewer,
                comment,
            } => {
                return Ok(RequestApprovalResponse {
                    approved: state == ApprovalState::Approved,
                    timed_out: state == ApprovalState::Expired,
                    reviewer: reviewer.map(|who| who.to_string()).unwrap_or_default(),
                    comment: comment.unwrap_or_default(),
                });
            }
            Answer::Denied { reason } => return Err(Status::failed_precondition(reason)),
            Answer::Granted { .. } | Answer::Heard { .. } => {}
        }
    }
}

/// Waits until a question of this step is closed, or that may have been missed.
async fn closed(news: &mut Subscription, call: &Call) {
    loop {
        match news.recv().await {
            Ok(News::Record { events, .. }) => {
                let of_step = |event: &Event| matches!(event, Event::QuestionClosed { step, .. } if *step == call.job.step);
                if events.iter().any(of_step) {
                    return;
                }
            }
            Ok(News::Progress { .. } | News::Log { .. } | News::Answered { .. }) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// How long is waited: as long as the plugin wants, where it says, and at most so long.
pub(super) fn within(left: Duration, seconds: i64) -> Duration {
    match u64::try_from(seconds) {
        Ok(0) | Err(_) => left,
        Ok(seconds) => left.min(Duration::from_secs(seconds)),
    }
}

/// Who does not say what it needs means a change.
fn level(asked: &RequestApprovalRequest) -> Result<Permission, Status> {
    match Level::from_wire(asked.required_permission()) {
        Some(Level::Read) => {
            let message = "a READ needs nobody's consent: go on without asking";
            Err(Status::invalid_argument(message))
        }
        Some(Level::Modify) | None => Ok(Permission::Modify),
        Some(Level::Admin) => Ok(Permission::Admin),
    }
}

/// What people are shown: without secrets, and with what would steer a terminal made visible.
fn words(
    launch: &Launch,
    permission: Permission,
    asked: &RequestApprovalRequest,
) -> Result<Words, Status> {
    let description = launch.clean(&asked.description);
    if description.trim().is_empty() {
        let message = "say what you want to do, as the description";
        return Err(Status::invalid_argument(message));
    }
    Ok(Words {
        description,
        permission,
        context: context(launch, &asked.context_json)?,
        blast_radius: asked.blast_radius.as_ref().map(|r| radius(launch, r)),
        proven: launch.is_ours,
    })
}

fn context(launch: &Launch, json: &Bytes) -> Result<Option<String>, Status> {
    if json.is_empty() {
        return Ok(None);
    }
    let context = launch.clean_json(json.clone());
    let context = strict_json::read_within(&context, ASKED_WEIGHT_MAX)
        .map_err(|why| Status::invalid_argument(format!("the context cannot be taken: {why}")))?;
    let is_empty = context.is_null() || context.as_object().is_some_and(Map::is_empty);
    Ok((!is_empty).then(|| visible(context).to_string()))
}

/// JSON whose texts do nothing to a terminal.
fn visible(value: Json) -> Json {
    match value {
        Json::String(text) => Json::String(failure::show(&text)),
        Json::Array(items) => items.into_iter().map(visible).collect(),
        Json::Object(map) => {
            let shown = map
                .into_iter()
                .map(|(name, value)| (failure::show(&name), visible(value)));
            Json::Object(shown.collect())
        }
        Json::Null | Json::Bool(_) | Json::Number(_) => value,
    }
}

fn radius(launch: &Launch, told: &v1::BlastRadius) -> BlastRadius {
    let clean = |text: &String| launch.clean(text);
    BlastRadius {
        resource_type: clean(&told.resource_type),
        resources: told.resources.iter().map(clean).collect(),
        scope: clean(&told.scope),
        reversible: told.reversible,
        estimated_count: u32::try_from(told.estimated_count.max(0)).unwrap_or(u32::MAX),
        regions: told.regions.iter().map(clean).collect(),
        summary: clean(&told.summary),
    }
}

impl Party {
    /// The call that is meant: of the execution and step that it names, or the only one that it works on.
    fn executing(&self, execution: &str, step: &str) -> Result<(Arc<Launch>, Call), Status> {
        let proven = self.launches.iter().all(|launch| launch.is_ours);
        if execution.is_empty() && !proven {
            // Whoever is here can say that it is that plugin, but only those who were called know the execution.
            let message = "name the execution for which you ask, as execution_id";
            return Err(Status::invalid_argument(message));
        }
        let all = self.calls_of(execution)?.into_iter();
        let mut all = all.filter(|(_, call)| step.is_empty() || call.job.name == step);
        let Some(found) = all.next() else {
            let message = "a plugin asks people only while it is called itself";
            return Err(Status::permission_denied(message));
        };
        if all.next().is_some() {
            let message = "this plugin works on several steps of that execution: name the one for which it asks, as step_id, \
                or have the workflow call it once at a time, with `max_parallel: 1` on a step with `for_each` and `needs` \
                between the others";
            return Err(Status::failed_precondition(message));
        }
        Ok(found)
    }
}
