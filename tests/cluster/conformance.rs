//! Each world is an installation of its own on the same servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mirastack_tests::shared::{Shared, Which};
use store::Backend;
use store::clock::Random;
use store::cluster::{Options, broker, memory, open, registry};
use store::conformance::{CountingRandom, Damage, HandClock, Hands, World, check, check_of};
use tempfile::TempDir;

#[tokio::test]
async fn nats_kine_and_valkey_keep_every_promise() {
    let servers = Servers::start(Which::Kine).await;
    check(async || servers.world().await).await;
}

#[tokio::test]
async fn etcd_keeps_the_promises_of_a_registry() {
    let servers = Servers::start(Which::Etcd).await;
    check_of(&["::registry"], async || servers.world().await).await;
}

struct Servers {
    nats: Shared,
    registry: Shared,
    memory: Shared,
    worlds: AtomicUsize,
}

impl Servers {
    async fn start(registry: Which) -> Self {
        Self {
            nats: Shared::start(Which::Nats).await.expect("NATS"),
            registry: Shared::start(registry).await.expect("a registry"),
            memory: Shared::start(Which::Valkey).await.expect("a memory"),
            worlds: AtomicUsize::default(),
        }
    }

    async fn world(&self) -> World {
        let number = self.worlds.fetch_add(1, Ordering::Relaxed);
        let clock = Arc::<HandClock>::default();
        let random = Arc::<CountingRandom>::default();
        let mut hands = Ours {
            random: Arc::clone(&random),
            folder: TempDir::new().expect("a folder"),
            opened: 0,
            options: Options {
                broker: broker::Options {
                    servers: vec![format!("nats://{}", self.nats.address())],
                    name: format!("world{number}"),
                    replicas: 1,
                },
                shards: SHARDS,
                registry: registry::Options {
                    endpoints: vec![format!("http://{}", self.registry.address())],
                    root: format!("/world-{number}/"),
                },
                memory: memory::Options {
                    url: format!("redis://{}", self.memory.address()),
                    root: format!("world-{number}/"),
                },
                lists: None,
                clock: Arc::<HandClock>::clone(&clock),
                random,
            },
        };
        let backend = hands.restart().await;
        World::new(backend, clock, Box::new(hands))
    }
}

const SHARDS: u16 = 2;

struct Ours {
    random: Arc<CountingRandom>,
    folder: TempDir,
    opened: usize,
    options: Options,
}

#[async_trait(?Send)]
impl Hands for Ours {
    /// The servers live on; another process draws other numbers, and makes its lists anew.
    async fn restart(&mut self) -> Backend {
        self.random.bits();
        self.opened += 1;
        let file = format!("lists-{}.db", self.opened);
        self.options.lists = Some(self.folder.path().join(file));
        open(&self.options).await.expect("the servers answer")
    }

    fn damage(&mut self, _: &Damage) -> bool {
        false
    }
}
