//! What every handler has at hand.

use std::sync::Arc;

use engine::id::{RunId, RunKey, Shard, Tenant};
use engine::registry::{
    Agent, AgentConfig, ApiKey, Instance, Kind, SavedHook, SavedWorkflow, Secret,
};
use engine::time::Timestamp;
use store::Backend;
use store::seal::{Seal, fresh};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::Parts;
use crate::auth::api_key::Hasher;
use crate::auth::token::Tokens;
use crate::config::Config;
use crate::hook::Created;
use crate::hook::rate::Rates;
use crate::mirror::Mirror;
use crate::plans::Plans;
use crate::room::Room;

/// More deliveries than these are not noted in the ring at once.
const NOTES_AT_ONCE: usize = 32;

/// A gate as handlers share it.
pub(crate) type Shared = Arc<Gate>;

/// Everything that a request may need.
pub(crate) struct Gate {
    pub(crate) config: Config,
    /// The tenant that is served.
    pub(crate) tenant: Tenant,
    pub(crate) backend: Backend,
    pub(crate) parts: Parts,
    seal: Seal,
    pub(crate) tokens: Tokens,
    pub(crate) hasher: Hasher,
    pub(crate) workflows: Mirror<SavedWorkflow>,
    pub(crate) hooks: Mirror<SavedHook>,
    pub(crate) api_keys: Mirror<ApiKey>,
    pub(crate) secrets: Mirror<Secret>,
    pub(crate) agents: Mirror<Agent>,
    pub(crate) agent_config: Mirror<AgentConfig>,
    pub(crate) plugins: Mirror<Instance>,
    /// Compiled workflows.
    pub(crate) plans: Plans,
    /// Runs of hooks that are known to exist.
    pub(crate) created: Created,
    /// How often each hook may be used.
    pub(crate) rates: Rates,
    /// What bodies may take of the memory.
    pub(crate) room: Room,
    /// Deliveries that are worked on at once.
    pub(crate) deliveries: Semaphore,
    /// Deliveries that are being noted in the ring.
    pub(crate) notes: Arc<Semaphore>,
    /// Work that an answer does not wait for.
    pub(crate) tasks: TaskTracker,
    /// Set when no more connections are taken: streams and long polls end.
    pub(crate) stopping: CancellationToken,
}

impl Gate {
    pub(crate) fn new(config: Config, backend: Backend, parts: Parts) -> Self {
        let registry = &backend.registry;
        let tenant = Tenant::default();
        let (root, previous) = (&parts.root_key, &parts.previous_root_keys);
        Self {
            seal: Seal::new(root),
            // A token of before a restore says what was true then.
            tokens: Tokens::new(root, previous, &format!("api{}", config.life), &tenant),
            hasher: Hasher::new(config.hashing, config.hashing_queue),
            workflows: Mirror::new(Kind::Workflows, registry.clone()),
            hooks: Mirror::new(Kind::Hooks, registry.clone()),
            api_keys: Mirror::new(Kind::ApiKeys, registry.clone()),
            secrets: Mirror::new(Kind::Secrets, registry.clone()),
            agents: Mirror::new(Kind::Agents, registry.clone()),
            agent_config: Mirror::new(Kind::AgentConfig, registry.clone()),
            plugins: Mirror::new(Kind::Plugins, registry.clone()),
            plans: Plans::default(),
            created: Created::default(),
            rates: Rates::default(),
            room: Room::default(),
            deliveries: Semaphore::new(config.deliveries),
            notes: Arc::new(Semaphore::new(NOTES_AT_ONCE)),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            tenant,
            parts,
            backend,
            config,
        }
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Timestamp {
        self.backend.clock.now()
    }

    /// A new id, in one of the shards.
    pub(crate) fn new_run_id(&self) -> RunId {
        let random = &self.backend.random;
        let shards = u64::from(self.config.shards.clamp(1, 4_096));
        let shard = u16::try_from(random.bits() % shards).unwrap_or(0);
        RunId::new(self.now(), Shard(shard), random.bits())
    }

    /// A new id for a person to see: a UUIDv7.
    pub(crate) fn new_id(&self) -> String {
        RunId::new(self.now(), Shard(0), self.backend.random.bits()).to_string()
    }

    /// The run of that id.
    pub(crate) fn run_key(&self, tenant: &Tenant, run: RunId) -> RunKey {
        RunKey {
            tenant: tenant.clone(),
            run,
        }
    }

    /// An address as it is shown.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.config.public_url.trim_end_matches('/'))
    }

    /// The address of a run.
    pub(crate) fn run_url(&self, run: RunId) -> String {
        self.url(&format!("/api/v1/runs/{run}"))
    }

    /// The ETag of a revision. After a restore numbers of revisions come again, for other things: so it names the life of
    /// the data too, but for the first, which has no name.
    pub(crate) fn revision_tag(&self, revision: u64) -> String {
        match self.config.life.as_str() {
            "" => format!("\"{revision}\""),
            life => format!("\"{revision}.{life}\""),
        }
    }

    /// `plain`, sealed for the place that `bound` names.
    pub(crate) fn seal(&self, bound: &str, plain: &[u8]) -> String {
        let random = fresh(self.backend.random.as_ref());
        self.seal.seal(bound, random, plain)
    }

    /// What was sealed for the place that `bound` names.
    pub(crate) fn unseal(&self, bound: &str, sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        let opened = self.seal.open(bound, sealed);
        if let Err(error) = &opened {
            tracing::error!(%error, bound, "a secret does not open");
        }
        opened.ok()
    }

    /// Keeps the mirrors up while the set lives.
    pub(crate) fn follow(self: &Arc<Self>) -> JoinSet<()> {
        let mut set = JoinSet::new();
        macro_rules! follow {
            ($($mirror:ident)*) => {
                $({
                    let gate = self.clone();
                    set.spawn(async move { gate.$mirror.follow().await });
                })*
            };
        }
        follow!(workflows hooks api_keys secrets agents agent_config plugins);
        set
    }

    /// Waits until every mirror is filled.
    pub(crate) async fn loaded(&self) {
        self.workflows.loaded().await;
        self.hooks.loaded().await;
        self.api_keys.loaded().await;
        self.secrets.loaded().await;
        self.agents.loaded().await;
        self.agent_config.loaded().await;
        self.plugins.loaded().await;
    }

    /// Whether requests can be answered.
    pub(crate) fn is_ready(&self) -> bool {
        let loaded = [
            self.workflows.is_loaded(),
            self.hooks.is_loaded(),
            self.api_keys.is_loaded(),
            self.secrets.is_loaded(),
            self.agents.is_loaded(),
            self.agent_config.is_loaded(),
            self.plugins.is_loaded(),
        ];
        loaded.iter().all(|loaded| *loaded) && !self.stopping.is_cancelled()
    }
}
