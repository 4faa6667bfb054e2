//! Plugins in the test's hands.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine::event::TimeSpan;
use engine::job::Job;
use tokio::sync::{mpsc, oneshot};
use worker::{CallResult, Caller, Events, LookUpResult, NotSent, PluginCall};

/// Every call goes to the test, which answers it, or not.
pub(crate) struct Puppet {
    calls: mpsc::UnboundedSender<Called>,
    /// What `ready` answers.
    pub(crate) ready: Mutex<Result<(), NotSent>>,
}

/// A call that waits for its answer. Dropping it loses the answer for ever.
pub(crate) struct Called {
    pub(crate) job: Job,
    pub(crate) params: serde_json::Value,
    pub(crate) time_range: Option<TimeSpan>,
    pub(crate) checkpoint: Bytes,
    pub(crate) ready: Duration,
    pub(crate) settings: Option<u64>,
    pub(crate) events: Option<Arc<dyn Events>>,
    reply: oneshot::Sender<CallResult>,
}

impl Called {
    pub(crate) fn succeed(self, output: &serde_json::Value) {
        self.answer(CallResult::Succeeded {
            output: output.to_string().into(),
        });
    }

    pub(crate) fn answer(self, result: CallResult) {
        // Who does not wait any more gets no answer.
        let _ = self.reply.send(result);
    }

    /// Waits until nobody waits for the answer any more.
    pub(crate) async fn cut(&mut self) {
        self.reply.closed().await;
    }
}

impl Puppet {
    pub(crate) fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<Called>) {
        let (calls, called) = mpsc::unbounded_channel();
        let ready = Mutex::new(Ok(()));
        (Arc::new(Self { calls, ready }), called)
    }

    async fn pass(&self, call: PluginCall<'_>, events: Option<Arc<dyn Events>>) -> CallResult {
        let (reply, answer) = oneshot::channel();
        let called = Called {
            job: call.job.clone(),
            params: serde_json::from_slice(&call.params).expect("JSON"),
            time_range: call.time_range,
            checkpoint: call.checkpoint,
            ready: call.ready,
            settings: call.settings,
            events,
            reply,
        };
        let _ = self.calls.send(called);
        match answer.await {
            Ok(result) => result,
            Err(_) => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Caller for Puppet {
    async fn ready(&self, _: &Job, _: u64, _: Duration) -> Result<(), NotSent> {
        self.ready.lock().expect("no panic").clone()
    }

    async fn call(&self, call: PluginCall<'_>, events: Arc<dyn Events>) -> CallResult {
        self.pass(call, Some(events)).await
    }

    async fn look_up(&self, call: PluginCall<'_>) -> LookUpResult {
        match self.pass(call, None).await {
            CallResult::Succeeded { output } => LookUpResult::Done { output },
            CallResult::NotSent(_) => LookUpResult::NotDone,
            CallResult::Failed { failure, .. } => LookUpResult::Unknown {
                reason: failure.message,
            },
            CallResult::TimedOut | CallResult::Lost { .. } => LookUpResult::Unknown {
                reason: "nobody knows".to_owned(),
            },
        }
    }
}
