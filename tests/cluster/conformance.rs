//! Each world is an installation of its own on the same servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mirastack_tests::shared::{Shared, Which};
use store::cluster::memory::{self, Cache};
use store::cluster::registry::{self, Definitions};
use store::conformance::{CountingRandom, Damage, HandClock, Hands, World, check};
use store::{Backend, Embedded, Handle, Options, Place};

#[tokio::test]
async fn kine_and_valkey_keep_every_promise() {
    keeps_every_promise(Which::Kine).await;
}

#[tokio::test]
async fn etcd_keeps_every_promise() {
    keeps_every_promise(Which::Etcd).await;
}

async fn keeps_every_promise(registry: Which) {
    let registry = Shared::start(registry).await.expect("a registry");
    let memory = Shared::start(Which::Valkey).await.expect("a memory");
    let worlds = AtomicUsize::new(0);
    let addresses = (registry.address(), memory.address());
    check(async || {
        let number = worlds.fetch_add(1, Ordering::Relaxed);
        let servers = Servers {
            registry: registry::Options {
                endpoints: vec![format!("http://{}", addresses.0)],
                root: format!("/world-{number}/"),
            },
            memory: memory::Options {
                url: format!("redis://{}", addresses.1),
                root: format!("world-{number}/"),
            },
        };
        servers.world().await
    })
    .await;
}

/// What of the backend is on shared servers; the rest is in memory.
struct Servers {
    registry: registry::Options,
    memory: memory::Options,
}

impl Servers {
    async fn world(self) -> World {
        let clock = Arc::<HandClock>::default();
        let options = options(&clock, Arc::default());
        let (rest, handle) = Embedded::inline(Place::Memory, options).expect("a fresh store");
        let backend = self.over(rest).await;
        let hands = Ours {
            servers: self,
            handle: Some(handle),
            clock: Arc::clone(&clock),
            random: Arc::default(),
        };
        World::new(backend, clock, Box::new(hands))
    }

    async fn over(&self, rest: Backend) -> Backend {
        let registry = Definitions::open(&self.registry).await.expect("a registry");
        let memory = Cache::open(&self.memory).await.expect("a memory");
        Backend {
            registry: Arc::new(registry),
            memory: Arc::new(memory),
            ..rest
        }
    }
}

fn options(clock: &Arc<HandClock>, random: Arc<CountingRandom>) -> Options {
    let clock = Arc::clone(clock);
    Options::new(clock, random)
}

struct Ours {
    servers: Servers,
    handle: Option<Handle>,
    clock: Arc<HandClock>,
    random: Arc<CountingRandom>,
}

#[async_trait(?Send)]
impl Hands for Ours {
    async fn restart(&mut self) -> Backend {
        // Another process draws other numbers.
        store::clock::Random::bits(&*self.random);
        let options = options(&self.clock, Arc::clone(&self.random));
        let handle = self.handle.take().expect("it was opened");
        let (rest, handle) = handle.restart(options).expect("it opens again");
        self.handle = Some(handle);
        self.servers.over(rest).await
    }

    fn damage(&mut self, _: &Damage) -> bool {
        false
    }
}
