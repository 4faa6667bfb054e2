//! An owner of all runs, as small as one can be: it decides what the gateway hands in, one thing after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::code::Code;
use engine::command::{Asked, Command, Outcome};
use engine::facts::{ActionSchemas, Facts, Missing, Rejection, Standing};
use engine::id::{RunId, RunKey, Shard, StepNo, Tenant};
use engine::manifest::{Actions, Pinned};
use engine::principal::Principal;
use engine::record::Cause;
use engine::registry::{AgentConfig, ApiKey, Kind, SavedHook, Secret, decode, def_key};
use engine::run::{At, Run, Stamp};
use engine::schema::Schema;
use engine::value::{INLINE_BYTES_MAX, Labels, Value};
use engine::{language, manifest};
use store::Backend;
use store::port::{News, Topic};
use tokio::sync::Mutex;

const SHARD: Shard = Shard(0);

pub(crate) struct Owner {
    backend: Backend,
    /// One decision at a time.
    turn: Mutex<()>,
    /// Commands are neither decided nor answered while it is held.
    pub(crate) deaf: Mutex<()>,
}

/// What was decided: the last record's number, and whether it was so already.
type Decided = Result<(u64, bool), (Code, String)>;

impl Owner {
    pub(crate) fn new(backend: Backend) -> Self {
        Self {
            backend,
            turn: Mutex::default(),
            deaf: Mutex::default(),
        }
    }

    /// Takes up new runs and decides commands, for ever.
    pub(crate) async fn serve(&self) {
        tokio::join!(biased; self.commands(), self.births());
    }

    async fn commands(&self) {
        let mut sequence = 0;
        loop {
            let inbox = &self.backend.inbox;
            let messages = inbox.receive(SHARD, sequence, 16).await.expect("in memory");
            for (place, message) in messages {
                sequence = place;
                let _hears = self.deaf.lock().await;
                let command = minicbor::decode(&message.body).expect("a command");
                let asked = Asked {
                    id: message.id,
                    command,
                };
                let answer = match self.decide(&message.key, asked).await {
                    Ok((n, already)) => News::Answered {
                        n,
                        already,
                        refused: None,
                    },
                    Err(refused) => News::Answered {
                        n: 0,
                        already: false,
                        refused: Some(refused),
                    },
                };
                self.backend
                    .live
                    .publish(Topic::Command(message.id), answer);
                inbox.settle(SHARD, &[place]).await.expect("in memory");
            }
        }
    }

    async fn births(&self) {
        let mut sequence = 0;
        loop {
            let journal = &self.backend.journal;
            let new = journal
                .new_runs(SHARD, sequence, 64)
                .await
                .expect("in memory");
            for born in new {
                sequence = born.sequence;
                self.wake(&born.first.record.key).await;
            }
        }
    }

    /// Takes a run as far as it goes by itself.
    pub(crate) async fn wake(&self, key: &RunKey) {
        let asked = Asked {
            id: self.backend.random.nonce(),
            command: Command::Wake { in_hand: false },
        };
        self.decide(key, asked)
            .await
            .expect("a wake is never refused");
    }

    /// Asks something of a run; it may be refused.
    pub(crate) async fn decide(&self, key: &RunKey, asked: Asked) -> Decided {
        let _turn = self.turn.lock().await;
        let mut run = self
            .load(key)
            .await
            .ok_or((Code::NotFound, "no such run".to_owned()))?;
        let mut facts = Facts {
            url_base: "http://test/runs".to_owned(),
            ..Facts::default()
        };
        let now = self.backend.clock.now();
        let decision = loop {
            match run.decide(&asked, &facts, now) {
                Ok(decision) => break decision,
                Err(Rejection::Missing(missing)) => {
                    for what in missing {
                        self.fetch(&run, what, &mut facts).await;
                    }
                }
                Err(Rejection::Stale) => return Err((Code::Conflict, "stale".to_owned())),
                Err(Rejection::Refused { code, message }) => return Err((code, message)),
            }
        };
        if decision.events.is_empty() {
            return Ok((run.n(), true));
        }
        for (digest, bytes) in &decision.blobs {
            let put = self.backend.blobs.put(key, *digest, bytes);
            put.await.expect("in memory");
        }
        let stamp = Stamp {
            at: now,
            nonce: self.backend.random.nonce(),
            cause: Cause {
                id: asked.id,
                command: asked.command.name().to_owned(),
            },
        };
        let record = run.commit(&decision.events, stamp);
        let append = self.backend.journal.append(&record, &decision.events);
        append.await.expect("nobody else appends");
        Ok((run.n(), false))
    }

    async fn load(&self, key: &RunKey) -> Option<Run> {
        let entries = self.backend.journal.read(key, 0).await.expect("in memory");
        let records = entries.into_iter().map(|entry| (entry.record, entry.hash));
        Run::fold(records).ok()
    }

    async fn fetch(&self, run: &Run, what: Missing, facts: &mut Facts) {
        let tenant = &run.key().tenant;
        match what {
            Missing::Plan(digest) => {
                let bytes = self.item(&def_key(tenant, digest)).await.expect("pinned");
                let actions = self.actions(run).await;
                let plan = language::plan(&bytes, &actions).expect("it was saved");
                facts.plan = Some(Arc::new(plan));
            }
            Missing::Schemas(digest) => {
                let pinned = self.pinned(tenant, digest).await;
                let schemas = ActionSchemas {
                    input: Schema::compile(&pinned.input).expect("a schema"),
                    output: pinned
                        .output
                        .map(|o| Schema::compile(&o).expect("a schema")),
                };
                facts.schemas.insert(digest, Arc::new(schemas));
            }
            Missing::Value(digest) => {
                let bytes = self.backend.blobs.get(run.key(), digest).await;
                let bytes = bytes.expect("in memory").expect("it was put");
                let json = serde_json::from_slice(&bytes).expect("JSON");
                facts.values.insert(digest, Arc::new(json));
            }
            Missing::Standing(who) => {
                let role = self.role(tenant, &who).await;
                facts.standing.insert(who, Standing { role });
            }
            Missing::Settings(agent) => {
                let item = self.item(&Kind::AgentConfig.key(tenant, &agent)).await;
                let config = item.map(|bytes| decode::<AgentConfig>(&bytes).expect("a config"));
                facts
                    .settings
                    .insert(agent, config.map_or(0, |c| c.revision));
            }
            Missing::Secret(name) => {
                let item = self.item(&Kind::Secrets.key(tenant, &name)).await;
                let secret = item.map(|bytes| decode::<Secret>(&bytes).expect("a secret"));
                let version = secret.and_then(|s| s.newest().map(|v| v.version));
                facts.secrets.insert(name, version);
            }
        }
    }

    async fn role(&self, tenant: &Tenant, who: &Principal) -> Option<engine::principal::Role> {
        match who {
            Principal::Key(name) => {
                let bytes = self.item(&Kind::ApiKeys.key(tenant, name)).await?;
                let key: ApiKey = decode(&bytes).expect("a key");
                key.is_active().then_some(key.role)
            }
            Principal::Hook(name) => {
                let bytes = self.item(&Kind::Hooks.key(tenant, name)).await?;
                let hook: SavedHook = decode(&bytes).expect("a hook");
                (!hook.deleted).then_some(hook.hook.role)
            }
            Principal::Workflow(_) | Principal::User(_) => None,
        }
    }

    async fn item(&self, key: &str) -> Option<Vec<u8>> {
        let item = self.backend.registry.get(key).await.expect("in memory");
        item.map(|item| item.value)
    }

    async fn pinned(&self, tenant: &Tenant, digest: engine::digest::Digest) -> Pinned {
        let bytes = self.item(&def_key(tenant, digest)).await.expect("pinned");
        decode(&bytes).expect("a pinned action")
    }

    /// The actions that a run has pinned, as documents are checked against.
    async fn actions(&self, run: &Run) -> Actions {
        let mut actions = BTreeMap::new();
        for action in &run.state().head.created.actions {
            let pinned = self.pinned(&run.key().tenant, action.digest).await;
            let action = manifest::Action {
                id: pinned.action,
                description: String::new(),
                permission: pinned.permission,
                input: pinned.input,
                output: pinned.output,
                idempotent: pinned.idempotent,
                lookup: pinned.lookup,
                settle_ms: None,
                timeout_ms: None,
            };
            let name = manifest::ActionName {
                agent: pinned.agent,
                action: action.id.clone(),
            };
            actions.insert(name, action);
        }
        actions
    }

    /// Reports that the present attempt of a step has succeeded with this output.
    pub(crate) async fn succeed(&self, run: &str, step: &str, output: serde_json::Value) {
        let made = Value::make(&output, Labels::default(), INLINE_BYTES_MAX).expect("small");
        self.report(run, step, Outcome::Succeeded { output: made.value })
            .await;
    }

    /// Reports what became of the present attempt of a step, once it is handed out.
    pub(crate) async fn report(&self, run: &str, step: &str, outcome: Outcome) {
        let key = key_of(run);
        let mut heard = self.backend.live.subscribe(Topic::Run(key.clone()));
        let (step, attempt, nonce) = loop {
            let loaded = self.load(&key).await.expect("the run is there");
            let found = loaded
                .state()
                .named_or_open(step)
                .and_then(|step| match step.at {
                    At::Dispatched { attempt, .. } | At::Granted { attempt, .. } => {
                        let nonce = step.attempts.last().and_then(|t| t.nonce);
                        Some((step.no, attempt, nonce))
                    }
                    At::Nothing
                    | At::Wait { .. }
                    | At::Prepared
                    | At::Approval
                    | At::Retry { .. }
                    | At::Settlement { .. }
                    | At::Doubt
                    | At::Items => None,
                });
            match found {
                Some(found) => break found,
                None => heard.recv().await.expect("news"),
            };
        };
        let asked = Asked {
            id: self.backend.random.nonce(),
            command: Command::Report {
                step,
                attempt,
                outcome,
                nonce,
            },
        };
        self.decide(&key, asked)
            .await
            .expect("it is the present attempt");
    }

    /// Grants the present attempt of a step.
    pub(crate) async fn grant(&self, run: &str, step: u32) {
        let key = key_of(run);
        let loaded = self.load(&key).await.expect("the run is there");
        let At::Dispatched { attempt, .. } = loaded.state().steps[step as usize].at else {
            panic!("the step is not handed out");
        };
        let asked = Asked {
            id: self.backend.random.nonce(),
            command: Command::Begin {
                step: StepNo(step),
                attempt,
                nonce: self.backend.random.nonce(),
                worker: "w1".to_owned(),
            },
        };
        self.decide(&key, asked).await.expect("it may begin");
    }
}

/// The run of that id, of the only tenant.
pub(crate) fn key_of(run: &str) -> RunKey {
    let run: RunId = run.parse().expect("an id");
    RunKey {
        tenant: Tenant::default(),
        run,
    }
}
