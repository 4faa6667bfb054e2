//! Each world is an installation of its own on the same servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use mirastack_tests::shared::Which;
use store::Backend;
use store::clock::Random as _;
use store::cluster::Options;
use store::conformance::{CountingRandom, Damage, HandClock, Hands, World, check, check_of};
use tempfile::TempDir;

use crate::ground::{Servers, process};

#[tokio::test]
async fn nats_kine_and_valkey_keep_every_promise() {
    let servers = Servers::start(Which::Kine).await;
    let worlds = AtomicUsize::default();
    check(async || world(&servers, &worlds).await).await;
}

#[tokio::test]
async fn etcd_keeps_the_promises_of_a_registry() {
    let servers = Servers::start(Which::Etcd).await;
    let worlds = AtomicUsize::default();
    check_of(&["::registry"], async || world(&servers, &worlds).await).await;
}

async fn world(servers: &Servers, worlds: &AtomicUsize) -> World {
    let name = format!("world{}", worlds.fetch_add(1, Ordering::Relaxed));
    let clock = Arc::<HandClock>::default();
    let random = Arc::<CountingRandom>::default();
    let options = servers.options(
        &name,
        None,
        Arc::<HandClock>::clone(&clock),
        Arc::<CountingRandom>::clone(&random),
    );
    let mut hands = Ours {
        random,
        folder: TempDir::new().expect("a folder"),
        opened: 0,
        options,
    };
    let backend = hands.restart().await;
    World::new(backend, clock, Box::new(hands))
}

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
        process(&self.options).await
    }

    fn damage(&mut self, _: &Damage) -> bool {
        false
    }
}
