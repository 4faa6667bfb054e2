//! What one plugin asks another for, in an execution that it is working on: a READ, and nothing else.
//!
//! Whoever may start a run may read, so a READ exceeds nobody's rights. A change needs a consent to its own bytes, and
//! nobody was asked for one here. A plugin that proves nothing could be anybody who reaches the engine: it is listened
//! to where the configuration names it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine::event::{PinnedAction, TimeSpan};
use engine::id::Tenant;
use engine::job::Job;
use engine::manifest::{Action, ActionName};
use engine::principal::{Permission, Principal};
use engine::registry;
use engine::schema::Schema;
use engine::time::Timestamp;
use futures::stream::{FuturesUnordered, StreamExt};
use proto::v1::{CallPluginRequest, CallPluginResponse, TimeRange};
use serde_json::{Map, Value as Json};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use tonic::Status;

use super::asker::{ASKED_WEIGHT_MAX, Party};
use super::launches::{Call, Launch};
use super::{Common, Plugins, manifest, question};
use crate::Masks;
use crate::caller::{CallResult, Caller, Events, PluginCall, Said};
use crate::output::WEIGHT_MAX;

/// How long such a call may take: less than the call-back itself, so that its end can still be told.
const CALL_MAX: Duration = Duration::from_secs(25);

/// A call that one plugin wants of another.
pub(super) struct Errand {
    job: Job,
    requester: Option<Principal>,
    params: Bytes,
    time_range: Option<TimeSpan>,
    timeout: Duration,
    masks: Masks,
    events: Arc<dyn Events>,
    answer: oneshot::Sender<CallResult>,
}

/// Those that wait to be done.
pub(super) struct Errands {
    asking: mpsc::UnboundedSender<Errand>,
    asked: Mutex<mpsc::UnboundedReceiver<Errand>>,
}

impl Default for Errands {
    fn default() -> Self {
        let (asking, asked) = mpsc::unbounded_channel();
        Self {
            asking,
            asked: Mutex::new(asked),
        }
    }
}

/// Makes the call that a plugin asks for.
///
/// # Errors
/// Why it is not made. What became of one that was made is in the answer.
pub(super) async fn ask(
    common: &Common,
    party: &Party,
    asked: CallPluginRequest,
) -> Result<CallPluginResponse, Status> {
    let begun = Instant::now();
    let Asking { launches, calls } = party.working_on(&asked.execution_id)?;
    let (launch, call) = (&launches[0], &calls[0]);
    if !launch.trusted {
        let message = "the configuration does not trust this plugin, which proves nothing: it has nobody read for it";
        return Err(Status::permission_denied(message));
    }
    let (name, params) = wanted(&asked)?;
    let action = readable(common, &party.tenant, &name).await?;
    fits("the parameters", &action.input, &params)
        .map_err(|why| Status::invalid_argument(format!("{name}: {why}")))?;
    let Ok(_seat) = Arc::clone(&launch.errands).try_acquire_owned() else {
        let message = "this plugin calls too many others at once: call them one after the other";
        return Err(Status::resource_exhausted(message));
    };
    let (answer, answered) = oneshot::channel();
    let text = params.to_string().into();
    // Its values take much more memory than its text, and what follows takes time.
    drop(params);
    let errand = Errand {
        job: job(&call.job, &name, &action),
        requester: requester(&calls),
        params: text,
        time_range: asked.time_range.as_ref().map(span),
        timeout: question::within(CALL_MAX, asked.timeout_seconds),
        masks: secrets(&launches),
        events: Arc::new(Lines(calls.into_iter().map(|call| call.events).collect())),
        answer,
    };
    let stopping = || Status::unavailable("the engine is stopping");
    common.errands.asking.send(errand).map_err(|_| stopping())?;
    let result = answered.await.map_err(|_| stopping())?;
    let mut told = told(&action, result);
    for launch in &launches {
        told.error = launch.clean(&told.error);
    }
    told.duration_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
    Ok(told)
}

/// Does them. Never ends.
pub(super) async fn run(plugins: &Plugins) {
    let mut asked = plugins.common.errands.asked.lock().await;
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(errand) = asked.recv() => running.push(made(plugins, errand)),
            Some(()) = running.next() => {}
        }
    }
}

/// Makes one call, for as long as somebody waits for it.
async fn made(plugins: &Plugins, errand: Errand) {
    let Errand {
        job,
        requester,
        events,
        mut answer,
        ..
    } = errand;
    let call = PluginCall {
        job: &job,
        requester: requester.as_ref(),
        params: errand.params,
        time_range: errand.time_range,
        ready: errand.timeout,
        timeout: errand.timeout,
        checkpoint: Bytes::new(),
        settings: None,
        masks: Arc::new(errand.masks),
    };
    let result = tokio::select! {
        biased;
        () = answer.closed() => return,
        result = plugins.call(call, events) => result,
    };
    // Nobody waits any more.
    let _ = answer.send(result);
}

/// For what the plugin may be asking: a call of each execution that it may mean, and who was given them.
struct Asking {
    launches: Vec<Arc<Launch>>,
    calls: Vec<Call>,
}

impl Party {
    /// The calls for which it may ask: of the execution that it names, or all that it works on. The SDKs of the JSON form
    /// name none. For a READ it need not be known which one is meant: whoever asked for any of them may read.
    fn working_on(&self, execution: &str) -> Result<Asking, Status> {
        let all = self.calls_of(execution)?.into_iter();
        let (mut launches, mut calls): (Vec<_>, Vec<Call>) = all.unzip();
        launches.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let mut runs = BTreeSet::new();
        calls.retain(|call| runs.insert(call.job.key.run));
        if calls.is_empty() {
            let message = "a plugin calls another one only while it is called itself";
            return Err(Status::permission_denied(message));
        }
        Ok(Asking { launches, calls })
    }
}

/// In whose name the other one is called: in nobody's, where it may be somebody else's.
fn requester(calls: &[Call]) -> Option<Principal> {
    let first = &calls.first()?.job.requester;
    let same = calls.iter().all(|call| call.job.requester == *first);
    same.then(|| first.clone())
}

fn secrets(launches: &[Arc<Launch>]) -> Masks {
    let mut all = Masks::default();
    for launch in launches {
        all.join(&launch.secrets());
    }
    all
}

/// The action and its parameters. Peers of the JSON form name the action among the parameters.
fn wanted(asked: &CallPluginRequest) -> Result<(ActionName, Json), Status> {
    let bad = |why: &str| Status::invalid_argument(format!("the parameters {why}"));
    let mut params: Map<String, Json> = match &*asked.params_json {
        [] => Map::new(),
        json => match strict_json::read_within(json, ASKED_WEIGHT_MAX) {
            Ok(Json::Object(params)) => params,
            Ok(_) => return Err(bad("are no JSON object")),
            Err(why) => return Err(bad(&format!("cannot be taken: {why}"))),
        },
    };
    let action = if asked.action_id.is_empty() {
        let named = params.remove("action");
        let named = named.as_ref().and_then(Json::as_str);
        named.ok_or_else(|| bad("name no `action`"))?.to_owned()
    } else {
        asked.action_id.clone()
    };
    let agent = asked.target_plugin.clone();
    Ok((ActionName { agent, action }, Json::Object(params)))
}

/// The action as it is offered now, if it only reads.
async fn readable(common: &Common, tenant: &Tenant, name: &ActionName) -> Result<Action, Status> {
    let stored = manifest::stored(common, tenant, &name.agent).await;
    let agent = stored.map_err(Status::unavailable)?.map(|(agent, _)| agent);
    let action = agent.and_then(|agent| agent.manifest.action(&name.action).cloned());
    let action = action.ok_or_else(|| Status::not_found(format!("no agent offers {name}")))?;
    match action.permission {
        Permission::Read => Ok(action),
        permission @ (Permission::Modify | Permission::Admin) => {
            Err(Status::permission_denied(format!(
                "{name} is {permission}, and a plugin changes nothing through a call-back: make the call a step of the workflow, which asks for consent"
            )))
        }
    }
}

fn fits(what: &str, schema: &Json, value: &Json) -> Result<(), String> {
    let schema = Schema::compile(schema).map_err(|e| e.to_string())?;
    schema.validate(value).map_err(|violations| {
        let all: Vec<String> = violations.iter().map(ToString::to_string).collect();
        format!("{what} do not fit the schema: {}", all.join("; "))
    })
}

/// The caller's own job, with the other action: the same run, the same requester, the same trace.
fn job(caller: &Job, name: &ActionName, action: &Action) -> Job {
    Job {
        action: PinnedAction {
            name: name.clone(),
            digest: registry::action_digest(&name.agent, action),
            permission: action.permission,
            idempotent: action.idempotent,
            lookup: action.lookup,
            timeout_ms: action.timeout_ms,
            settle_ms: action.settle_ms,
        },
        approval: None,
        idempotency_key: format!("{}/{name}", caller.idempotency_key),
        resume: false,
        ..caller.clone()
    }
}

fn span(range: &TimeRange) -> TimeSpan {
    let at = |ms: i64| Timestamp::from_millis(u64::try_from(ms).unwrap_or(0));
    TimeSpan {
        start: at(range.start_epoch_ms),
        end: at(range.end_epoch_ms),
    }
}

fn told(action: &Action, result: CallResult) -> CallPluginResponse {
    let failed = |error: String| CallPluginResponse {
        error,
        ..CallPluginResponse::default()
    };
    match result {
        CallResult::Succeeded { output } => match as_declared(action, &output) {
            Ok(()) => CallPluginResponse {
                success: true,
                result_json: output,
                ..CallPluginResponse::default()
            },
            Err(why) => failed(why),
        },
        CallResult::Failed { failure, .. } => {
            failed(format!("{}: {}", failure.code, failure.message))
        }
        CallResult::NotSent(why) => failed(why.to_string()),
        CallResult::TimedOut => failed("no answer came in time".to_owned()),
        CallResult::Lost { reason, .. } => failed(reason),
    }
}

fn as_declared(action: &Action, output: &[u8]) -> Result<(), String> {
    let result = strict_json::read_within(output, WEIGHT_MAX);
    let result = result.map_err(|why| format!("the result cannot be taken: {why}"))?;
    action
        .output
        .as_ref()
        .map_or(Ok(()), |schema| fits("the results", schema, &result))
}

/// What the other plugin logs stands in the log of each call for which it may have been called. Its progress and its
/// checkpoints are not the caller's.
struct Lines(Vec<Arc<dyn Events>>);

#[async_trait]
impl Events for Lines {
    async fn said(&self, event: Said) {
        match event {
            Said::Log { .. } => {
                for call in &self.0 {
                    call.said(event.clone()).await;
                }
            }
            Said::Progress { .. } | Said::Checkpoint(_) => {}
        }
    }
}
