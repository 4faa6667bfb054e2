//! Real servers, and installations on them.

use std::path::PathBuf;
use std::sync::Arc;

use mirastack_tests::shared::{Shared, Which};
use store::Backend;
use store::clock::{Clock, Random};
use store::cluster::{Options, broker, memory, open, registry};

/// A server of each kind.
pub(crate) struct Servers {
    pub(crate) nats: Shared,
    pub(crate) registry: Shared,
    pub(crate) memory: Shared,
}

pub(crate) const SHARDS: u16 = 2;

impl Servers {
    pub(crate) async fn start(registry: Which) -> Self {
        Self {
            nats: Shared::start(Which::Nats).await.expect("NATS"),
            registry: Shared::start(registry).await.expect("a registry"),
            memory: Shared::start(Which::Valkey).await.expect("a memory"),
        }
    }

    /// An installation of this name: letters and digits.
    pub(crate) fn options(
        &self,
        name: &str,
        lists: Option<PathBuf>,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Options {
        Options {
            broker: broker::Options {
                servers: vec![self.nats.nats("admin")],
                name: name.to_owned(),
                replicas: 1,
                role: broker::Role::Scheduler,
            },
            shards: SHARDS,
            registry: registry::Options {
                endpoints: vec![format!("http://{}", self.registry.address())],
                root: format!("/{name}/"),
            },
            memory: memory::Options {
                url: self.memory.valkey("admin"),
                root: format!("{name}/"),
            },
            lists,
            clock,
            random,
        }
    }
}

/// A process of the installation.
pub(crate) async fn process(options: &Options) -> Backend {
    let opened = Box::pin(open(options)).await;
    opened.expect("the servers answer").backend
}
