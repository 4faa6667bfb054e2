//! Drives an agent in tests, in this process but over a real socket, as the engine would.
//!
//! ```
//! # use mirastack_sdk::{Action, Agent, Context, ActionError, testing::{Call, Harness}};
//! # use serde_json::{Map, Value, json};
//! # async fn echo(_: Context, input: Map<String, Value>) -> Result<Map<String, Value>, ActionError> { Ok(input) }
//! # #[tokio::main]
//! # async fn main() {
//! let agent = Agent::new("echo", "0.1.0", "Answers what it is told.")
//!     .action(Action::read("echo", "Answers its input.", echo));
//! let harness = Harness::start(agent).await;
//! let examples = [Call::new("echo", json!({ "n": 1 }))];
//! assert_eq!(harness.run(&examples[0]).await.output(), json!({ "n": 1 }));
//! harness.fail_every_action_in_turn(&examples).await;
//! harness.run_every_action_twice(&examples).await;
//! # }
//! ```
//!
//! Everything here panics where an agent does not do what it must: it is for tests only.

mod checks;
mod golden;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bytes::Bytes;
use proto::{
    address::Address,
    client::{CallOptions, Events, PluginClient},
    manifest::Manifest,
    v1::{self, LookUpOutcome, execute_event::Event},
};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    Agent, Found, TimeRange,
    context::epoch_ms,
    serve::{Instance, Listener},
};

/// How long anything may take before a test is said to hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// An agent that serves, and the client that calls it.
#[derive(Debug)]
pub struct Harness {
    client: PluginClient,
    manifest: Manifest,
    address: Address,
    id: String,
    keys: AtomicU64,
    _server: JoinSet<()>,
}

/// One call: an action, its parameters, and the circumstances.
#[derive(Clone, Debug)]
pub struct Call {
    action: String,
    params: Bytes,
    key: Option<String>,
    fence: u64,
    attempt: u32,
    deadline_epoch_ms: i64,
    checkpoint: Bytes,
    time_range: Option<TimeRange>,
    fails: Option<String>,
}

/// What a call said and how it ended.
#[derive(Debug)]
pub struct Outcome {
    /// The result, or the failure.
    pub response: v1::ExecuteResponse,
    /// The progress reports.
    pub progress: Vec<v1::Progress>,
    /// The log lines.
    pub log: Vec<String>,
    /// The checkpoints.
    pub checkpoints: Vec<Bytes>,
}

impl Call {
    /// A first attempt with an idempotency key of its own.
    #[must_use]
    pub fn new(action: &str, params: Value) -> Self {
        Self {
            action: action.to_owned(),
            params: params.to_string().into(),
            key: None,
            fence: 1,
            attempt: 1,
            deadline_epoch_ms: 0,
            checkpoint: Bytes::new(),
            time_range: None,
            fails: None,
        }
    }

    /// With parameters that may be no JSON at all.
    #[must_use]
    pub fn raw(mut self, params: impl Into<Bytes>) -> Self {
        self.params = params.into();
        self
    }

    /// With this idempotency key.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// As this attempt; its number is the fence too.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self.fence = attempt.into();
        self
    }

    /// With a deadline so far from now, in milliseconds; negative is past.
    #[must_use]
    pub fn deadline_in_ms(mut self, ms: i64) -> Self {
        self.deadline_epoch_ms = epoch_ms() + ms;
        self
    }

    /// With what the attempt before saved.
    #[must_use]
    pub fn checkpoint(mut self, bytes: impl Into<Bytes>) -> Self {
        self.checkpoint = bytes.into();
        self
    }

    /// About this span of time.
    #[must_use]
    pub fn time_range(mut self, start_epoch_ms: i64, end_epoch_ms: i64) -> Self {
        self.time_range = Some(TimeRange {
            start_epoch_ms,
            end_epoch_ms,
            ..TimeRange::default()
        });
        self
    }

    /// Says that the call is meant to fail, with this code.
    #[must_use]
    pub fn fails_with(mut self, code: &str) -> Self {
        self.fails = Some(code.to_owned());
        self
    }
}

impl Outcome {
    /// The result of a call that succeeded.
    ///
    /// # Panics
    /// When it failed.
    pub fn output(&self) -> Value {
        let r = &self.response;
        assert!(r.success, "the action failed: {}: {}", r.code, r.error);
        serde_json::from_slice(&r.result_json).expect("a result is JSON")
    }

    /// Code, and what became of the change, of a call that failed.
    ///
    /// # Panics
    /// When it succeeded.
    #[must_use]
    pub fn failure(&self) -> (&str, v1::Change) {
        assert!(!self.response.success, "the action succeeded");
        (&self.response.code, self.response.change())
    }
}

impl Harness {
    /// Serves the agent on a free loopback port.
    ///
    /// # Panics
    /// When the agent breaks the rules of manifests.
    pub async fn start(agent: Agent) -> Self {
        agent.verify().expect("an agent that `main` would serve");
        let manifest = agent.manifest.clone();
        let secret = uuid::Uuid::now_v7().to_string();
        let instance = Instance::new(agent, Some(secret.clone()));
        let id = instance.id.to_string();
        let any_port = Address::Tcp("127.0.0.1:0".to_owned());
        let listener = Listener::bind(&any_port).await.expect("a free port");
        let address = listener.address().expect("a bound socket");
        let mut server = JoinSet::new();
        server.spawn(async move {
            listener
                .serve(instance, CancellationToken::new())
                .await
                .expect("serving goes on");
        });
        let client = PluginClient::connect(&address, Some(&secret))
            .await
            .expect("it listens");
        Self {
            client,
            manifest,
            address,
            id,
            keys: AtomicU64::new(0),
            _server: server,
        }
    }

    /// Gives the agent its settings, all of them.
    ///
    /// # Errors
    /// What the agent says against them.
    pub async fn configure(&self, settings: &[(&str, &str)]) -> Result<(), String> {
        let config: BTreeMap<_, _> = settings
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let request = v1::ConfigUpdatedRequest { config, version: 1 };
        let answer = self
            .client
            .config_updated(&request, &options())
            .await
            .expect("an answer");
        if answer.acknowledged {
            Ok(())
        } else {
            Err(answer.error)
        }
    }

    /// What the agent says about itself, over the wire.
    pub async fn manifest(&self) -> Manifest {
        let info = self.client.info(&options()).await.expect("an answer");
        Manifest::from_info(info).expect("a good manifest")
    }

    /// Whether the agent works: a word about it, or what is wrong.
    ///
    /// # Errors
    /// What is wrong, as the agent says it.
    pub async fn health(&self) -> Result<String, String> {
        let answer = self
            .client
            .health_check(&options())
            .await
            .expect("an answer");
        if answer.healthy {
            Ok(answer.message)
        } else {
            Err(answer.message)
        }
    }

    /// Runs a call to its end.
    pub async fn run(&self, call: &Call) -> Outcome {
        let mut events = self.begin(call).await;
        let (mut progress, mut log, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            match events
                .next()
                .await
                .expect("a result in the end")
                .expect("which comes last")
            {
                Event::Progress(p) => progress.push(p),
                Event::Log(line) => log.push(line.message),
                Event::Checkpoint(c) => checkpoints.push(c.bytes),
                Event::Result(response) => {
                    return Outcome {
                        response,
                        progress,
                        log,
                        checkpoints,
                    };
                }
            }
        }
    }

    /// Begins a call. Dropping the events cancels it.
    pub async fn begin(&self, call: &Call) -> Events {
        let request = self.request(call);
        self.client
            .execute_stream(&request, &options())
            .await
            .expect("the call is taken")
    }

    /// What became of an earlier call with this key.
    pub async fn look_up(&self, call: &Call, key: &str) -> Found<Value> {
        let request = v1::LookUpRequest {
            idempotency_key: key.to_owned(),
            action_id: call.action.clone(),
            params_json: call.params.clone(),
            ..v1::LookUpRequest::default()
        };
        let answer = self
            .client
            .look_up(&request, &options())
            .await
            .expect("an answer");
        match answer.outcome() {
            LookUpOutcome::Done => {
                Found::Done(serde_json::from_slice(&answer.result_json).expect("a result is JSON"))
            }
            LookUpOutcome::NotDone => Found::NotDone,
            LookUpOutcome::Unknown | LookUpOutcome::Unspecified => Found::Unknown(answer.message),
        }
    }

    /// The client that calls the agent.
    #[must_use]
    pub fn client(&self) -> &PluginClient {
        &self.client
    }

    /// Compares the agent's page with the file `<folder>/<name>.md`, or writes it when `UPDATE_GOLDEN` is 1.
    ///
    /// # Panics
    /// When they differ.
    pub fn documented_in(agent: &Agent, folder: impl AsRef<Path>) {
        golden::compare(
            &folder.as_ref().join(format!("{}.md", agent.manifest.name)),
            &agent.documentation(),
        );
    }

    /// An idempotency key that was not used before, in any harness.
    #[must_use]
    pub fn fresh_key(&self) -> String {
        format!("{}-{}", self.id, self.keys.fetch_add(1, Ordering::Relaxed))
    }

    fn request(&self, call: &Call) -> v1::ExecuteRequest {
        v1::ExecuteRequest {
            execution_id: "run-of-a-test".to_owned(),
            step_id: "step".to_owned(),
            action_id: call.action.clone(),
            params_json: call.params.clone(),
            time_range: call.time_range.clone(),
            tenant_id: "default".to_owned(),
            idempotency_key: call.key.clone().unwrap_or_else(|| self.fresh_key()),
            fence: call.fence,
            attempt: call.attempt,
            deadline_epoch_ms: call.deadline_epoch_ms,
            checkpoint: call.checkpoint.clone(),
            ..v1::ExecuteRequest::default()
        }
    }
}

fn options() -> CallOptions {
    CallOptions::within(PATIENCE)
}
