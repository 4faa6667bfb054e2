//! The simulated agent.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine::code::Code;
use engine::event::Failure;
use engine::job::Job;
use engine::principal::Permission;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::sleep;
use worker::{CallResult, Caller, Change, Events, LookUpResult, NotSent, PluginCall, Said};

use crate::dice::Dice;
use crate::judge::Moment;
use crate::lab::Coming;
use crate::life::Life;
use crate::world::World;

/// A request that has left a plugin travels no longer than this: less than what a look-up waits by default.
const TRAVEL_MS_MAX: u64 = 4_500;
/// The slow action saves a checkpoint so often.
const TICK: Duration = Duration::from_secs(1);

/// What the slow action saves on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) run: String,
    pub(crate) step: u32,
    pub(crate) attempt: u32,
    done: u64,
}

impl Checkpoint {
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

/// The agent as one worker calls it.
pub(crate) struct Agent {
    pub(crate) world: Arc<World>,
    pub(crate) life: Arc<Life>,
}

/// How a change goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    NotMade,
    PerhapsMade,
    Slow,
    Dies,
    Silent,
}

#[async_trait]
impl Caller for Agent {
    async fn ready(&self, _: &Job, settings: u64, within: Duration) -> Result<(), NotSent> {
        let (ms, down) = self.throw(|dice| (dice.between(0, 50), dice.chance(10_000)));
        let late = self.late(within);
        sleep(Duration::from_millis(ms) + late).await;
        if down || late >= within {
            return Err(NotSent::Unavailable(
                "the agent does not come up".to_owned(),
            ));
        }
        self.has(settings)
    }

    async fn call(&self, call: PluginCall<'_>, events: Arc<dyn Events>) -> CallResult {
        if let Err(refused) = self.called(&call) {
            return CallResult::NotSent(refused);
        }
        let begun = self.world.clock.elapsed_ms();
        self.perhaps_ask(&call).await;
        let action = &call.job.action;
        match (action.permission, action.name.action.as_str()) {
            (Permission::Read, "slow") => {
                let fails_at = self.throw(|dice| dice.between(1, 24));
                self.slow(&call, events, fails_at).await
            }
            (Permission::Read, _) => self.read(&call).await,
            (Permission::Modify | Permission::Admin, _) => self.change(&call, begun).await,
        }
    }

    async fn look_up(&self, call: PluginCall<'_>) -> LookUpResult {
        let (ms, vague) = self.throw(|dice| (dice.between(1, 100), dice.chance(50_000)));
        let vague = vague && !self.world.weather.is_calm();
        let late = self.late(call.timeout);
        if late >= call.timeout {
            // The question is lost, or its answer: it may have been answered all the same.
            sleep(late).await;
            return self.looked_up(&call, true);
        }
        // An answer may be as old as it is late.
        let found = self.looked_up(&call, vague);
        sleep(Duration::from_millis(ms) + late).await;
        found
    }
}

impl Agent {
    /// How much later than usual it answers; not at all within `limit` where that is as long.
    fn late(&self, limit: Duration) -> Duration {
        if self.world.weather.is_calm() {
            return Duration::ZERO;
        }
        self.throw(|dice| match dice.between(0, 99) {
            0 => limit,
            part @ 1..=4 => limit / 5 * u32::try_from(part).unwrap_or(1),
            _ => Duration::ZERO,
        })
    }

    /// A call arrives at the agent.
    pub(crate) fn called(&self, call: &PluginCall<'_>) -> Result<(), NotSent> {
        let job = call.job;
        self.world.note(format_args!(
            "called {} {} step {} attempt {}",
            job.action.name, job.key.run, job.step.0, job.attempt.0
        ));
        self.world.see(&Moment::Called {
            job,
            params: &call.params,
            checkpoint: &call.checkpoint,
        });
        call.settings.map_or(Ok(()), |settings| self.has(settings))
    }

    /// It works with these settings.
    pub(crate) fn has(&self, settings: u64) -> Result<(), NotSent> {
        if settings == self.world.lab.settings() {
            return Ok(());
        }
        Err(NotSent::OtherSettings("they changed".to_owned()))
    }

    /// What it finds of an earlier call.
    pub(crate) fn looked_up(&self, call: &PluginCall<'_>, vague: bool) -> LookUpResult {
        let made = self.world.lab.times(&call.job.idempotency_key) > 0;
        self.world.note(format_args!(
            "looked up {}: {made}",
            call.job.idempotency_key
        ));
        if vague {
            return LookUpResult::Unknown {
                reason: "the system does not answer".to_owned(),
            };
        }
        if made {
            let output = result(call);
            return LookUpResult::Done { output };
        }
        LookUpResult::NotDone
    }

    fn throw<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
        self.world.lab.throw(throw)
    }

    async fn read(&self, call: &PluginCall<'_>) -> CallResult {
        let (ms, fate) = self.throw(|dice| (dice.between(5, 2_000), dice.between(0, 99)));
        sleep(Duration::from_millis(ms)).await;
        if self.world.weather.is_calm() {
            return CallResult::Succeeded {
                output: result(call),
            };
        }
        match fate {
            0..=4 => failed("the system is busy", true, Change::NotMade),
            5 => failed("no such thing", false, Change::NotMade),
            6..=7 => CallResult::Lost {
                code: Code::PluginUnavailable,
                reason: "the agent died".to_owned(),
                plugin_dead: true,
            },
            8 => CallResult::NotSent(NotSent::Unavailable("the agent is down".to_owned())),
            9 => {
                sleep(call.timeout).await;
                CallResult::TimedOut
            }
            _ => CallResult::Succeeded {
                output: result(call),
            },
        }
    }

    /// Goes on from where the lost attempt before was.
    pub(crate) async fn slow(
        &self,
        call: &PluginCall<'_>,
        events: Arc<dyn Events>,
        fails_at: u64,
    ) -> CallResult {
        let from = Checkpoint::read(&call.checkpoint).map_or(0, |c| c.done);
        for done in from + 1..=8 {
            sleep(TICK).await;
            if done == fails_at && !self.world.weather.is_calm() {
                return failed("the system is busy", true, Change::NotMade);
            }
            let checkpoint = Checkpoint {
                run: call.job.key.run.to_string(),
                step: call.job.step.0,
                attempt: call.job.attempt.0,
                done,
            };
            let bytes = serde_json::to_vec(&checkpoint).expect("plain values");
            events.said(Said::Checkpoint(bytes.into())).await;
        }
        CallResult::Succeeded {
            output: result(call),
        }
    }

    async fn change(&self, call: &PluginCall<'_>, begun: u64) -> CallResult {
        let fate = self.fate();
        let ms = self.throw(|dice| dice.between(10, 3_000));
        let (now, limit) = (self.world.clock.elapsed_ms(), millis(call.timeout));
        // Whatever it does, it refuses to after its deadline; what it sent then is still on its way.
        let last = match fate {
            Fate::Slow | Fate::Silent => (begun + limit).max(now),
            Fate::Good | Fate::NotMade | Fate::PerhapsMade | Fate::Dies => now + ms,
        };
        let (sent_ms, travel) = self.throw(|dice| {
            let sent = dice.between(now, last);
            (sent, dice.between(0, TRAVEL_MS_MAX))
        });
        let heard = matches!(fate, Fate::Good | Fate::PerhapsMade);
        let done_ms = if heard { sent_ms } else { sent_ms + travel };
        let made = match fate {
            Fate::Good => true,
            Fate::NotMade => false,
            Fate::PerhapsMade | Fate::Slow | Fate::Dies | Fate::Silent => {
                self.throw(|dice| dice.chance(600_000))
            }
        };
        if made {
            self.world.lab.send(Coming {
                key: call.job.idempotency_key.clone(),
                life: self.life.name.clone(),
                idempotent: call.job.action.idempotent,
                sent_ms,
                done_ms,
            });
        }
        self.answer(call, fate, ms).await
    }

    fn fate(&self) -> Fate {
        if self.world.weather.is_calm() {
            return Fate::Good;
        }
        self.throw(|dice| match dice.between(0, 99) {
            0..=6 => Fate::NotMade,
            7..=10 => Fate::PerhapsMade,
            11..=15 => Fate::Slow,
            16..=20 => Fate::Dies,
            21..=24 => Fate::Silent,
            _ => Fate::Good,
        })
    }

    async fn answer(&self, call: &PluginCall<'_>, fate: Fate, ms: u64) -> CallResult {
        sleep(Duration::from_millis(ms)).await;
        let lost = |plugin_dead| CallResult::Lost {
            code: Code::PluginUnavailable,
            reason: "the agent is gone".to_owned(),
            plugin_dead,
        };
        match fate {
            Fate::Good => CallResult::Succeeded {
                output: result(call),
            },
            Fate::NotMade => failed("refused", true, Change::NotMade),
            Fate::PerhapsMade => failed("something went wrong", false, Change::Unknown),
            Fate::Slow => {
                sleep(call.timeout).await;
                CallResult::TimedOut
            }
            Fate::Dies => lost(true),
            Fate::Silent => lost(false),
        }
    }
}

/// The result of a call, which tells which attempt it is of.
pub(crate) fn result(call: &PluginCall<'_>) -> Bytes {
    let params: serde_json::Value = serde_json::from_slice(&call.params).unwrap_or_default();
    let pad = params["pad"].as_u64().unwrap_or(0);
    let pad = "x".repeat(usize::try_from(pad).unwrap_or(0));
    let result = json!({ "n": params["n"], "by": call.job.attempt.0, "pad": pad });
    serde_json::to_vec(&result).expect("plain values").into()
}

pub(crate) fn failed(message: &str, retryable: bool, change: Change) -> CallResult {
    let failure = Failure {
        code: "lab_failed".to_owned(),
        message: message.to_owned(),
        retryable,
        not_made: false,
        step: None,
    };
    CallResult::Failed { failure, change }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
