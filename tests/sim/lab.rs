//! The systems that the simulated agent changes: what is carried out is carried out, whoever is there to hear of it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::dice::Dice;
use crate::judge::Moment;
use crate::world::World;

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
    /// How often what was called, by idempotency key.
    calls: BTreeMap<String, u32>,
}

/// A change on its way.
#[derive(Clone, Debug)]
pub(crate) struct Coming {
    pub(crate) key: String,
    /// Of whose plugin.
    pub(crate) life: String,
    /// The system knows the key, and does the same only once.
    pub(crate) idempotent: bool,
    /// When it leaves the plugin.
    pub(crate) sent_ms: u64,
    /// When it is carried out.
    pub(crate) done_ms: u64,
}

impl Lab {
    pub(crate) fn new(dice: Dice) -> Self {
        let inner = Inner {
            dice,
            changes: BTreeMap::new(),
            coming: Vec::new(),
            settings: 0,
            calls: BTreeMap::new(),
        };
        Self {
            inner: Mutex::new(inner),
            more: Notify::new(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with it")
    }

    /// Throws the dice of the agent.
    pub(crate) fn throw<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
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

    /// Something leaves a plugin.
    pub(crate) fn send(&self, coming: Coming) {
        self.lock().coming.push(coming);
        self.more.notify_one();
    }

    /// Whose plugins die, they send nothing more; what they sent is on its way.
    pub(crate) fn plugins_died(&self, life: &str, now: u64) {
        let mut inner = self.lock();
        inner.coming.retain(|c| c.life != life || c.sent_ms <= now);
    }

    /// One more call under this key; answers how many there were before.
    pub(crate) fn count(&self, key: &str) -> u32 {
        let mut inner = self.lock();
        let calls = inner.calls.entry(key.to_owned()).or_default();
        *calls += 1;
        *calls - 1
    }

    /// How often the change under this key was carried out.
    pub(crate) fn times(&self, key: &str) -> u32 {
        self.lock().changes.get(key).copied().unwrap_or(0)
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

    /// The revision of the agent's settings.
    pub(crate) fn settings(&self) -> u64 {
        self.lock().settings
    }
}
