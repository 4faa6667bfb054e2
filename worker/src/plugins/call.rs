//! One call of a plugin's process.

use std::sync::Arc;
use std::time::Duration;

use engine::code::Code;
use engine::event::{Failure, TimeSpan};
use engine::principal::Permission;
use proto::client::CallOptions;
use proto::failure::CallFailure;
use proto::v1::execute_event::Event;
use proto::v1::{
    self, ExecuteRequest, ExecuteResponse, ExecutionMode, LogLevel, LookUpOutcome, LookUpRequest,
    TimeRange,
};
use proto::wire::Form;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, sleep};
use tonic::Code as Status;

use super::instance::Instance;
use super::launches::Launch;
use super::tenant_id;
use crate::caller::{CallResult, Change, Events, LookUpResult, NotSent, PluginCall, Said};
use crate::failure;

/// So many events of a call are taken as fast as they come, and each one after them not before so long after the one
/// before: who talks without end slows nobody down but itself.
const EVENTS_FAST: u32 = 20_000;
const EVENT_PACE: Duration = Duration::from_millis(1);
/// A longer code is none.
const CODE_BYTES_MAX: usize = 63;

/// Runs an action and passes on what is said meanwhile.
pub(super) async fn execute(
    instance: &Instance,
    call: &PluginCall<'_>,
    events: Arc<dyn Events>,
    due: Instant,
) -> CallResult {
    instance.launch.hide_all(&call.masks);
    let _running = instance.launch.begin(call.job, Arc::clone(&events), due);
    let options = options(call, due);
    let request = ExecuteRequest {
        tenant_id: tenant_id::told(&call.job.key.tenant, instance.client.form()),
        ..request(call, options.timeout)
    };
    let mut unanswered = Unanswered(Some(instance));
    let again = is_believed(call.job.action.permission, instance.launch.is_ours);
    let followed = follow(instance, &request, &options, events.as_ref(), again);
    let result = match followed.await {
        Ok(response) => {
            unanswered.0 = None;
            answered(response)
        }
        Err(failure) => failed(instance, failure).await,
    };
    clean(&instance.launch, result)
}

/// A call that ends without an answer, cut or not, puts its instance in doubt: where there is another, that comes first.
struct Unanswered<'a>(Option<&'a Instance>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(instance) = self.0 {
            instance.doubt(true);
        }
    }
}

/// A result without the secrets that the plugin was ever given: those of its settings come back as easily as a call's.
fn clean(launch: &Launch, result: CallResult) -> CallResult {
    match result {
        CallResult::Succeeded { output } => CallResult::Succeeded {
            output: launch.clean_json(output),
        },
        CallResult::Failed { failure, change } => CallResult::Failed {
            failure: Failure {
                message: launch.clean(&failure.message),
                ..failure
            },
            change,
        },
        CallResult::Lost {
            code,
            reason,
            plugin_dead,
        } => CallResult::Lost {
            code,
            reason: launch.clean(&reason),
            plugin_dead,
        },
        CallResult::NotSent(_) | CallResult::TimedOut => result,
    }
}

/// Asks what became of an earlier call.
pub(super) async fn look_up(
    instance: &Instance,
    call: &PluginCall<'_>,
    due: Instant,
) -> LookUpResult {
    instance.launch.hide_all(&call.masks);
    let options = options(call, due);
    let job = call.job;
    let request = LookUpRequest {
        idempotency_key: job.idempotency_key.clone(),
        action_id: job.action.name.action.clone(),
        params_json: call.params.clone(),
        tenant_id: job.key.tenant.to_string(),
        execution_id: job.key.run.to_string(),
        step_id: job.name.clone(),
        deadline_epoch_ms: epoch_ms(options.timeout),
    };
    match instance.client.look_up(&request, &options).await {
        Ok(answer) => match answer.outcome() {
            LookUpOutcome::Done => LookUpResult::Done {
                output: instance.launch.clean_json(answer.result_json),
            },
            LookUpOutcome::NotDone => LookUpResult::NotDone,
            LookUpOutcome::Unknown | LookUpOutcome::Unspecified => LookUpResult::Unknown {
                reason: instance.launch.clean(&answer.message),
            },
        },
        Err(failure) => LookUpResult::Unknown {
            reason: instance.launch.clean(&failure.to_string()),
        },
    }
}

async fn follow(
    instance: &Instance,
    request: &ExecuteRequest,
    options: &CallOptions,
    events: &dyn Events,
    again: bool,
) -> Result<ExecuteResponse, CallFailure> {
    if instance.client.form() != Form::Protobuf || !instance.streams() {
        return instance.client.execute(request, options).await;
    }
    let mut stream = match instance.client.execute_stream(request, options).await {
        Ok(stream) => stream,
        Err(lost) if again && lost.code == Status::Unimplemented => {
            instance.has_no_streams();
            return instance.client.execute(request, options).await;
        }
        Err(lost) => return Err(lost),
    };
    let mut heard = 0_u32;
    while let Some(event) = stream.next().await? {
        heard = heard.saturating_add(1);
        if heard > EVENTS_FAST {
            sleep(EVENT_PACE).await;
        }
        let said = match event {
            Event::Result(response) => return Ok(response),
            Event::Progress(progress) => Said::Progress {
                percent: progress.percent,
                message: instance.launch.clean(&progress.message),
            },
            Event::Log(line) => Said::Log {
                level: level(line.level()),
                message: instance.launch.clean(&line.message),
            },
            Event::Checkpoint(checkpoint) => Said::Checkpoint(checkpoint.bytes),
        };
        events.said(said).await;
    }
    Err(CallFailure::sent(
        Status::Internal,
        "the call ended without a result",
    ))
}

/// Whether a plugin that says that it has no `ExecuteStream` is asked again by `Execute`. The service itself says so, and
/// no action of it has seen the call; but a process that we did not start may pass on what its back end said after the
/// change was made.
fn is_believed(permission: Permission, is_ours: bool) -> bool {
    match permission {
        Permission::Read => true,
        Permission::Modify | Permission::Admin => is_ours,
    }
}

fn options(call: &PluginCall<'_>, due: Instant) -> CallOptions {
    CallOptions {
        timeout: due.saturating_duration_since(Instant::now()),
        traceparent: call.job.traceparent.clone(),
    }
}

fn request(call: &PluginCall<'_>, left: Duration) -> ExecuteRequest {
    let job = call.job;
    ExecuteRequest {
        execution_id: job.key.run.to_string(),
        step_id: job.name.clone(),
        action_id: job.action.name.action.clone(),
        params_json: call.params.clone(),
        execution_mode: ExecutionMode::Guided.into(),
        time_range: call.time_range.map(time_range),
        workflow_id: job.workflow.clone().unwrap_or_default(),
        idempotency_key: job.idempotency_key.clone(),
        fence: u64::from(job.attempt.0),
        attempt: job.try_number,
        deadline_epoch_ms: epoch_ms(left),
        checkpoint: call.checkpoint.clone(),
        principal: call.requester.map(|who| v1::Principal {
            name: who.to_string(),
            role: String::new(),
            rights: rights(job.action.permission),
        }),
        ..ExecuteRequest::default()
    }
}

/// The levels up to the one that the requester was let in with for this call.
fn rights(permission: Permission) -> Vec<String> {
    let levels = [Permission::Read, Permission::Modify, Permission::Admin];
    levels
        .iter()
        .filter(|level| **level <= permission)
        .map(ToString::to_string)
        .collect()
}

fn time_range(span: TimeSpan) -> TimeRange {
    let ms = |time: engine::time::Timestamp| i64::try_from(time.millis()).unwrap_or(i64::MAX);
    TimeRange {
        start_epoch_ms: ms(span.start),
        end_epoch_ms: ms(span.end),
        ..TimeRange::default()
    }
}

/// The wall's clock, `left` from now. It is the plugin's clock, too, and the plugin compares with it; ours may have
/// parted from it when somebody set the wall's.
fn epoch_ms(left: Duration) -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    let left = i64::try_from(left.as_millis()).unwrap_or(i64::MAX);
    now.tv_sec
        .saturating_mul(1_000)
        .saturating_add(now.tv_nsec / 1_000_000)
        .saturating_add(left)
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info | LogLevel::Unspecified => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

fn answered(response: ExecuteResponse) -> CallResult {
    if response.success {
        return CallResult::Succeeded {
            output: response.result_json,
        };
    }
    let change = match response.change() {
        v1::Change::NotMade => Change::NotMade,
        v1::Change::Made => Change::Made,
        v1::Change::Unspecified | v1::Change::Unknown => Change::Unknown,
    };
    let code = if is_code(&response.code) {
        response.code
    } else {
        Code::PluginError.as_str().to_owned()
    };
    let message = if response.error.is_empty() {
        "the plugin answered a failure without a word".to_owned()
    } else {
        response.error
    };
    CallResult::Failed {
        failure: Failure {
            code,
            message,
            retryable: response.retryable,
            not_made: false,
            step: None,
        },
        change,
    }
}

fn is_code(code: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    !code.is_empty() && code.len() <= CODE_BYTES_MAX && code.bytes().all(plain)
}

/// A call without an answer: what is known of it.
async fn failed(instance: &Instance, lost: CallFailure) -> CallResult {
    let code = match told(&lost, instance.launch.is_ours) {
        Ok(result) => return result,
        Err(code) => code,
    };
    let plugin_dead = instance.is_dead().await;
    let gone = plugin_dead || instance.client.is_closed();
    CallResult::Lost {
        code: if gone { Code::PluginUnavailable } else { code },
        // A process that breaks its connection is ended: of the two only the transport's words tell which came first.
        reason: if gone {
            format!("the plugin died, or broke its connection, during the call: {lost}")
        } else {
            lost.to_string()
        },
        plugin_dead,
    }
}

/// What the end of a call tells by itself; otherwise the code of a call whose outcome is unknown.
fn told(lost: &CallFailure, is_ours: bool) -> Result<CallResult, Code> {
    if !lost.sent {
        let why = NotSent::Unavailable(lost.to_string());
        return Ok(CallResult::NotSent(why));
    }
    let refused = || CallResult::Failed {
        failure: failure::made(
            Code::PluginProtocol,
            format!("the plugin refused the call: {lost}"),
        ),
        change: Change::NotMade,
    };
    Err(match lost.code {
        Status::DeadlineExceeded => return Ok(CallResult::TimedOut),
        // The service itself said that it does not take such a call, so no action of it has seen it. Of a process that
        // we did not start that is not known: it may pass on what its back end said after the change was made.
        Status::Unimplemented | Status::Unauthenticated if is_ours => return Ok(refused()),
        Status::OutOfRange | Status::ResourceExhausted => Code::Limit,
        Status::Ok
        | Status::Cancelled
        | Status::Unknown
        | Status::InvalidArgument
        | Status::NotFound
        | Status::AlreadyExists
        | Status::PermissionDenied
        | Status::FailedPrecondition
        | Status::Aborted
        | Status::Internal
        | Status::Unavailable
        | Status::DataLoss
        | Status::Unimplemented
        | Status::Unauthenticated => Code::PluginProtocol,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_asked_for_again_only_where_it_is_certain_that_it_was_not_begun() {
        for is_ours in [true, false] {
            assert!(is_believed(Permission::Read, is_ours));
            for change in [Permission::Modify, Permission::Admin] {
                assert_eq!(is_believed(change, is_ours), is_ours);
            }
        }
    }

    #[test]
    fn only_a_process_that_we_started_is_believed_that_it_did_not_take_a_call() {
        for status in [Status::Unimplemented, Status::Unauthenticated] {
            let lost = CallFailure::sent(status, "not here");
            let ours = told(&lost, true);
            assert!(matches!(
                ours,
                Ok(CallResult::Failed {
                    change: Change::NotMade,
                    ..
                })
            ));
            assert_eq!(told(&lost, false), Err(Code::PluginProtocol));
        }
    }
}
