//! The gateway: HTTP in. Who are you, may you, is it valid; then it creates the run or hands in the command, and shows
//! what has become of it.
//!
//! It never decides anything about a run, never talks to a plugin or a worker, and answers 2xx only for what is durable.
//!
//! Start reading at `routes` (what there is), then `guard` (what happens to every request).

mod app;
mod arg;
mod auth;
mod command;
mod config;
mod direct;
mod documents;
mod door;
mod edge;
mod gate;
mod guard;
mod hook;
mod idempotency;
mod journal;
mod keyed;
mod lane;
mod mirror;
mod page;
mod plans;
mod ports;
mod problem;
mod request;
mod respond;
mod room;
mod route;
mod routes;
mod settings;
mod show;
mod submit;

pub mod bootstrap;

use std::sync::Arc;

use engine::time::Timestamp;
use store::Backend;
use store::seal::RootKey;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use app::App;
pub use config::{Config, Edge};
pub use direct::{NotAccepted, Triggers};
pub use door::{Door, Stream};
pub use metrics_exporter_prometheus::PrometheusHandle;
pub use ports::{AgentHealth, Component, ComponentState, HealthFailure};

use gate::Gate;

/// What a gateway is made of besides its configuration and the store.
#[derive(Clone)]
pub struct Parts {
    /// The installation's secret.
    pub root_key: RootKey,
    /// Those that it had before: tokens that were sealed under them hold on to their end. Secrets open under
    /// `root_key` alone.
    pub previous_root_keys: Vec<RootKey>,
    /// Asks an agent how it is.
    pub agent_health: Arc<dyn AgentHealth>,
    /// What `/healthz` lists besides the gateway and the store.
    pub components: Vec<Arc<dyn Component>>,
    /// What `/metrics` shows; `None`: the route answers 503.
    pub metrics: Option<PrometheusHandle>,
    /// When the present life of the data began, if it is out of a backup. A run that was planned before that is not
    /// created: it may have been, in the time that the backup does not know of.
    pub life_began: Option<Timestamp>,
    /// Who lets connections in; `None`: everybody comes in as they are.
    pub door: Option<Arc<dyn Door>>,
}

/// A gateway.
#[derive(Clone)]
pub struct Gateway {
    gate: Arc<Gate>,
}

impl Gateway {
    /// A gateway over `backend`.
    #[must_use]
    pub fn new(config: Config, backend: Backend, parts: Parts) -> Self {
        Self {
            gate: Arc::new(Gate::new(config, backend, parts)),
        }
    }

    /// Serves HTTP on `listener` until `stop`. Then no more connections are taken, streams and long polls end, and
    /// requests at work may finish within the drain time.
    pub async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let _mirrors = self.gate.follow();
        let tell = {
            let (stop, stopping) = (stop.clone(), self.gate.stopping.clone());
            async move {
                stop.cancelled().await;
                stopping.cancel();
            }
        };
        let edge = edge::serve(
            listener,
            App::new(&self.gate),
            self.gate.config.edge.clone(),
            self.gate.parts.door.clone(),
            stop,
        );
        tokio::join!(biased; tell, edge);
        self.gate.tasks.close();
        self.gate.tasks.wait().await;
    }

    /// Itself without an edge, asked by who looks for what no request may do. Ready at once; the mirrors of the registry
    /// are kept up while the second value lives.
    pub async fn app(&self) -> (App, JoinSet<()>) {
        let mirrors = self.gate.follow();
        self.gate.loaded().await;
        (App::new(&self.gate), mirrors)
    }

    /// Waits until requests can be answered. It begins with [`Self::serve`].
    pub async fn ready(&self) {
        self.gate.loaded().await;
    }
}

/// The description of the API (OpenAPI 3.1), as `/openapi.json` serves it.
#[must_use]
pub fn openapi() -> serde_json::Value {
    routes::openapi::document()
}

/// The rights as `docs/rights.md` shows them.
#[must_use]
pub fn rights() -> String {
    routes::rights::page()
}
