//! The simulated agent, and the systems that it changes: what is carried out is carried out, whoever is there to hear
//! of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use engine::code::Code;
use engine::event::Failure;
use engine::job::Job;
use engine::principal::Permission;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;
use worker::{CallResult, Caller, Change, Events, LookUpResult, NotSent, PluginCall, Said};

use crate::dice::Dice;
use crate::judge::Moment;
use crate::life::Life;
use crate::world::World;

/// A request that has left a plugin travels no longer than this: less than what a look-up waits by default.
const TRAVEL_MS_MAX: u64 = 4_500;
/// The slow action saves a checkpoint so often.
const TICK: Duration = Duration::from_secs(1);

/// The systems that the agent changes.
pub(crate) struct Lab {
    inner: Mutex<Inner>,
    more: Notify,
}

struct Inner {
    dice: Dice,
    /// How often what was carried out, by idempotency key.
    changes: BTreeMap<String, u32>,
    coming: Vec<Coming>,
    /// The revision of the agent's settings.
    settings: u64,
}

/// A change on its way.
#[derive(Clone, Debug)]
struct Coming {
    key: String,
    /// Of whose plugin.
    life: String,
    /// The system knows the key, and does the same only once.
    idempotent: bool,
    /// When it leaves the plugin.
    sent_ms: u64,
    /// When it is carried out.
    done_ms: u64,
}

impl Lab {
    pub(crate) fn new(dice: Dice) -> Self {
        let inner = Inner {
            dice,
            changes: BTreeMap::new(),
            coming: Vec::new(),
            settings: 0,
        };
        Self {
            inner: Mutex::new(inner),
            more: Notify::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with it")
    }

    fn throw<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
        throw(&mut self.lock().dice)
    }

    /// Carries out what arrives, for ever.
    pub(crate) async fn run(&self, world: &World) {
        loop {
            let next = self.lock().coming.iter().map(|c| c.done_ms).min();
            let now = world.clock.elapsed_ms();
            match next {
                Some(next) if next <= now => self.carry_out(world, now),
                Some(next) => {
                    tokio::select! { biased;
                        () = self.more.notified() => {}
                        () = sleep(Duration::from_millis(next - now)) => {}
                    }
                }
                None => self.more.notified().await,
            }
        }
    }

    fn carry_out(&self, world: &World, now: u64) {
        let mut arrived = Vec::new();
        let mut inner = self.lock();
        inner.coming.retain(|coming| {
            if coming.done_ms <= now {
                arrived.push(coming.clone());
            }
            coming.done_ms > now
        });
        for coming in arrived {
            let times = inner.changes.entry(coming.key.clone()).or_default();
            if !(coming.idempotent && *times > 0) {
                *times += 1;
            }
            let (key, times) = (&coming.key, *times);
            world.note(format_args!("{key} is carried out: {times}"));
            world.see(&Moment::Changed { key, times });
        }
    }

    fn send(&self, coming: Coming) {
        self.lock().coming.push(coming);
        self.more.notify_one();
    }

    /// Whose plugins die, they send nothing more; what they sent is on its way.
    pub(crate) fn plugins_died(&self, life: &str, now: u64) {
        let mut inner = self.lock();
        inner.coming.retain(|c| c.life != life || c.sent_ms <= now);
    }

    /// Somebody sets another revision of the agent's settings.
    pub(crate) fn set(&self, settings: u64) {
        self.lock().settings = settings;
    }

    /// What somebody sees who goes and looks: whether the change was made, once nothing is on its way any more.
    pub(crate) fn look(&self, key: &str) -> Option<bool> {
        let inner = self.lock();
        let coming = inner.coming.iter().any(|c| c.key == key);
        (!coming).then(|| inner.changes.contains_key(key))
    }
}

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
    async fn ready(&self, _: &Job, settings: u64, _: Duration) -> Result<(), NotSent> {
        let (ms, down) = self.throw(|dice| (dice.between(0, 50), dice.chance(10_000)));
        sleep(Duration::from_millis(ms)).await;
        if down {
            return Err(NotSent::Unavailable(
                "the agent does not come up".to_owned(),
            ));
        }
        if settings != self.world.lab.lock().settings {
            return Err(NotSent::OtherSettings("they changed".to_owned()));
        }
        Ok(())
    }

    async fn call(&self, call: PluginCall<'_>, events: Arc<dyn Events>) -> CallResult {
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
        if call
            .settings
            .is_some_and(|s| s != self.world.lab.lock().settings)
        {
            return CallResult::NotSent(NotSent::OtherSettings("they changed".to_owned()));
        }
        match (job.action.permission, job.action.name.action.as_str()) {
            (Permission::Read, "slow") => self.slow(&call, events).await,
            (Permission::Read, _) => self.read(&call).await,
            (Permission::Modify | Permission::Admin, _) => self.change(&call).await,
        }
    }

    async fn look_up(&self, call: PluginCall<'_>) -> LookUpResult {
        let (ms, vague) = self.throw(|dice| (dice.between(1, 100), dice.chance(50_000)));
        sleep(Duration::from_millis(ms)).await;
        let made = self
            .world
            .lab
            .lock()
            .changes
            .contains_key(&call.job.idempotency_key);
        self.world.note(format_args!(
            "looked up {}: {made}",
            call.job.idempotency_key
        ));
        if vague && !self.world.weather.is_calm() {
            return LookUpResult::Unknown {
                reason: "the system does not answer".to_owned(),
            };
        }
        if made {
            let output = result(&call);
            return LookUpResult::Done { output };
        }
        LookUpResult::NotDone
    }
}

impl Agent {
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
    async fn slow(&self, call: &PluginCall<'_>, events: Arc<dyn Events>) -> CallResult {
        let from = Checkpoint::read(&call.checkpoint).map_or(0, |c| c.done);
        let fails_at = self.throw(|dice| dice.between(1, 24));
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

    async fn change(&self, call: &PluginCall<'_>) -> CallResult {
        let fate = self.fate();
        let ms = self.throw(|dice| dice.between(10, 3_000));
        let (now, limit) = (self.world.clock.elapsed_ms(), millis(call.timeout));
        // Whatever it does, it refuses to after its deadline; what it sent then is still on its way.
        let last = match fate {
            Fate::Slow | Fate::Silent => now + limit,
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
fn result(call: &PluginCall<'_>) -> Bytes {
    let params: serde_json::Value = serde_json::from_slice(&call.params).unwrap_or_default();
    let pad = params["pad"].as_u64().unwrap_or(0);
    let pad = "x".repeat(usize::try_from(pad).unwrap_or(0));
    let result = json!({ "n": params["n"], "by": call.job.attempt.0, "pad": pad });
    serde_json::to_vec(&result).expect("plain values").into()
}

fn failed(message: &str, retryable: bool, change: Change) -> CallResult {
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
