//! One attempt, from the job to its outcome.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engine::approval::{self, ApprovedCall};
use engine::code::Code;
use engine::command::Outcome;
use engine::event::Failure;
use engine::id::RunKey;
use engine::job::{Job, JobKind};
use engine::principal::Permission;
use engine::registry::{self, AgentConfig, Kind};
use engine::value::Value;
use tokio::time::timeout;

use crate::caller::{CallResult, Change, LookUpResult, NotSent, PluginCall};
use crate::failure::{self, patiently};
use crate::grant::{self, Leave};
use crate::hands::Hold;
use crate::schemas::Output;
use crate::secrets::{self, Vault};
use crate::sink::Sink;
use crate::{Masks, Shared, config, output};

/// Does a job. `None`: the owner does not want it any more, and there is nothing to report.
pub(crate) async fn perform(shared: &Arc<Shared>, job: &Arc<Job>, hold: &Hold) -> Option<Outcome> {
    let mut attempt = Attempt {
        shared,
        job,
        masks: Arc::default(),
        sink: None,
    };
    let ended = match (job.kind, job.action.permission) {
        (JobKind::LookUp, _) => attempt.look_up().await,
        // What people were asked about is held against their consent, whatever the job says of its level.
        (JobKind::Call, Permission::Read) if job.approval.is_none() => attempt.read().await,
        (JobKind::Call, Permission::Read | Permission::Modify | Permission::Admin) => {
            attempt.change(hold).await
        }
    };
    if let Some(sink) = &attempt.sink {
        sink.forget().await;
    }
    match ended {
        Ok(outcome) | Err(Stop::With(outcome)) => Some(attempt.clean(outcome)),
        Err(Stop::Denied) => None,
    }
}

/// Why an attempt goes no further.
enum Stop {
    /// It has its outcome.
    With(Outcome),
    /// The owner said no.
    Denied,
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::With(Outcome::Failed { failure })
    }
}

fn not_called(reason: impl Into<String>) -> Stop {
    Stop::With(Outcome::NotCalled {
        reason: reason.into(),
    })
}

struct Attempt<'a> {
    shared: &'a Arc<Shared>,
    job: &'a Arc<Job>,
    masks: Arc<Masks>,
    sink: Option<Arc<Sink>>,
}

impl<'a> Attempt<'a> {
    /// A READ call: it may be repeated at will, so it is cut at its time limit, which counts from its dispatch.
    async fn read(&mut self) -> Result<Outcome, Stop> {
        let message = || Outcome::TimedOut {
            message: format!("no result within {}", millis(self.job.call.timeout_ms)),
        };
        let (left, late) = (self.left(), message());
        if left.is_zero() {
            return Ok(late);
        }
        timeout(left, self.read_untimed(left))
            .await
            .unwrap_or(Ok(late))
    }

    async fn read_untimed(&mut self, left: Duration) -> Result<Outcome, Stop> {
        let schema = self.schema().await?;
        let params = self.bytes(&self.job.call.params).await?;
        let params = self.fill(params, &self.job.call.secrets).await?;
        let (call, sink) = self.call(params, left).await;
        match self.shared.caller.call(call, sink).await {
            CallResult::Succeeded { output } => self.succeeded(&output, &schema).await,
            CallResult::Failed { failure, change } => Ok(Outcome::Failed {
                failure: Failure {
                    not_made: change == Change::NotMade,
                    ..failure
                },
            }),
            CallResult::NotSent(why) => Err(not_sent(why)),
            CallResult::TimedOut => Ok(Outcome::TimedOut {
                message: format!("no result within {}", millis(self.job.call.timeout_ms)),
            }),
            CallResult::Lost { code, reason, .. } => Ok(Outcome::Failed {
                failure: Failure {
                    retryable: code == Code::PluginUnavailable,
                    not_made: false,
                    ..failure::made(code, reason)
                },
            }),
        }
    }

    /// A MODIFY or ADMIN call: made from the bytes that were approved and nothing else, once, and only with the owner's
    /// grant; from then on it is never cut, and what is not known is reported as such.
    async fn change(&mut self, hold: &Hold) -> Result<Outcome, Stop> {
        let drain = self.shared.drain.clone();
        let prepared = tokio::select! {
            biased;
            () = drain.cancelled() => return Err(stopping()),
            prepared = self.prepare() => prepared?,
        };
        hold.bind();
        let leave = tokio::select! {
            biased;
            () = drain.cancelled() => return Err(stopping()),
            leave = grant::ask(self.shared, self.job, hold.nonce) => leave,
        };
        let Leave::Granted(start_by) = leave else {
            return Err(Stop::Denied);
        };
        if drain.is_cancelled() {
            return Err(stopping());
        }
        if self.shared.ports.clock.now() > start_by {
            return Err(not_called("the grant came too late to begin the call"));
        }
        self.granted(prepared).await
    }

    /// Everything that can be done before the owner is asked: what fails here has changed nothing. The approved bytes
    /// come first, for what they do not say is not even prepared.
    async fn prepare(&mut self) -> Result<Prepared<'a>, Stop> {
        let settings = self.settings().await?;
        let approved = self.approved(settings).await?;
        let schema = self.schema().await?;
        let within = config::time(self.shared.config.ready);
        let ready = self.shared.caller.ready(self.job, settings, within);
        ready.await.map_err(not_sent)?;
        let params = self.fill(approved.params.into(), &approved.secrets).await?;
        let limit = Duration::from_millis(self.job.call.timeout_ms);
        let (mut call, sink) = self.call(params, limit).await;
        call.time_range = approved.time_range;
        call.ready = Duration::ZERO;
        call.settings = Some(settings);
        Ok(Prepared { call, sink, schema })
    }

    /// The revision of the agent's settings that is in force.
    async fn settings(&self) -> Result<u64, Stop> {
        let key = Kind::AgentConfig.key(&self.job.key.tenant, &self.job.action.name.agent);
        let item = patiently(|| self.shared.ports.registry.get(&key)).await;
        let item = item.map_err(|e| failure::of_store(&e))?;
        let config = item.map(|item| registry::decode::<AgentConfig>(&item.value));
        match config.transpose() {
            Ok(config) => Ok(config.map_or(0, |config| config.revision)),
            Err(e) => {
                let message = format!("the agent's settings cannot be read: {e}");
                Err(failure::made(Code::RecordDamaged, message).into())
            }
        }
    }

    /// The call as it stands in the approved bytes, when these are what was approved and what the job says.
    async fn approved(&self, settings: u64) -> Result<ApprovedCall, Stop> {
        let Some(consent) = &self.job.approval else {
            let message = "a MODIFY or ADMIN job came without its approval";
            return Err(failure::made(Code::ApprovalMismatch, message).into());
        };
        let bytes = self.bytes(&consent.bytes).await?;
        approval::check(&bytes, self.job, settings).map_err(|mismatch| {
            let message = format!(
                "nothing was sent: {mismatch}; run the workflow again to ask for what is true now"
            );
            failure::made(Code::ApprovalMismatch, message).into()
        })
    }

    async fn granted(&mut self, prepared: Prepared<'a>) -> Result<Outcome, Stop> {
        let Prepared { call, sink, schema } = prepared;
        let limit = call.timeout;
        let result = timeout(limit, self.shared.caller.call(call, sink)).await;
        let unknown = |reason: String, plugin_dead| {
            Ok(Outcome::Unknown {
                reason,
                plugin_dead,
            })
        };
        match result.unwrap_or(CallResult::TimedOut) {
            CallResult::Succeeded { output } => self.succeeded(&output, &schema).await,
            CallResult::Failed { failure, change } => match change {
                // The plugin answered: its call is over, as if it were dead, and need not be waited for.
                Change::Unknown => unknown(format!("{}: {}", failure.code, failure.message), true),
                Change::NotMade | Change::Made => Ok(Outcome::Failed {
                    failure: Failure {
                        not_made: change == Change::NotMade,
                        retryable: failure.retryable && change == Change::NotMade,
                        ..failure
                    },
                }),
            },
            CallResult::NotSent(why) => Err(not_called(why.to_string())),
            CallResult::TimedOut => unknown(format!("no result within {limit:?}"), false),
            CallResult::Lost {
                reason,
                plugin_dead,
                ..
            } => unknown(reason, plugin_dead),
        }
    }

    /// Asks what became of an earlier call. It changes nothing, so it needs no grant.
    async fn look_up(&mut self) -> Result<Outcome, Stop> {
        let left = self.left();
        let late = Outcome::LookedUpUnknown {
            reason: format!("no answer within {}", millis(self.job.call.timeout_ms)),
        };
        timeout(left, self.look_up_untimed(left))
            .await
            .unwrap_or(Ok(late))
    }

    async fn look_up_untimed(&mut self, left: Duration) -> Result<Outcome, Stop> {
        let schema = self.schema().await?;
        let params = self.bytes(&self.job.call.params).await?;
        let params = self.fill(params, &self.job.call.secrets).await?;
        let (call, _) = self.call(params, left).await;
        Ok(match self.shared.caller.look_up(call).await {
            LookUpResult::Done { output } => Outcome::LookedUpDone {
                output: self.accept(&output, &schema).await?,
            },
            LookUpResult::NotDone => Outcome::LookedUpNotDone,
            LookUpResult::Unknown { reason } => Outcome::LookedUpUnknown { reason },
        })
    }

    async fn succeeded(&self, text: &[u8], schema: &Output) -> Result<Outcome, Stop> {
        let output = self.accept(text, schema).await?;
        Ok(Outcome::Succeeded { output })
    }

    async fn accept(&self, text: &[u8], schema: &Output) -> Result<Value, Stop> {
        let blobs = self.shared.ports.blobs.as_ref();
        Ok(output::accept(self.job, text, schema, &self.masks, blobs).await?)
    }

    async fn schema(&self) -> Result<Output, Stop> {
        let registry = self.shared.ports.registry.as_ref();
        let schemas = &self.shared.schemas;
        Ok(schemas
            .output(registry, &self.job.key.tenant, &self.job.action)
            .await?)
    }

    /// How long the attempt may still take, counted from its dispatch.
    fn left(&self) -> Duration {
        let gone = self
            .shared
            .ports
            .clock
            .now()
            .millis_since(self.job.dispatched_at);
        Duration::from_millis(self.job.call.timeout_ms.saturating_sub(gone))
    }

    /// The bytes of a value, wherever they are.
    async fn bytes(&self, value: &Value) -> Result<Bytes, Stop> {
        if let Some(inline) = &value.inline {
            return Ok(Bytes::copy_from_slice(inline));
        }
        let key: &RunKey = &self.job.key;
        let stored = patiently(|| self.shared.ports.blobs.get(key, value.digest)).await;
        let gone = || {
            failure::made(
                Code::RecordDamaged,
                format!("the value {} is gone", value.digest),
            )
        };
        let stored = stored
            .map_err(|e| failure::of_store(&e))?
            .ok_or_else(gone)?;
        Ok(stored.into())
    }

    async fn fill(
        &mut self,
        params: Bytes,
        places: &[engine::event::SecretPart],
    ) -> Result<Bytes, Stop> {
        let vault = Vault {
            registry: self.shared.ports.registry.as_ref(),
            seal: &self.shared.seal,
            tenant: &self.job.key.tenant,
        };
        let mut masks = Masks::default();
        let filled = secrets::fill(&vault, params, places, &mut masks).await;
        self.masks = Arc::new(masks);
        Ok(filled?)
    }

    /// A call with these parameters, and where to say what happens during it.
    async fn call(&mut self, params: Bytes, limit: Duration) -> (PluginCall<'a>, Arc<Sink>) {
        let (shared, job) = (Arc::clone(self.shared), Arc::clone(self.job));
        let sink = Arc::new(Sink::new(shared, job, Arc::clone(&self.masks)));
        self.sink = Some(Arc::clone(&sink));
        let params = match engine::planted!("call_not_as_prepared") {
            true => [&params[..], b" "].concat().into(),
            false => params,
        };
        let call = PluginCall {
            job: self.job,
            requester: Some(&self.job.requester),
            params,
            time_range: self.job.call.time_range,
            ready: config::time(self.shared.config.ready),
            timeout: limit,
            checkpoint: sink.resumed().await,
            settings: None,
            masks: Arc::clone(&self.masks),
        };
        (call, sink)
    }

    /// The outcome without the secrets of this attempt, and with messages of a bounded length.
    fn clean(&self, outcome: Outcome) -> Outcome {
        let text = |text: String| failure::cut(self.masks.text(&text).into_owned());
        match outcome {
            Outcome::Succeeded { .. } | Outcome::LookedUpDone { .. } | Outcome::LookedUpNotDone => {
                outcome
            }
            Outcome::Failed { failure } => Outcome::Failed {
                failure: Failure {
                    message: text(failure.message),
                    ..failure
                },
            },
            Outcome::TimedOut { message } => Outcome::TimedOut {
                message: text(message),
            },
            Outcome::NotCalled { reason } => Outcome::NotCalled {
                reason: text(reason),
            },
            Outcome::Unknown {
                reason,
                plugin_dead,
            } => Outcome::Unknown {
                reason: text(reason),
                plugin_dead,
            },
            Outcome::LookedUpUnknown { reason } => Outcome::LookedUpUnknown {
                reason: text(reason),
            },
        }
    }
}

/// A change that waits for its grant.
struct Prepared<'a> {
    call: PluginCall<'a>,
    sink: Arc<Sink>,
    schema: Output,
}

fn stopping() -> Stop {
    not_called("the worker is stopping")
}

fn not_sent(why: NotSent) -> Stop {
    match why {
        NotSent::Unavailable(reason) => Failure {
            retryable: true,
            ..failure::made(Code::PluginUnavailable, reason)
        }
        .into(),
        // The owner waits until the plugin that the run has pinned, or the settings, are there.
        NotSent::NotOffered(reason) | NotSent::OtherSettings(reason) => not_called(reason),
    }
}

fn millis(ms: u64) -> engine::duration::Duration {
    engine::duration::Duration::from_millis(ms)
}
