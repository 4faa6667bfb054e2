//! What everything in a simulation shares.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use engine::id::Tenant;
use engine::registry::Health;
use engine::time::Timestamp;
use gateway::{AgentHealth, Gateway, HealthFailure};
use store::Backend;
use store::clock::Clock;
use store::seal::RootKey;
use worker::Caller;

use crate::backup::Backups;
use crate::canonical::{Actor, Told};
use crate::dice::Dice;
use crate::ground::Ground;
use crate::judge::{Judge, Moment};
use crate::lab::Lab;
use crate::life::{Crash, Gate, Life};
use crate::plugin::Agent;
use crate::ports::gated;
use crate::post::Post;
use crate::time::{SimClock, SimRandom};
use crate::trace::Trace;
use crate::weather::Weather;
use crate::workflows::Saved;

/// Who says how things go.
pub(crate) enum Plot {
    /// The dice of the seed.
    Dice,
    /// Somebody who knows what is to come of it.
    Told(Told),
}

/// What everything in a simulation shares.
pub(crate) struct World {
    pub(crate) clock: Arc<SimClock>,
    pub(crate) random: Arc<SimRandom>,
    trace: Arc<Trace>,
    pub(crate) plot: Plot,
    /// What was saved before anything began.
    pub(crate) saved: &'static Saved,
    pub(crate) weather: Weather,
    pub(crate) judge: Arc<Judge>,
    pub(crate) ground: Ground,
    pub(crate) lab: Lab,
    pub(crate) post: Post,
    pub(crate) backups: Backups,
    /// Where clients and people come to now.
    door: Mutex<Option<Arc<Door>>>,
    dice: Mutex<Dice>,
}

/// A gateway and the life that it leads.
pub(crate) struct Door {
    pub(crate) life: Arc<Life>,
    pub(crate) gateway: Gateway,
}

/// Nobody asks agents how they are here.
struct Nobody;

#[async_trait]
impl AgentHealth for Nobody {
    async fn check(&self, _: &Tenant, _: &str) -> Result<Health, HealthFailure> {
        Err(HealthFailure::Timeout)
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// Must be made inside the runtime whose time is paused.
    pub(crate) fn new(seed: u64, plot: Plot, saved: &'static Saved, print: bool) -> Arc<Self> {
        let mut dice = Dice::new(seed);
        let clock = Arc::new(SimClock::start());
        let random = Arc::new(SimRandom::new(dice.split()));
        let judge = Arc::new(Judge::new(saved));
        let trace = Arc::new(Trace::new(print));
        Arc::new(Self {
            weather: match plot {
                Plot::Dice => Weather::new(dice.split()),
                Plot::Told(_) => Weather::still(dice.split()),
            },
            plot,
            saved,
            lab: Lab::new(dice.split()),
            post: Post::default(),
            backups: Backups::none(),
            ground: Ground::new(judge.clone(), trace.clone(), clock.clone(), random.clone()),
            clock,
            random,
            trace,
            door: Mutex::default(),
            judge,
            dice: Mutex::new(dice),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Throws the dice of everything that has none of its own.
    pub(crate) fn throw<T>(&self, throw: impl FnOnce(&mut Dice) -> T) -> T {
        throw(&mut self.dice.lock().expect("nobody panics with them"))
    }

    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        self.trace.note(self.clock.elapsed_ms(), what);
    }

    pub(crate) fn see(&self, moment: &Moment<'_>) {
        self.judge.see(self.now(), moment);
    }

    /// What happened, as one number.
    pub(crate) fn sum(&self) -> (u64, u64) {
        self.trace.sum()
    }

    /// From now on this life serves clients and people.
    pub(crate) fn open_door(self: &Arc<Self>, life: &Arc<Life>) {
        let parts = gateway::Parts {
            root_key: RootKey::new([7; 32]),
            previous_root_keys: Vec::new(),
            agent_health: Arc::new(Nobody),
            components: Vec::new(),
            metrics: None,
            life_began: self.backups.life_began(),
            door: None,
        };
        let gateway = Gateway::new(gateway::Config::default(), self.ports(life), parts);
        let life = life.clone();
        let door = Arc::new(Door { life, gateway });
        *self.door.lock().expect("nobody panics with it") = Some(door);
    }

    /// Nobody is served any more. A gateway holds its ports, and these the world: it would keep itself alive.
    pub(crate) fn close_door(&self) {
        self.door.lock().expect("nobody panics with it").take();
    }

    /// Where clients and people come to now.
    pub(crate) fn door(&self) -> Arc<Door> {
        let door = self.door.lock().expect("nobody panics with it").clone();
        door.expect("a door was opened before anybody came")
    }

    /// A life that begins now, and how it will end.
    pub(crate) fn born(&self, name: String) -> Arc<Life> {
        let crash = match &self.plot {
            _ if self.weather.is_calm() => Crash::Never,
            Plot::Dice => self.throw_crash(),
            Plot::Told(told) => told.crash(&name),
        };
        let life = Life::new(name, crash);
        if let Plot::Told(told) = &self.plot {
            told.born(&life);
        }
        life
    }

    fn throw_crash(&self) -> Crash {
        self.throw(|dice| match dice.between(0, 9) {
            0..=2 => Crash::Before(dice.between(1, 400)),
            3..=5 => Crash::After(dice.between(1, 400)),
            6..=7 => Crash::Polls(dice.between(1, 1_000)),
            _ => Crash::Never,
        })
    }

    /// The agent as this life calls it.
    pub(crate) fn caller(self: &Arc<Self>, life: &Arc<Life>) -> Arc<dyn Caller> {
        let agent = Agent {
            world: self.clone(),
            life: life.clone(),
        };
        match self.plot {
            Plot::Dice => Arc::new(agent),
            Plot::Told(_) => Arc::new(Actor(agent)),
        }
    }

    /// The ports as this life has them.
    pub(crate) fn ports(self: &Arc<Self>, life: &Arc<Life>) -> Backend {
        let gate = Gate {
            world: self.clone(),
            life: life.clone(),
        };
        gated(&self.ground.backend(), &gate)
    }
}
