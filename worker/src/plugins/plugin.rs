//! The life of one plugin: stopped, started when it is needed, watched, rested after a crash, stopped when idle.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::id::Tenant;
use engine::registry::{Agent, Health};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tracing::{info, warn};

use super::Common;
use super::discover::Program;
use super::instance::Instance;
use super::launch::{self, Started};
use super::notice::{self, Book};
use super::process::Process;
use crate::caller::NotSent;
use crate::{config, failure, metric};

/// The first wait after a crash; it doubles with each crash that follows, up to the longest.
const REST_MIN: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(30);
/// A process that lived so long did not crash because of its start: the waits begin anew.
const STEADY: Duration = Duration::from_secs(60);

/// A plugin of one tenant.
pub(super) struct Plugin {
    pub(super) tenant: Tenant,
    pub(super) name: String,
    pub(super) program: Program,
    agent: Mutex<Arc<Agent>>,
    state: watch::Sender<State>,
    book: Mutex<Book>,
}

#[derive(Clone)]
enum State {
    /// Nobody needs it.
    Stopped,
    /// It is coming up.
    Starting,
    /// It can be called.
    Up(Arc<Instance>),
    /// It crashed, and is started again in a moment.
    Resting,
    /// The worker ends: it is not started any more.
    Over,
}

/// Why a process is not there any more.
enum End {
    /// Nobody needed it.
    Idle,
    /// The worker ends.
    Stopping,
    /// It crashed or never came up.
    Failed(String),
}

impl Plugin {
    pub(super) fn new(tenant: Tenant, program: Program, agent: Agent) -> Self {
        Self {
            tenant,
            name: program.name.clone(),
            program,
            agent: Mutex::new(Arc::new(agent)),
            state: watch::Sender::new(State::Stopped),
            book: Mutex::default(),
        }
    }

    /// What its manifest says.
    pub(super) fn agent(&self) -> Arc<Agent> {
        Arc::clone(&self.agent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its manifest has changed: the program was replaced.
    pub(super) fn replaced(&self, agent: Agent) {
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(agent);
    }

    /// Its process, when one can be called.
    pub(super) fn current(&self) -> Option<Arc<Instance>> {
        match &*self.state.borrow() {
            State::Up(instance) if instance.is_open() => Some(Arc::clone(instance)),
            State::Up(_) | State::Stopped | State::Starting | State::Resting | State::Over => None,
        }
    }

    /// Waits until its process can be called. `start` must let [`live`] run; it is called when that does not run yet.
    pub(super) async fn wait_up(&self, start: impl Fn()) -> Result<Arc<Instance>, NotSent> {
        let mut state = self.state.subscribe();
        loop {
            if matches!(*state.borrow_and_update(), State::Over) {
                return Err(NotSent::Unavailable("the worker is stopping".to_owned()));
            }
            if let Some(instance) = self.current() {
                return Ok(instance);
            }
            if self.claim() {
                start();
            }
            // The sender is this value: it does not go away while it is waited for.
            let _ = state.changed().await;
        }
    }

    /// Why it does not come up.
    pub(super) fn why_not_up(&self) -> String {
        match &self.book().last_error {
            Some(why) => format!("the agent {} does not come up: {why}", self.name),
            None => format!("the agent {} did not come up in time", self.name),
        }
    }

    /// Somebody changed its settings. One that is not running reads them when it starts.
    pub(super) fn settings_changed(&self) {
        if let Some(instance) = self.current() {
            instance.settings_changed.notify_one();
        }
    }

    /// It said how it is; written down when it is news.
    pub(super) async fn healthy(&self, common: &Common, health: &Health) {
        let news = {
            let mut book = self.book();
            let known = book.health.replace(health.clone());
            known.is_none_or(|known| {
                (known.ok, known.message) != (health.ok, health.message.clone())
            })
        };
        if news {
            notice::again(common, self).await;
        }
    }

    /// Writes down that it is not running.
    pub(super) async fn stopped(&self, common: &Common) {
        notice::stopped(common, self).await;
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From stopped to starting, for one caller only.
    fn claim(&self) -> bool {
        self.state.send_if_modified(|state| {
            let stopped = matches!(state, State::Stopped);
            if stopped {
                *state = State::Starting;
            }
            stopped
        })
    }

    fn is_wanted(&self) -> bool {
        self.state.receiver_count() > 0
    }
}

/// Runs a plugin from its first use until it is idle or the worker ends.
pub(super) async fn live(common: Arc<Common>, plugin: Arc<Plugin>) {
    let mut crashes = 0;
    let mut needed = Instant::now();
    loop {
        let began = Instant::now();
        let (end, last_used) = once(&common, &plugin).await;
        needed = last_used.unwrap_or(needed);
        let why = match end {
            End::Idle => {
                info!(agent = plugin.name, "stopped: idle");
                notice::stopped(&common, &plugin).await;
                plugin.state.send_replace(State::Stopped);
                return;
            }
            End::Stopping => {
                notice::stopped(&common, &plugin).await;
                plugin.state.send_replace(State::Over);
                return;
            }
            End::Failed(why) => failure::cut(why),
        };
        crashes = if began.elapsed() >= STEADY {
            1
        } else {
            crashes + 1
        };
        let rest = rest(crashes);
        warn!(agent = plugin.name, why, again_in = ?rest, "a plugin failed");
        notice::resting(&common, &plugin, why, rest).await;
        plugin.state.send_replace(State::Resting);
        tokio::select! {
            biased;
            () = common.stopping.cancelled() => {}
            () = sleep(rest) => {}
        }
        let idle = config::time(common.config.idle);
        if plugin.is_wanted() {
            needed = Instant::now();
        } else if needed + idle < Instant::now() {
            notice::stopped(&common, &plugin).await;
            plugin.state.send_replace(State::Stopped);
            return;
        }
        plugin.book().restarts += 1;
        metric::restarted(&plugin.name);
        plugin.state.send_replace(State::Starting);
    }
}

/// 1, 2, 4 … 30 s.
fn rest(crashes: u32) -> Duration {
    REST_MIN
        .saturating_mul(1 << (crashes - 1).min(5))
        .min(REST_MAX)
}

/// One process, from its start to its end, and when it was used last, if it ever could be.
async fn once(common: &Arc<Common>, plugin: &Plugin) -> (End, Option<Instant>) {
    if common.stopping.is_cancelled() {
        return (End::Stopping, None);
    }
    notice::starting(common, plugin).await;
    let started = tokio::select! {
        biased;
        () = common.stopping.cancelled() => return (End::Stopping, None),
        started = launch::launch(common, plugin) => started,
    };
    let Started {
        mut process,
        instance,
        admitted: _admitted,
    } = match started {
        Ok(started) => started,
        Err(why) => return (End::Failed(why), None),
    };
    let _running = metric::Running::begin();
    info!(agent = plugin.name, version = instance.version, "started");
    plugin.state.send_replace(State::Up(Arc::clone(&instance)));
    notice::ready(common, plugin, &instance).await;
    let end = watch(common, plugin, &mut process, &instance).await;
    instance.died();
    (end, Some(instance.last_used()))
}

/// Looks after a running process until it has ended.
async fn watch(
    common: &Common,
    plugin: &Plugin,
    process: &mut Process,
    instance: &Instance,
) -> End {
    let stop = config::time(common.config.stop);
    let idle = config::time(common.config.idle);
    let mut health = interval(config::time(common.config.health));
    health.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let deaf = config::time(common.config.deaf);
    let mut silent: Option<Instant> = None;
    loop {
        // A change that it may be making is not cut: its time limit ends it.
        if let Some(since) = silent.filter(|since| since.elapsed() >= deaf)
            && instance.close_if_unused()
        {
            process.end(stop).await;
            let why = format!("it gave no sign of life for {:?}", since.elapsed());
            return End::Failed(why);
        }
        let asked = tokio::select! {
            biased;
            why = process.ended() => return End::Failed(why),
            () = instance.client.closed() => return End::Failed(process.died().await),
            () = common.stopping.cancelled() => {
                process.end(stop).await;
                return End::Stopping;
            }
            () = sleep_until(instance.idle_at(idle)) => {
                if instance.close_if_idle(idle) {
                    process.end(stop).await;
                    return End::Idle;
                }
                continue;
            }
            () = instance.settings_changed.notified() => Ask::Settings,
            () = instance.doubted.notified() => Ask::Health,
            () = sleep(REST_MIN), if silent.is_some() => Ask::Health,
            _ = health.tick() => Ask::Health,
        };
        let asked_at = Instant::now();
        // What is asked of the plugin may take a while; neither its death nor the worker's end waits for that.
        tokio::select! {
            biased;
            why = process.ended() => return End::Failed(why),
            () = common.stopping.cancelled() => {}
            answered = ask(common, plugin, instance, asked) => {
                silent = (!answered).then(|| silent.unwrap_or(asked_at));
            }
        }
    }
}

enum Ask {
    Settings,
    Health,
}

/// Whether it answered.
async fn ask(common: &Common, plugin: &Plugin, instance: &Instance, what: Ask) -> bool {
    if let Ask::Settings = what
        && let Err(why) = instance.push(common).await
    {
        warn!(agent = plugin.name, why, "settings could not be given");
        sleep(REST_MIN).await;
        instance.settings_changed.notify_one();
    }
    let (health, answered) = instance.heard_health(common).await;
    plugin.healthy(common, &health).await;
    answered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_after_crashes_double_up_to_thirty_seconds() {
        let waits: Vec<u64> = (1..=7).map(|crashes| rest(crashes).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(rest(u32::MAX), REST_MAX);
    }
}
