//! Looks up what a decision needs to know, and keeps it for the next one.
//!
//! Pinned things go by their digest and never change. Rights, settings and secrets are live: they are kept until the
//! registry tells that something of their kind has changed, and where a grant or a consent hangs on them they are read
//! anew, past this cache.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use engine::digest::Digest;
use engine::event::{PinnedAction, RunCreated};
use engine::facts::{ActionSchemas, Facts, Missing, Standing};
use engine::id::{RunKey, Tenant};
use engine::language;
use engine::manifest::{Action, Actions, Pinned};
use engine::plan::Plan;
use engine::principal::Principal;
use engine::registry::{AgentConfig, ApiKey, Kind, SavedHook, Secret, decode, def_key};
use engine::schema::Schema;
use serde::de::DeserializeOwned;
use store::{Backend, Error};

/// Kinds of things in the registry that live facts are made of.
pub(crate) const LIVE: [Kind; 4] = [Kind::ApiKeys, Kind::Hooks, Kind::AgentConfig, Kind::Secrets];

/// So many plans, and so many actions' schemas, are kept.
const PINNED_MAX: usize = 2_000;
/// So many live facts are kept.
const LIVE_MAX: usize = 20_000;

/// A fact that was looked up.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Plan(Arc<Plan>),
    Schemas(Arc<ActionSchemas>),
    Value(Arc<serde_json::Value>, usize),
    Standing(Standing),
    Settings(u64),
    Secret(Option<u64>),
}

/// Why a fact could not be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoFact {
    /// The store does not answer: ask again.
    Unavailable(String),
    /// It is gone or damaged: asking again does not help.
    Lost(String),
}

/// What was looked up before.
#[derive(Default)]
pub(crate) struct Known {
    plans: Pins<Plan>,
    schemas: Pins<ActionSchemas>,
    live: BTreeMap<(Tenant, Missing), Fact>,
    /// Counts the changes of what live facts are made of.
    changes: u64,
}

impl Known {
    /// Which state of the registry live facts are of.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// Something that live facts are made of has changed.
    pub(crate) fn changed(&mut self) {
        self.changes += 1;
        self.live.clear();
    }

    /// Fills `facts` with what is known of `missing`, and answers the rest. With `fresh` nobody's rights are known.
    pub(crate) fn fill(
        &mut self,
        facts: &mut Facts,
        run: &RunCreated,
        tenant: &Tenant,
        missing: Vec<Missing>,
        fresh: bool,
    ) -> Vec<Missing> {
        let mut rest = Vec::new();
        for what in missing {
            match self.find(run, tenant, &what, fresh) {
                Some(fact) => {
                    put(facts, what, fact);
                }
                None => rest.push(what),
            }
        }
        rest
    }

    fn find(&self, run: &RunCreated, tenant: &Tenant, what: &Missing, fresh: bool) -> Option<Fact> {
        match what {
            Missing::Plan(_) => self.plans.get(plan_key(run)).map(Fact::Plan),
            Missing::Schemas(digest) => self.schemas.get(*digest).map(Fact::Schemas),
            Missing::Value(_) => None,
            Missing::Standing(_) if fresh => None,
            Missing::Standing(_) | Missing::Settings(_) | Missing::Secret(_) => {
                self.live.get(&(tenant.clone(), what.clone())).cloned()
            }
        }
    }

    /// Keeps a fact that was looked up when the registry was in the state `of`.
    pub(crate) fn keep(&mut self, found: &Found<'_>, what: &Missing, fact: &Fact) {
        match (what, fact) {
            (Missing::Plan(_), Fact::Plan(plan)) => {
                self.plans.put(plan_key(found.run), plan.clone());
            }
            (Missing::Schemas(digest), Fact::Schemas(schemas)) => {
                self.schemas.put(*digest, schemas.clone());
            }
            (_, Fact::Value(..)) => {}
            (_, fact) if found.of == self.changes => {
                if self.live.len() >= LIVE_MAX {
                    self.live.clear();
                }
                let name = (found.tenant.clone(), what.clone());
                self.live.insert(name, fact.clone());
            }
            // It may be older than the change that was told meanwhile: good for this decision, not for the next.
            (_, _) => {}
        }
    }
}

/// For which run facts were found, and of which state of the registry.
pub(crate) struct Found<'a> {
    pub(crate) run: &'a RunCreated,
    pub(crate) tenant: &'a Tenant,
    pub(crate) of: u64,
}

/// A plan is compiled from a definition and the actions that its run pinned.
fn plan_key(run: &RunCreated) -> Digest {
    let mut bytes = run.definition.as_bytes().to_vec();
    for pin in &run.actions {
        bytes.extend_from_slice(pin.digest.as_bytes());
    }
    Digest::of(&bytes)
}

/// Makes a fact known to a decision; answers how many bytes it adds to its run.
pub(crate) fn put(facts: &mut Facts, what: Missing, fact: Fact) -> usize {
    match (what, fact) {
        (Missing::Value(digest), Fact::Value(value, size)) => {
            facts.values.insert(digest, value);
            return size;
        }
        (_, Fact::Plan(plan)) => facts.plan = Some(plan),
        (Missing::Schemas(digest), Fact::Schemas(schemas)) => {
            facts.schemas.insert(digest, schemas);
        }
        (Missing::Standing(who), Fact::Standing(standing)) => {
            facts.standing.insert(who, standing);
        }
        (Missing::Settings(agent), Fact::Settings(revision)) => {
            facts.settings.insert(agent, revision);
        }
        (Missing::Secret(name), Fact::Secret(version)) => {
            facts.secrets.insert(name, version);
        }
        // The decision will ask for it again until the run is parked.
        (what, _) => tracing::error!(
            ?what,
            "a fault of this program: an answer to another question"
        ),
    }
    0
}

/// Drops the live ones among the facts.
pub(crate) fn forget_live(facts: &mut Facts) {
    facts.standing.clear();
    facts.settings.clear();
    facts.secrets.clear();
}

/// Looks up one fact for a run, which pinned these actions.
pub(crate) async fn look_up(
    backend: &Backend,
    key: &RunKey,
    pins: &[PinnedAction],
    what: &Missing,
) -> Result<Fact, NoFact> {
    match what {
        Missing::Plan(digest) => plan(backend, key, *digest, pins).await,
        Missing::Schemas(digest) => schemas(backend, key, *digest).await,
        Missing::Value(digest) => value(backend, key, *digest).await,
        Missing::Standing(who) => standing(backend, &key.tenant, who).await,
        Missing::Settings(agent) => {
            let name = Kind::AgentConfig.key(&key.tenant, agent);
            let config: Option<AgentConfig> = item(backend, &name).await?;
            Ok(Fact::Settings(config.map_or(0, |c| c.revision)))
        }
        Missing::Secret(name) => {
            let name = Kind::Secrets.key(&key.tenant, name);
            let secret: Option<Secret> = item(backend, &name).await?;
            let version = secret.and_then(|s| s.newest().map(|v| v.version));
            Ok(Fact::Secret(version))
        }
    }
}

/// The plan of a definition, compiled with the actions that the run pinned: those that it was checked with.
async fn plan(
    backend: &Backend,
    key: &RunKey,
    digest: Digest,
    pins: &[PinnedAction],
) -> Result<Fact, NoFact> {
    let bytes = pinned(backend, key, digest, "definition").await?;
    let mut actions = Actions::new();
    for pin in pins {
        let action = pinned_action(backend, key, pin.digest).await?;
        actions.insert(pin.name.clone(), as_action(action));
    }
    let plan = language::plan(&bytes, &actions).map_err(|e| {
        let what = format!("the pinned definition {digest} cannot be used: {e}");
        NoFact::Lost(what)
    })?;
    Ok(Fact::Plan(Arc::new(plan)))
}

async fn schemas(backend: &Backend, key: &RunKey, digest: Digest) -> Result<Fact, NoFact> {
    let lost = |e: &dyn std::fmt::Display| NoFact::Lost(format!("the pinned action {digest}: {e}"));
    let action = pinned_action(backend, key, digest).await?;
    let input = Schema::compile(&action.input).map_err(|e| lost(&e))?;
    let output = action.output.as_ref().map(Schema::compile).transpose();
    let output = output.map_err(|e| lost(&e))?;
    Ok(Fact::Schemas(Arc::new(ActionSchemas { input, output })))
}

async fn pinned_action(backend: &Backend, key: &RunKey, digest: Digest) -> Result<Pinned, NoFact> {
    let bytes = pinned(backend, key, digest, "action").await?;
    decode(&bytes).map_err(|e| NoFact::Lost(format!("the pinned action {digest}: {e}")))
}

fn as_action(pinned: Pinned) -> Action {
    Action {
        id: pinned.action,
        description: String::new(),
        permission: pinned.permission,
        input: pinned.input,
        output: pinned.output,
        idempotent: pinned.idempotent,
        lookup: pinned.lookup,
        settle_ms: None,
        timeout_ms: None,
    }
}

async fn pinned(
    backend: &Backend,
    key: &RunKey,
    digest: Digest,
    kind: &str,
) -> Result<Vec<u8>, NoFact> {
    let found = backend.registry.get(&def_key(&key.tenant, digest)).await;
    let item = found.map_err(no_fact)?.ok_or_else(|| {
        NoFact::Lost(format!(
            "the pinned {kind} {digest} is not in the registry any more"
        ))
    })?;
    if Digest::of(&item.value) != digest {
        let what = format!("the pinned {kind} {digest} is damaged in the registry");
        return Err(NoFact::Lost(what));
    }
    Ok(item.value)
}

async fn value(backend: &Backend, key: &RunKey, digest: Digest) -> Result<Fact, NoFact> {
    let lost = |what: &str| NoFact::Lost(format!("the value {digest} of the run {what}"));
    let bytes = backend.blobs.get(key, digest).await.map_err(no_fact)?;
    let bytes = bytes.ok_or_else(|| lost("is gone"))?;
    let json = serde_json::from_slice(&bytes).map_err(|_| lost("is no JSON"))?;
    Ok(Fact::Value(Arc::new(json), bytes.len()))
}

/// Default deny: who is not known, not active, or of a kind that nobody can be yet, has no role.
async fn standing(backend: &Backend, tenant: &Tenant, who: &Principal) -> Result<Fact, NoFact> {
    let role = match who {
        Principal::Key(name) => {
            let key: Option<ApiKey> = item(backend, &Kind::ApiKeys.key(tenant, name)).await?;
            key.filter(ApiKey::is_active).map(|key| key.role)
        }
        Principal::Hook(name) => {
            let hook: Option<SavedHook> = item(backend, &Kind::Hooks.key(tenant, name)).await?;
            hook.filter(|h| !h.deleted).map(|h| h.hook.role)
        }
        Principal::Workflow(_) | Principal::User(_) => None,
    };
    Ok(Fact::Standing(Standing { role }))
}

async fn item<T: DeserializeOwned>(backend: &Backend, name: &str) -> Result<Option<T>, NoFact> {
    match backend.registry.get(name).await.map_err(no_fact)? {
        None => Ok(None),
        Some(item) => decode(&item.value)
            .map(Some)
            .map_err(|e| NoFact::Lost(format!("{name} cannot be read: {e}"))),
    }
}

fn no_fact(error: Error) -> NoFact {
    match error {
        Error::Unavailable(why) => NoFact::Unavailable(why),
        Error::Conflict(why) | Error::Corrupt(why) => NoFact::Lost(why),
    }
}

/// Pinned things by digest; the oldest goes first.
struct Pins<T> {
    by_digest: BTreeMap<Digest, Arc<T>>,
    order: VecDeque<Digest>,
}

impl<T> Default for Pins<T> {
    fn default() -> Self {
        Self {
            by_digest: BTreeMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Pins<T> {
    fn get(&self, digest: Digest) -> Option<Arc<T>> {
        self.by_digest.get(&digest).cloned()
    }

    fn put(&mut self, digest: Digest, pinned: Arc<T>) {
        if self.by_digest.insert(digest, pinned).is_none() {
            self.order.push_back(digest);
        }
        if self.order.len() > PINNED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_digest.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator() -> (Missing, Fact) {
        let who = Principal::Key("ann".to_owned());
        let role = Some(engine::principal::Role::Operator);
        (Missing::Standing(who), Fact::Standing(Standing { role }))
    }

    fn run() -> RunCreated {
        RunCreated {
            workflow: None,
            definition: Digest::ZERO,
            actions: Vec::new(),
            inputs: BTreeMap::new(),
            labels: BTreeMap::new(),
            requester: Principal::Key("ann".to_owned()),
            trigger: engine::event::Trigger {
                kind: engine::event::TriggerKind::Api,
                hook: None,
                delivery: None,
                redelivery_of: None,
                fingerprint: None,
                event: None,
            },
            permission: engine::principal::Permission::Read,
            timeout_ms: 1,
            start_by: None,
            traceparent: None,
            asked: None,
            keys: Vec::new(),
        }
    }

    /// Whether Ann's standing, looked up in the state `of` of the registry, is known then.
    fn is_known(known: &mut Known, of: u64, tenant: &str, fresh: bool) -> bool {
        let (run, here) = (run(), Tenant::default());
        let (what, fact) = operator();
        let found = Found {
            run: &run,
            tenant: &here,
            of,
        };
        known.keep(&found, &what, &fact);
        let asked = Tenant::new(tenant).expect("a name");
        let mut facts = Facts::default();
        let rest = known.fill(&mut facts, &run, &asked, vec![what], fresh);
        assert_eq!(rest.len() + facts.standing.len(), 1);
        rest.is_empty()
    }

    #[test]
    fn a_live_fact_is_known_to_its_own_tenant() {
        assert!(is_known(&mut Known::default(), 0, "default", false));
        assert!(!is_known(&mut Known::default(), 0, "other", false));
    }

    #[test]
    fn a_fact_looked_up_before_a_change_of_the_registry_is_not_kept() {
        let mut known = Known::default();
        known.changed();
        assert!(!is_known(&mut known, 0, "default", false));
        assert!(is_known(&mut known, 1, "default", false));
        known.changed();
        assert!(!is_known(&mut known, 1, "default", false));
    }

    #[test]
    fn where_a_grant_hangs_on_rights_no_cache_is_believed() {
        assert!(!is_known(&mut Known::default(), 0, "default", true));
    }

    #[test]
    fn only_so_many_pins_are_kept() {
        let mut pins = Pins::default();
        for n in 0..=PINNED_MAX {
            pins.put(Digest::of(&n.to_be_bytes()), Arc::new(n));
        }
        assert!(pins.get(Digest::of(&0_usize.to_be_bytes())).is_none());
        assert!(
            pins.get(Digest::of(&PINNED_MAX.to_be_bytes()))
                .is_some_and(|n| *n == PINNED_MAX)
        );
        assert_eq!(pins.by_digest.len(), PINNED_MAX);
    }
}
