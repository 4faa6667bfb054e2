//! A gateway to ask, and what one asks it with.

pub(crate) mod client;
pub(crate) mod owner;
pub(crate) mod schema;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use engine::duration::Duration;
use engine::id::Tenant;
use engine::manifest::Manifest;
use engine::pool::Pool;
use engine::registry::{Agent, Health, Kind, encode};
use engine::time::Timestamp;
use gateway::{AgentHealth, Config, Gateway, HealthFailure, Parts};
use serde_json::{Value, json};
use store::Backend;
use store::clock::{Clock, ProcessClock, SystemRandom};
use store::embedded::{Embedded, Options, Place};
use store::port::Expect;
use store::seal::RootKey;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use client::{Answer, Client};
use owner::Owner;

/// A clock that tests can set forward.
pub(crate) struct TestClock {
    real: ProcessClock,
    ahead_ms: AtomicU64,
}

impl TestClock {
    pub(crate) fn start() -> Self {
        Self {
            real: ProcessClock::start(),
            ahead_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.ahead_ms
            .fetch_add(duration.millis(), Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let ahead = Duration::from_millis(self.ahead_ms.load(Ordering::Relaxed));
        self.real.now().plus(ahead)
    }
}

/// An installation. It ends with the test.
pub(crate) struct World {
    pub(crate) backend: Backend,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) owner: Arc<Owner>,
    pub(crate) address: std::net::SocketAddr,
    pub(crate) admin: Client,
    pub(crate) engineer: Client,
    pub(crate) operator: Client,
    pub(crate) nobody: Client,
    pub(crate) stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// The key that everything is sealed with.
pub(crate) fn root_key() -> RootKey {
    RootKey::new([7; 32])
}

/// Settings for tests: one shard, and a command that nobody answers is waited for only shortly.
pub(crate) fn config() -> Config {
    Config {
        shards: 1,
        command: Duration::from_millis(2_000),
        command_again: Duration::from_millis(100),
        ..Config::default()
    }
}

/// What a gateway is made of for tests.
pub(crate) fn parts() -> Parts {
    Parts {
        root_key: root_key(),
        previous_root_keys: Vec::new(),
        agent_health: Arc::new(Healthy),
        components: Vec::new(),
        metrics: None,
        life_began: None,
        door: None,
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let clock = Arc::new(TestClock::start());
        let options = Options::new(clock.clone(), Arc::new(SystemRandom));
        let (backend, _handle) = Embedded::inline(Place::Memory, options).expect("in memory");
        Self::over(config, backend, clock).await
    }

    /// Over a store that is there already, or that a test has put something before.
    pub(crate) async fn over(config: Config, backend: Backend, clock: Arc<TestClock>) -> Self {
        let tenant = Tenant::default();
        put_agent(&backend, &tenant).await;
        let secret = gateway::bootstrap::secret(&backend);
        gateway::bootstrap::admin_key(&backend, &tenant, &secret)
            .await
            .expect("the registry answers");
        let gateway = Gateway::new(config, backend.clone(), parts());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let owner = Arc::new(Owner::new(backend.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn({
            let (gateway, stop) = (gateway.clone(), stop.clone());
            async move { gateway.serve(listener, stop).await }
        });
        tasks.spawn({
            let owner = owner.clone();
            async move { owner.serve().await }
        });
        gateway.ready().await;
        let nobody = Client::new(address);
        let admin = nobody.log_in(gateway::bootstrap::NAME, &secret).await;
        Self {
            engineer: admin.make_key("eve", "engineer").await,
            operator: admin.make_key("otto", "operator").await,
            admin,
            nobody,
            backend,
            clock,
            owner,
            address,
            stop,
            tasks,
        }
    }

    /// Saves a workflow.
    pub(crate) async fn save(&self, text: &str) {
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("workflow: "))
            .expect("a name");
        let saved = self
            .engineer
            .put(&format!("/api/v1/workflows/{name}"))
            .yaml(text)
            .await;
        assert!(saved.status < 300, "{name}: {}", saved.json);
    }

    /// Starts a workflow and answers the run's id.
    pub(crate) async fn run(&self, workflow: &str, inputs: Value) -> String {
        let answer = self
            .operator
            .post(&format!("/api/v1/workflows/{workflow}/runs"))
            .json(&json!({"inputs": inputs}))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.json);
        answer.text("id")
    }

    /// The run, once it has ended or needs a person.
    pub(crate) async fn settled(&self, run: &str) -> Value {
        self.operator
            .get(&format!("/api/v1/runs/{run}?wait=20&until=attention"))
            .await
            .json
    }

    /// Stops the gateway and waits until it has.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        self.tasks.join_next().await;
    }
}

/// An agent that reads, changes and wipes.
pub(crate) async fn put_agent(backend: &Backend, tenant: &Tenant) {
    let params = json!({"type": "object", "properties": {"value": {"type": "string"}}, "required": ["value"], "additionalProperties": false});
    let output = json!({"type": "object", "properties": {"value": {"type": "string"}}, "required": ["value"]});
    let action = |id: &str, permission: &str| json!({"id": id, "description": "", "permission": permission, "input": params, "output": output});
    let manifest: Manifest = serde_json::from_value(json!({
        "name": "demo", "version": "1.0.0", "description": "for tests",
        "actions": [action("read", "READ"), action("change", "MODIFY"), action("wipe", "ADMIN")],
        "settings": [
            {"key": "url", "type": "string", "required": true, "description": "where"},
            {"key": "token", "type": "string", "secret": true},
            {"key": "limit", "type": "int", "default": "3"},
        ],
    }))
    .expect("a manifest");
    let agent = Agent {
        manifest,
        form: "native".to_owned(),
        pool: Pool::default(),
        executable: None,
        read_at: Timestamp::from_millis(0),
        unauthenticated: false,
        metadata_unavailable: None,
    };
    let key = Kind::Agents.key(tenant, "demo");
    let agent = encode(&agent);
    let put = backend.registry.put(&key, &agent, Expect::Absent);
    put.await.expect("it is new");
}

/// Every agent is well, except those that do not exist.
struct Healthy;

#[async_trait]
impl AgentHealth for Healthy {
    async fn check(&self, _: &Tenant, agent: &str) -> Result<Health, HealthFailure> {
        if agent != "demo" {
            return Err(HealthFailure::Unreachable(
                "there is no such process".to_owned(),
            ));
        }
        Ok(Health {
            ok: true,
            message: "fine".to_owned(),
            checked_at: Timestamp::from_millis(1),
        })
    }
}

/// A workflow of one READ step.
pub(crate) const READS: &str = "\
workflow: reads
description: Reads a value.
labels: { team: payments }
inputs:
  value: { type: string }
  window: { type: duration, default: 30m }
steps:
  - id: read
    uses: demo/read
    with: { value: \"${{ inputs.value }}\" }
outputs: { value: \"${{ steps.read.output.value }}\" }
";

/// A workflow that stops for an approval.
pub(crate) const CHANGES: &str = "\
workflow: changes
inputs:
  value: { type: string, default: x }
steps:
  - id: change
    uses: demo/change
    with: { value: \"${{ inputs.value }}\" }
";

/// A workflow that waits.
pub(crate) const WAITS: &str = "\
workflow: waits
steps:
  - id: nap
    wait: 1h
";
