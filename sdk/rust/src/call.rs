//! One call, from its request to its result: what is refused, who goes first, and when it is cut off.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use proto::{
    limits,
    manifest::Permission,
    v1::{self, execute_event::Event},
};
use serde_json::Value;
use tokio::{
    sync::{OwnedMutexGuard, Semaphore, mpsc},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ActionError, Agent, Change, Config, Context,
    action::Erased,
    context::{Call, Said, epoch_ms},
    fence::Fences,
    schema,
};

/// How many events of a call may wait to be read before its checkpoints wait and its log lines are lost.
const EVENTS_WAITING_MAX: usize = 64;
/// How many calls run at once; more are refused as `busy`.
const CALLS_MAX: usize = 1024;
/// How long a READ handler may still clean up when nobody wants its answer any more.
const CLEAN_UP: Duration = Duration::from_secs(1);
/// How long a change may still go on when nobody wants its answer any more and it has no deadline.
const CHANGE_MAX: Duration = Duration::from_secs(600);

/// Runs the calls of one agent.
pub(crate) struct Calls {
    pub(crate) agent: Agent,
    pub(crate) fences: Fences,
    pub(crate) running: TaskTracker,
    permits: Semaphore,
}

/// A call that was let in.
struct Admitted<'a> {
    action: &'a Erased,
    input: Value,
    deadline: Option<Instant>,
}

impl Calls {
    pub(crate) fn new(agent: Agent) -> Self {
        let permits = Semaphore::new(CALLS_MAX);
        Self {
            agent,
            fences: Fences::default(),
            running: TaskTracker::new(),
            permits,
        }
    }

    pub(crate) fn action(&self, id: &str) -> Option<&Erased> {
        self.agent
            .actions
            .iter()
            .find(|action| action.manifest.id == id)
    }

    /// Starts a call. Its events end with its result. Dropping them says that nobody wants the answer.
    pub(crate) fn start(
        self: &Arc<Self>,
        request: v1::ExecuteRequest,
        config: Arc<Config>,
    ) -> mpsc::Receiver<Event> {
        let (events, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
        let calls = Arc::clone(self);
        self.running.spawn(async move {
            let started = Instant::now();
            let changes = calls
                .action(&request.action_id)
                .is_some_and(|a| a.manifest.permission > Permission::Read);
            let outcome = calls.attempt(request, config, &events).await;
            let result = response(outcome, changes, started.elapsed());
            let _ = events.send(Event::Result(result)).await;
        });
        receiver
    }

    async fn attempt(
        &self,
        request: v1::ExecuteRequest,
        config: Arc<Config>,
        events: &mpsc::Sender<Event>,
    ) -> Result<Bytes, ActionError> {
        let Admitted {
            action,
            input,
            deadline,
        } = self.admit(&request, &config)?;
        let cancelled = CancellationToken::new();
        let _permit = self.permits.try_acquire().map_err(|_| busy())?;
        let _turn = self.turn(&request, deadline, &cancelled, events).await?;
        let context = Context::new(Call {
            request,
            config,
            deadline,
            cancelled: cancelled.clone(),
            events: events.clone(),
            said: Said::default(),
        });
        let patience = if action.manifest.permission > Permission::Read {
            CHANGE_MAX
        } else {
            CLEAN_UP
        };
        let work =
            AssertUnwindSafe(async { (action.run)(context.clone(), input).await }).catch_unwind();
        let outcome = tokio::select! {
            biased;
            outcome = pin!(work) => outcome.unwrap_or_else(|_| Err(panicked())),
            failure = cut_off(deadline, &cancelled, events, patience) => Err(failure),
        };
        if let Some(line) = context.lost_lines() {
            let _ = events.send(line).await;
        }
        outcome
    }

    /// What can be refused without running anything.
    fn admit(
        &self,
        request: &v1::ExecuteRequest,
        config: &Config,
    ) -> Result<Admitted<'_>, ActionError> {
        let action = self.action(&request.action_id).ok_or_else(|| {
            ActionError::not_made(
                "unknown_action",
                format!(
                    "{} has no action `{}`",
                    self.agent.manifest.name, request.action_id
                ),
            )
        })?;
        let deadline = deadline(request.deadline_epoch_ms)?;
        if let Some(missing) = config.missing(&self.agent.manifest.settings) {
            return Err(ActionError::not_made("not_configured", missing));
        }
        Ok(Admitted {
            action,
            input: read(action, &request.params_json)?,
            deadline,
        })
    }

    /// Waits until no other attempt of the same step runs.
    async fn turn(
        &self,
        request: &v1::ExecuteRequest,
        deadline: Option<Instant>,
        cancelled: &CancellationToken,
        events: &mpsc::Sender<Event>,
    ) -> Result<Option<OwnedMutexGuard<()>>, ActionError> {
        let (key, fence) = (&request.idempotency_key, request.fence);
        if key.is_empty() {
            return Ok(None);
        }
        let turn = self
            .fences
            .enter(key, fence, cancelled)
            .map_err(|seen| overtaken(fence, seen))?;
        let turn = tokio::select! {
            biased;
            turn = turn.lock_owned() => turn,
            failure = cut_off(deadline, cancelled, events, Duration::ZERO) => {
                return Err(ActionError { change: Change::NotMade, ..failure });
            }
        };
        match self.fences.overtaken(key, fence) {
            Some(seen) => Err(overtaken(fence, seen)),
            None => Ok(Some(turn)),
        }
    }
}

/// Reads the parameters and holds them to the action's schema. No parameters are an empty object.
pub(crate) fn read(action: &Erased, params: &[u8]) -> Result<Value, ActionError> {
    let params = if params.is_empty() { b"{}" } else { params };
    let invalid = |what: String| ActionError::not_made("invalid_input", what);
    let input = serde_json::from_slice(params)
        .map_err(|e| invalid(format!("the parameters are no JSON: {e}")))?;
    match schema::problems(&action.input, &input) {
        Some(problems) => Err(invalid(problems)),
        None => Ok(input),
    }
}

/// When a call is cut off; an error when that is past.
pub(crate) fn deadline(epoch_ms_due: i64) -> Result<Option<Instant>, ActionError> {
    if epoch_ms_due <= 0 {
        return Ok(None);
    }
    match u64::try_from(epoch_ms_due - epoch_ms()) {
        Ok(left_ms) if left_ms > 0 => Ok(Some(Instant::now() + Duration::from_millis(left_ms))),
        Ok(_) | Err(_) => Err(ActionError::not_made(
            "deadline_passed",
            "the call came after its deadline",
        )),
    }
}

/// Waits until the call must stop: at its deadline, or `patience` after nobody wants the answer any more.
async fn cut_off(
    deadline: Option<Instant>,
    cancelled: &CancellationToken,
    events: &mpsc::Sender<Event>,
    patience: Duration,
) -> ActionError {
    let due = async {
        match deadline {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    };
    let abandoned = async {
        tokio::select! {
            biased;
            () = events.closed() => cancelled.cancel(),
            () = cancelled.cancelled() => {}
        }
        sleep(patience).await;
    };
    tokio::select! {
        biased;
        () = due => {
            cancelled.cancel();
            ActionError::failed("deadline_passed", "the action did not end before its deadline").retryable()
        }
        () = abandoned => ActionError::failed("cancelled", "nobody wants the answer any more"),
    }
}

fn response(
    outcome: Result<Bytes, ActionError>,
    changes: bool,
    took: Duration,
) -> v1::ExecuteResponse {
    let duration_ms = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    match outcome.and_then(|result| fitting(result, changes)) {
        Ok(result_json) => v1::ExecuteResponse {
            success: true,
            result_json,
            duration_ms,
            ..Default::default()
        },
        Err(failure) => v1::ExecuteResponse {
            success: false,
            change: on_wire(failure.change, changes).into(),
            error: failure.message,
            code: failure.code,
            retryable: failure.retryable,
            duration_ms,
            ..Default::default()
        },
    }
}

fn fitting(result: Bytes, changes: bool) -> Result<Bytes, ActionError> {
    if result.len() <= limits::MESSAGE {
        return Ok(result);
    }
    let message = format!(
        "the result has {} bytes; at most {} are allowed",
        result.len(),
        limits::MESSAGE
    );
    let change = if changes {
        Change::Made
    } else {
        Change::Unstated
    };
    Err(ActionError {
        change,
        ..ActionError::failed("result_too_large", message)
    })
}

fn on_wire(change: Change, changes: bool) -> v1::Change {
    match change {
        Change::Unstated if changes => v1::Change::Unknown,
        Change::Unstated => v1::Change::Unspecified,
        Change::NotMade => v1::Change::NotMade,
        Change::Unknown => v1::Change::Unknown,
        Change::Made => v1::Change::Made,
    }
}

fn overtaken(fence: u64, seen: u64) -> ActionError {
    ActionError::not_made(
        "overtaken",
        format!("attempt {fence} was overtaken by attempt {seen}"),
    )
}

fn busy() -> ActionError {
    ActionError::not_made("busy", format!("{CALLS_MAX} calls are running already")).retryable()
}

fn panicked() -> ActionError {
    ActionError::failed(
        "panic",
        "the action panicked; the plugin's log has the place",
    )
}
