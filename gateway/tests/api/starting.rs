//! A gateway that listens already and has not read its registry yet.

use std::sync::Arc;

use async_trait::async_trait;
use engine::duration::Duration;
use gateway::{Config, Gateway};
use serde_json::json;
use store::port::{Change, Expect, Item, Registry};
use store::{Backend, Error};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{Client, World, config, parts};

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
