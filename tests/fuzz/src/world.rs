//! An installation in memory, asked without a connection: the gateway as it is, and a store that forgets.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use axum::body::Body;
use engine::id::{Nonce, Tenant};
use engine::manifest::Manifest;
use engine::pool::Pool;
use engine::principal::{Principal, Role};
use engine::registry::{Agent, ApiKey, Health, Kind, encode};
use engine::time::Timestamp;
use gateway::{AgentHealth, App, Config, Gateway, HealthFailure, Parts};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use store::Backend;
use store::clock::{Clock, Random};
use store::embedded::{Embedded, Options, Place};
use store::port::Expect;
use store::seal::RootKey;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::agents;
use crate::token::Sealer;

/// The time there, which stands still.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000)
}
/// The value of the secret of every hook, and a setting's. It may stand in no answer.
pub(crate) const SECRET: &str = "canary-5f2c81d0";
/// So much of an answer is read at most: a stream has no end.
const FRAMES_MAX: usize = 64;
/// So long an answer is waited for, in the time there, which passes as soon as nobody has anything to do.
const PATIENCE: Duration = Duration::from_secs(600);

/// An installation.
pub(crate) struct World {
    runtime: Runtime,
    app: App,
    sealer: Sealer,
    _mirrors: JoinSet<()>,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl World {
    /// A new one, with an agent, a key of each role, a secret, hooks and workflows.
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let (app, mirrors) = runtime.block_on(app());
        let world = Self {
            runtime,
            app,
            sealer: Sealer::new(&root_key()),
            _mirrors: mirrors,
        };
        world.furnish();
        world
    }

    /// A token that this installation gave to the key of a role.
    pub(crate) fn token(&self, role: Role) -> String {
        let until = now().plus(engine::duration::Duration::from_secs(60));
        self.sealer.seal(&json!({
            "jti": nonce(1), "sub": Principal::Key(role.to_string()), "tenant": Tenant::default(), "role": role,
            "serial": nonce(0), "iat": now(), "exp": until,
        }).to_string())
    }

    /// Seals what a token says, whatever it is.
    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Asks, and reads the answer.
    pub(crate) fn ask(&self, request: Request<Body>) -> Answer {
        let app = self.app.clone();
        self.runtime.block_on(async {
            let answered = timeout(PATIENCE, app.answer(request)).await;
            let answer = answered.expect("it is answered in time");
            let (parts, mut body) = answer.into_parts();
            let mut read = Vec::new();
            for _ in 0..FRAMES_MAX {
                match timeout(PATIENCE, body.frame()).await {
                    Ok(Some(Ok(frame))) => {
                        read.extend(frame.into_data().unwrap_or_default());
                    }
                    _ => break,
                }
            }
            Answer {
                status: parts.status,
                headers: parts.headers,
                body: read,
            }
        })
    }

    fn furnish(&self) {
        let put = |place: &str, kind: &str, body: &str| {
            let request = Request::builder()
                .method(Method::PUT)
                .uri(place)
                .header(
                    "authorization",
                    format!("Bearer {}", self.token(Role::Admin)),
                )
                .header("content-type", kind);
            let request = request
                .body(Body::from(body.to_owned()))
                .expect("a request");
            let answer = self.ask(request);
            let told = String::from_utf8_lossy(&answer.body);
            assert!(
                answer.status.is_success(),
                "{place}: {} {told}",
                answer.status
            );
        };
        put(
            "/api/v1/secrets/canary",
            "application/json",
            &json!({"value": SECRET}).to_string(),
        );
        for (name, text) in HOOKS {
            put(&format!("/api/v1/hooks/{name}"), "application/yaml", text);
        }
        for (name, text) in WORKFLOWS {
            put(
                &format!("/api/v1/workflows/{name}"),
                "application/yaml",
                text,
            );
        }
    }
}

fn root_key() -> RootKey {
    RootKey::new([7; 32])
}

fn nonce(byte: u8) -> Nonce {
    Nonce([byte; 16])
}

async fn app() -> (App, JoinSet<()>) {
    let options = Options::new(Arc::new(Still), Arc::new(Counted::default()));
    let (backend, _) = Embedded::inline(Place::Memory, options).expect("in memory");
    put_agent(&backend).await;
    for role in [Role::Operator, Role::Engineer, Role::Admin] {
        put_key(&backend, role).await;
    }
    let parts = Parts {
        root_key: root_key(),
        previous_root_keys: Vec::new(),
        agent_health: Arc::new(Well),
        components: Vec::new(),
        metrics: None,
        life_began: None,
        door: None,
    };
    let config = Config {
        shards: 1,
        ..Config::default()
    };
    Gateway::new(config, backend, parts).app().await
}

async fn put_agent(backend: &Backend) {
    let actions = agents::declared();
    let manifest: Manifest = serde_json::from_value(json!({
        "name": "demo", "version": "1.0.0", "actions": actions,
        "settings": [
            {"key": "url", "type": "string", "required": true},
            {"key": "token", "type": "string", "secret": true},
            {"key": "limit", "type": "int", "default": "3"},
            {"key": "pause", "type": "duration"},
            {"key": "rows", "type": "json"},
        ],
    }))
    .expect("it is written as manifests are");
    let agent = Agent {
        manifest,
        form: "native".to_owned(),
        pool: Pool::default(),
        executable: None,
        read_at: now(),
        unauthenticated: false,
        metadata_unavailable: None,
    };
    put(
        backend,
        &Kind::Agents.key(&Tenant::default(), "demo"),
        &encode(&agent),
    )
    .await;
}

/// A key that is named after its role, and that nobody can log in with.
async fn put_key(backend: &Backend, role: Role) {
    let name = role.to_string();
    let key = ApiKey {
        serial: nonce(0),
        secret_hash: String::new(),
        role,
        description: None,
        created_by: Principal::Key(name.clone()),
        created_at: now(),
        revoked_at: None,
        revoked_by: None,
    };
    put(
        backend,
        &Kind::ApiKeys.key(&Tenant::default(), &name),
        &encode(&key),
    )
    .await;
}

async fn put(backend: &Backend, key: &str, value: &[u8]) {
    let put = backend.registry.put(key, value, Expect::Absent).await;
    put.expect("it is new");
}

/// Time that stands still.
pub(crate) struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        now()
    }
}

/// Numbers that are all different, and the same each time.
#[derive(Default)]
pub(crate) struct Counted(AtomicU64);

impl Random for Counted {
    fn bits(&self) -> u64 {
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// Every agent is well.
struct Well;

#[async_trait]
impl AgentHealth for Well {
    async fn check(&self, _: &Tenant, _: &str) -> Result<Health, HealthFailure> {
        Ok(Health {
            ok: true,
            message: "fine".to_owned(),
            checked_at: now(),
        })
    }
}

const HOOKS: [(&str, &str); 4] = [
    (
        "alerts",
        "hook: alerts\ntype: alertmanager\nauth: { bearer: [\"${{ secrets.canary }}\"] }\nrole: operator\n",
    ),
    (
        "github",
        "hook: github\ntype: github\nauth: { hmac: { secrets: [\"${{ secrets.canary }}\"] } }\nrole: operator\n",
    ),
    (
        "builds",
        "hook: builds\ntype: generic\nauth: { bearer: [\"${{ secrets.canary }}\"] }\nrole: operator\nheaders: [x-build]\ndedupe: event.body.id\n",
    ),
    (
        "basic",
        "hook: basic\ntype: generic\nauth: { basic: [\"${{ secrets.canary }}\"] }\nrole: operator\ndedupe: none\n",
    ),
];

const WORKFLOWS: [(&str, &str); 4] = [
    (
        "reads",
        "workflow: reads\ninputs:\n  text: { type: string }\n  n: { type: integer, default: 1 }\n  window: { type: duration, default: 30m }\nsteps:\n  - { id: read, uses: demo/read, with: { text: \"${{ inputs.text }}\", count: \"${{ inputs.n }}\" } }\n",
    ),
    (
        "silences",
        "workflow: silences\non:\n  - { hook: alerts, if: \"event.alert.labels.severity == 'page'\", with: { value: \"${{ event.alert.labels.alertname }}\" } }\ninputs: { value: { type: string } }\nsteps:\n  - { id: change, uses: demo/change, with: { text: \"${{ inputs.value }}\" } }\n",
    ),
    (
        "pulls",
        "workflow: pulls\non:\n  - { hook: github, if: \"event.type == 'pull_request'\", with: { value: \"${{ string(event.body.number) }}\" } }\ninputs: { value: { type: string } }\nsteps:\n  - { id: read, uses: demo/read, with: { text: \"${{ inputs.value }}\" } }\n",
    ),
    (
        "built",
        "workflow: built\non:\n  - { hook: builds, with: { value: \"${{ event.headers['x-build'] }}\" } }\ninputs: { value: { type: string } }\nsteps:\n  - { id: read, uses: demo/read, with: { text: \"${{ inputs.value }}\" } }\n",
    ),
];
