//! A gateway that listens already and has not read its registry yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use engine::duration::Duration;
use engine::id::Tenant;
use gateway::{Config, Gateway};
use serde_json::json;
use store::clock::{ProcessClock, SystemRandom};
use store::embedded::{Embedded, Options, Place};
use store::port::{Change, Expect, Item, Registry};
use store::{Backend, Error};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Client, World, config, parts, put_agent};

/// Lists nothing before it is told to.
struct Late {
    registry: Arc<dyn Registry>,
    begin: CancellationToken,
}

#[async_trait]
impl Registry for Late {
    async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        self.registry.get(key).await
    }

    async fn list(&self, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Error> {
        self.begin.cancelled().await;
        self.registry.list(prefix, after, max).await
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, Error> {
        self.registry.put(key, value, expect).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), Error> {
        self.registry.delete(key, revision).await
    }

    async fn watch(&self, prefix: &str, revision: u64) -> Result<Vec<Change>, Error> {
        self.registry.watch(prefix, revision).await
    }
}

/// Notes what a gateway lists, and what it waits for.
struct Noted {
    registry: Arc<dyn Registry>,
    seen: watch::Sender<Seen>,
}

/// Who lists so often does not follow.
const TOO_OFTEN: u32 = 100;

#[derive(Default)]
struct Seen {
    /// How often each kind was listed.
    lists: BTreeMap<String, u32>,
    /// Kinds of which the next change is waited for.
    waiting: BTreeSet<String>,
}

impl Seen {
    fn lists_again_and_again(&self) -> bool {
        self.lists.values().any(|n| *n > TOO_OFTEN)
    }

    fn rests(&self) -> bool {
        self.lists.keys().eq(&self.waiting)
    }
}

#[async_trait]
impl Registry for Noted {
    async fn get(&self, key: &str) -> Result<Option<Item>, Error> {
        self.registry.get(key).await
    }

    async fn list(&self, prefix: &str, after: &str, max: usize) -> Result<Vec<Item>, Error> {
        self.seen.send_modify(|seen| {
            *seen.lists.entry(prefix.to_owned()).or_default() += 1;
        });
        if self.seen.borrow().lists[prefix] > TOO_OFTEN {
            // The test has seen enough, and must be let go on.
            return std::future::pending().await;
        }
        self.registry.list(prefix, after, max).await
    }

    async fn put(&self, key: &str, value: &[u8], expect: Expect) -> Result<u64, Error> {
        self.registry.put(key, value, expect).await
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), Error> {
        self.registry.delete(key, revision).await
    }

    async fn watch(&self, prefix: &str, revision: u64) -> Result<Vec<Change>, Error> {
        let mut watch = self.registry.watch(prefix, revision);
        if let Poll::Ready(changes) = futures::poll!(&mut watch) {
            return changes;
        }
        self.seen.send_modify(|seen| {
            seen.waiting.insert(prefix.to_owned());
        });
        let changes = watch.await;
        self.seen.send_modify(|seen| {
            seen.waiting.remove(prefix);
        });
        changes
    }
}

/// Requests are given up soon.
fn impatient() -> Config {
    let mut config = config();
    config.request = Duration::from_millis(50);
    config.edge.body_total = Duration::from_millis(50);
    config
}

#[tokio::test]
async fn nobody_is_taken_for_a_stranger_before_the_keys_are_read() {
    let world = World::start().await;
    let begin = CancellationToken::new();
    let registry = Arc::new(Late {
        registry: world.backend.registry.clone(),
        begin: begin.clone(),
    });
    let backend = Backend {
        registry,
        ..world.backend.clone()
    };
    let gateway = Gateway::new(impatient(), backend, parts());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let nobody = Client::new(listener.local_addr().expect("an address"));
    let operator = nobody.with_token(&world.operator.token());
    let mut tasks = JoinSet::new();
    let serving = gateway.clone();
    tasks.spawn(async move { serving.serve(listener, CancellationToken::new()).await });

    assert_eq!(operator.get("/api/v1/whoami").await.status, 503);
    let delivery = nobody.post("/hooks/alerts").json(&json!({})).await;
    assert_eq!(
        delivery.status, 503,
        "who sends alerts comes again after that, and not after a 401"
    );
    assert_eq!(nobody.open_as("/livez").await.status(), 200);
    begin.cancel();
    gateway.ready().await;
    assert_eq!(operator.get("/api/v1/whoami").await.status, 200);
}

#[tokio::test]
async fn a_gateway_that_starts_again_reads_its_registry_and_then_rests() {
    let options = || Options::new(Arc::new(ProcessClock::start()), Arc::new(SystemRandom));
    let (backend, handle) = Embedded::inline(Place::Memory, options()).expect("in memory");
    put_agent(&backend, &Tenant::default()).await;
    for n in 0..3 {
        let key = format!("other/default/{n}");
        let put = backend
            .registry
            .put(&key, b"later than the agent", Expect::Absent);
        put.await.expect("it is new");
    }
    let (backend, _handle) = handle.restart(options()).expect("it opens again");
    let noted = Arc::new(Noted {
        registry: backend.registry.clone(),
        seen: watch::Sender::default(),
    });
    let mut seen = noted.seen.subscribe();
    let backend = Backend {
        registry: noted,
        ..backend
    };
    let gateway = Gateway::new(config(), backend, parts());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut tasks = JoinSet::new();
    let serving = gateway.clone();
    tasks.spawn(async move { serving.serve(listener, CancellationToken::new()).await });
    gateway.ready().await;
    let seen = seen
        .wait_for(|seen| seen.rests() || seen.lists_again_and_again())
        .await
        .expect("the gateway holds it");
    assert!(
        !seen.lists.is_empty() && seen.lists.values().all(|n| *n <= 2),
        "{:?}",
        seen.lists
    );
}
