//! What became of an earlier call.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use proto::v1::{self, LookUpOutcome};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    ActionError, Config, Context,
    call::{self, Calls},
    context::{Call, Said},
};

/// How long a look-up may take when the engine does not say.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks an action what became of an earlier call of it.
#[derive(Clone, Debug)]
pub struct LookUp<I> {
    /// The key of the earlier call.
    pub idempotency_key: String,
    /// The parameters of the earlier call.
    pub input: I,
}

/// The answer of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<O> {
    /// The change was made, with this result.
    Done(O),
    /// There is no trace of it. The engine believes this only after the action's settle time, for a request
    /// may still be travelling.
    NotDone,
    /// It cannot be told; why.
    Unknown(String),
}

impl Calls {
    /// Asks the action. Whatever fails here means only that it cannot be told.
    pub(crate) async fn look_up(
        &self,
        request: v1::LookUpRequest,
        config: Arc<Config>,
    ) -> v1::LookUpResponse {
        match self.look(request, config).await {
            Ok(Found::Done(result_json)) => answer(LookUpOutcome::Done, result_json, String::new()),
            Ok(Found::NotDone) => answer(LookUpOutcome::NotDone, Bytes::new(), String::new()),
            Ok(Found::Unknown(why)) => answer(LookUpOutcome::Unknown, Bytes::new(), why),
            Err(failure) => answer(LookUpOutcome::Unknown, Bytes::new(), failure.to_string()),
        }
    }

    async fn look(
        &self,
        request: v1::LookUpRequest,
        config: Arc<Config>,
    ) -> Result<Found<Bytes>, ActionError> {
        let action = self.action(&request.action_id);
        let action = action.ok_or_else(|| {
            ActionError::failed(
                "unknown_action",
                format!("there is no action `{}`", request.action_id),
            )
        })?;
        let look = action.look_up.as_ref();
        let look = look.ok_or_else(|| {
            ActionError::failed(
                "no_look_up",
                format!("`{}` has no look-up", request.action_id),
            )
        })?;
        if let Some(missing) = config.missing(&self.agent.manifest.settings) {
            return Err(ActionError::failed("not_configured", missing));
        }
        let input = call::read(action, &request.params_json)?;
        let due =
            call::deadline(request.deadline_epoch_ms)?.unwrap_or_else(|| Instant::now() + PATIENCE);
        let asked = LookUp {
            idempotency_key: request.idempotency_key.clone(),
            input,
        };
        let context = context(request, config, due);
        let answer = async {
            // An attempt that still runs decides the answer: wait for its end.
            let turn = self.fences.turn(&asked.idempotency_key);
            let _turn = match &turn {
                Some(turn) => Some(turn.lock().await),
                None => None,
            };
            look(context, asked).await
        };
        match timeout_at(due, AssertUnwindSafe(answer).catch_unwind()).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(ActionError::failed(
                "panic",
                "the look-up panicked; the plugin's log has the place",
            )),
            Err(_) => Err(ActionError::failed(
                "deadline_passed",
                "the look-up did not end in time",
            )),
        }
    }
}

/// The context of a look-up; what it says goes nowhere.
fn context(request: v1::LookUpRequest, config: Arc<Config>, due: Instant) -> Context {
    let request = v1::ExecuteRequest {
        execution_id: request.execution_id,
        step_id: request.step_id,
        action_id: request.action_id,
        tenant_id: request.tenant_id,
        idempotency_key: request.idempotency_key,
        ..Default::default()
    };
    let (events, _) = mpsc::channel(1);
    let cancelled = CancellationToken::new();
    Context::new(Call {
        request,
        config,
        deadline: Some(due),
        cancelled,
        events,
        said: Said::default(),
    })
}

fn answer(outcome: LookUpOutcome, result_json: Bytes, message: String) -> v1::LookUpResponse {
    v1::LookUpResponse {
        outcome: outcome.into(),
        result_json,
        message,
    }
}
