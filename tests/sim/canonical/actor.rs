//! The agent as a plan has it: what each call does stands in its parameters.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::code::Code;
use engine::job::Job;
use engine::principal::Permission;
use tokio::time::sleep;
use worker::{CallResult, Caller, Change, Events, LookUpResult, NotSent, PluginCall};

use crate::lab::Coming;
use crate::life::Gate;
use crate::plugin::{Agent, failed, result};

/// A change leaves the agent so long after its call, and is carried out then.
const SENT: Duration = Duration::from_millis(200);
/// A call is answered so long after it.
const ANSWERED: Duration = Duration::from_millis(700);

/// Does what it is told: `does: "dies once, made"` is a change that is carried out the first time though its agent dies.
pub(crate) struct Actor(pub(crate) Agent);

/// What a call is told to do.
#[derive(Clone, Copy)]
struct Told {
    does: Does,
    /// Whether a change that goes wrong is carried out all the same.
    made: bool,
    /// A look-up cannot tell.
    vague: bool,
}

#[derive(Clone, Copy)]
enum Does {
    /// Succeeds.
    Well,
    /// Fails for good; nothing was changed.
    Fails,
    /// Fails; nothing was changed, and trying again may help.
    Refuses,
    /// Fails, and does not say whether something was changed.
    Breaks,
    /// Its agent dies.
    Dies,
    /// It answers nothing.
    Silent,
}

fn told(call: &PluginCall<'_>, before: u32) -> Told {
    let params: serde_json::Value = serde_json::from_slice(&call.params).unwrap_or_default();
    let text = params["does"].as_str().unwrap_or_default();
    let times = match () {
        () if text.contains("once") => 1,
        () if text.contains("twice") => 2,
        () => u32::MAX,
    };
    let first = text.split([' ', ',']).next().unwrap_or_default();
    let does = match first {
        _ if before >= times => Does::Well,
        "fails" => Does::Fails,
        "refuses" => Does::Refuses,
        "breaks" => Does::Breaks,
        "dies" => Does::Dies,
        "silent" => Does::Silent,
        "" => Does::Well,
        other => panic!("nothing does {other}"),
    };
    let (made, vague) = (text.contains("made"), text.contains("vague"));
    Told { does, made, vague }
}

#[async_trait]
impl Caller for Actor {
    async fn ready(&self, _: &Job, settings: u64, _: Duration) -> Result<(), NotSent> {
        self.0.has(settings)
    }

    async fn call(&self, call: PluginCall<'_>, events: Arc<dyn Events>) -> CallResult {
        if let Err(refused) = self.0.called(&call) {
            return CallResult::NotSent(refused);
        }
        let before = self.0.world.lab.count(&call.job.idempotency_key);
        let told = told(&call, before);
        let action = &call.job.action;
        if action.name.action == "slow" {
            return self.0.slow(&call, events, u64::MAX).await;
        }
        if action.permission != Permission::Read {
            sleep(SENT).await;
            if told.made || matches!(told.does, Does::Well) {
                self.send(&call);
            }
            self.gate().effect("a change is sent").await;
        }
        let answer = answer(&call, told.does).await;
        self.gate().effect("a call is answered").await;
        answer
    }

    async fn look_up(&self, call: PluginCall<'_>) -> LookUpResult {
        sleep(SENT).await;
        self.0.looked_up(&call, told(&call, 0).vague)
    }
}

impl Actor {
    fn gate(&self) -> Gate {
        Gate {
            world: self.0.world.clone(),
            life: self.0.life.clone(),
        }
    }

    fn send(&self, call: &PluginCall<'_>) {
        let now = self.0.world.clock.elapsed_ms();
        self.0.world.lab.send(Coming {
            key: call.job.idempotency_key.clone(),
            life: self.0.life.name.clone(),
            idempotent: call.job.action.idempotent,
            sent_ms: now,
            done_ms: now,
        });
    }
}

async fn answer(call: &PluginCall<'_>, does: Does) -> CallResult {
    sleep(ANSWERED).await;
    match does {
        Does::Well => CallResult::Succeeded {
            output: result(call),
        },
        Does::Fails => failed("no such thing", false, Change::NotMade),
        Does::Refuses => failed("the system is busy", true, Change::NotMade),
        Does::Breaks => failed("something went wrong", false, Change::Unknown),
        Does::Dies => CallResult::Lost {
            code: Code::PluginUnavailable,
            reason: "the agent is gone".to_owned(),
            plugin_dead: true,
        },
        Does::Silent => {
            sleep(call.timeout).await;
            CallResult::TimedOut
        }
    }
}
