//! Workflows ready to be started: compiled once for each revision and each change of the agents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use engine::definition::{StepKind, Workflow};
use engine::digest::Digest;
use engine::event::PinnedAction;
use engine::id::Tenant;
use engine::language;
use engine::manifest::{Action, ActionName, Actions, Pinned};
use engine::plan::Plan;
use engine::registry::{SavedWorkflow, decode, def_key};
use store::port::Expect;

use crate::gate::Gate;
use crate::problem::Problem;

/// So many compiled workflows are kept; over it all are dropped and made again when needed.
const KEPT_MAX: usize = 2_000;

/// A revision of a workflow, ready to be started.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) name: String,
    pub(crate) revision: u64,
    pub(crate) plan: Plan,
    /// The actions that its steps use, as they are now. Their pinned forms are stored.
    pub(crate) actions: Vec<PinnedAction>,
}

/// A workflow that is there but cannot be started.
#[derive(Clone, Debug)]
pub(crate) struct Unready {
    pub(crate) name: String,
    pub(crate) revision: u64,
    pub(crate) digest: Digest,
    pub(crate) why: String,
}

type Made = Result<Arc<Ready>, Unready>;

/// The workflows that a hook may start: each with the places of its triggers.
pub(crate) type Triggered = Vec<(Made, Arc<Workflow>, Vec<usize>)>;

/// Every hook's workflows.
type ByHook = Arc<BTreeMap<String, Arc<Triggered>>>;

/// What was compiled, with the number of changes that it belongs to.
#[derive(Default)]
pub(crate) struct Plans {
    ready: Mutex<BTreeMap<(String, u64), (u64, Made)>>,
    actions: Mutex<Option<(u64, Arc<Actions>)>>,
    definitions: Mutex<BTreeMap<Digest, Arc<Workflow>>>,
    hooks: Mutex<Option<((u64, u64), ByHook)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gate {
    /// Every action of every agent.
    pub(crate) fn actions(&self) -> Arc<Actions> {
        let changes = self.agents.changes();
        let mut kept = lock(&self.plans.actions);
        match &*kept {
            Some((at, actions)) if *at == changes => actions.clone(),
            _ => {
                let mut actions = Actions::new();
                for (_, agent) in self.agents.list(&self.tenant) {
                    let all = agent.value.actions();
                    actions.extend(all.map(|(name, action)| (name, action.clone())));
                }
                let actions = Arc::new(actions);
                *kept = Some((changes, actions.clone()));
                actions
            }
        }
    }

    /// The newest revision of a workflow. One that is not known here may have been saved through another gateway a moment
    /// ago: the registry is asked.
    ///
    /// # Errors
    /// 404, 503.
    pub(crate) async fn workflow(
        &self,
        tenant: &Tenant,
        name: &str,
    ) -> Result<Arc<SavedWorkflow>, Problem> {
        let known = || {
            let kept = self.workflows.get(tenant, name);
            kept.map(|kept| kept.value).filter(|saved| !saved.deleted)
        };
        if let Some(saved) = known() {
            return Ok(saved);
        }
        self.workflows.refresh(tenant, name).await?;
        known().ok_or_else(|| Problem::not_found("workflow", name))
    }

    /// A saved definition by its digest.
    ///
    /// # Errors
    /// 503 when the registry does not answer, 500 when it has lost the definition.
    pub(crate) async fn definition(
        &self,
        tenant: &Tenant,
        digest: Digest,
    ) -> Result<Arc<Workflow>, Problem> {
        if let Some(known) = lock(&self.plans.definitions).get(&digest) {
            return Ok(known.clone());
        }
        let bytes = self.pinned(tenant, digest).await?;
        let workflow: Workflow = decode(&bytes).map_err(|why| lost(digest, &why))?;
        let workflow = Arc::new(workflow);
        let mut kept = lock(&self.plans.definitions);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(digest, workflow.clone());
        Ok(workflow)
    }

    async fn pinned(&self, tenant: &Tenant, digest: Digest) -> Result<Vec<u8>, Problem> {
        let item = self.backend.registry.get(&def_key(tenant, digest)).await?;
        item.map(|item| item.value)
            .ok_or_else(|| lost(digest, "it is not there"))
    }

    /// A revision of a workflow, compiled against the agents as they are now.
    ///
    /// # Errors
    /// 503 when the registry does not answer. The inner error says why the workflow cannot be started.
    pub(crate) async fn ready(
        &self,
        tenant: &Tenant,
        name: &str,
        saved: &SavedWorkflow,
    ) -> Result<Made, Problem> {
        let changes = self.agents.changes();
        let key = (name.to_owned(), saved.revision);
        if let Some((at, made)) = lock(&self.plans.ready).get(&key)
            && *at == changes
        {
            return Ok(made.clone());
        }
        let bytes = self.pinned(tenant, saved.digest).await?;
        let actions = self.actions();
        let made = match language::plan(&bytes, &actions) {
            Ok(plan) => Ok(Arc::new(Ready {
                name: name.to_owned(),
                revision: saved.revision,
                actions: self.pin(tenant, &plan.workflow, &actions).await?,
                plan,
            })),
            Err(why) => Err(Unready {
                name: name.to_owned(),
                revision: saved.revision,
                digest: saved.digest,
                why,
            }),
        };
        let mut kept = lock(&self.plans.ready);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(key, (changes, made.clone()));
        Ok(made)
    }

    /// Pins the actions that a workflow uses, each one stored before a run may name it.
    pub(crate) async fn pin(
        &self,
        tenant: &Tenant,
        workflow: &Workflow,
        actions: &Actions,
    ) -> Result<Vec<PinnedAction>, Problem> {
        let mut pinned = Vec::new();
        for name in used(workflow) {
            // The plan has compiled, so the action is there.
            let Some(action) = actions.get(name) else {
                continue;
            };
            let form = Pinned::new(&name.agent, action);
            self.store_def(tenant, form.digest(), &form.bytes()).await?;
            pinned.push(pinned_action(name, action, form.digest()));
        }
        Ok(pinned)
    }

    /// Stores a pinned thing; again changes nothing.
    pub(crate) async fn store_def(
        &self,
        tenant: &Tenant,
        digest: Digest,
        bytes: &[u8],
    ) -> Result<(), Problem> {
        let key = def_key(tenant, digest);
        match self.backend.registry.put(&key, bytes, Expect::Absent).await {
            Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The workflows that a hook may start.
    ///
    /// # Errors
    /// 503 when the registry does not answer.
    pub(crate) async fn triggered(&self, hook: &str) -> Result<Arc<Triggered>, Problem> {
        let changes = (self.workflows.changes(), self.agents.changes());
        let known = lock(&self.plans.hooks).clone();
        let by_hook = match known {
            Some((at, by_hook)) if at == changes => by_hook,
            _ => {
                let by_hook = Arc::new(self.by_hook().await?);
                *lock(&self.plans.hooks) = Some((changes, by_hook.clone()));
                by_hook
            }
        };
        Ok(by_hook.get(hook).cloned().unwrap_or_default())
    }

    async fn by_hook(&self) -> Result<BTreeMap<String, Arc<Triggered>>, Problem> {
        let mut by_hook: BTreeMap<String, Triggered> = BTreeMap::new();
        for (name, saved) in self.workflows.list(&self.tenant) {
            if saved.value.deleted {
                continue;
            }
            let workflow = self.definition(&self.tenant, saved.value.digest).await?;
            let hooks: BTreeSet<&str> = workflow.on.iter().map(|t| t.hook.as_str()).collect();
            if hooks.is_empty() {
                continue;
            }
            let made = self.ready(&self.tenant, &name, &saved.value).await?;
            for hook in hooks {
                let places = workflow.on.iter().enumerate();
                let places = places.filter(|(_, t)| t.hook == hook).map(|(i, _)| i);
                let entry = (made.clone(), workflow.clone(), places.collect());
                by_hook.entry(hook.to_owned()).or_default().push(entry);
            }
        }
        let shared = by_hook.into_iter().map(|(hook, all)| (hook, Arc::new(all)));
        Ok(shared.collect())
    }
}

/// An action as a run pins it.
pub(crate) fn pinned_action(name: &ActionName, action: &Action, digest: Digest) -> PinnedAction {
    PinnedAction {
        name: name.clone(),
        digest,
        permission: action.permission,
        idempotent: action.idempotent,
        lookup: action.lookup,
        timeout_ms: action.timeout_ms,
        settle_ms: action.settle_ms,
    }
}

/// The actions that a workflow's steps use, each once.
fn used(workflow: &Workflow) -> BTreeSet<&ActionName> {
    let steps = workflow.steps.iter();
    let steps = steps.chain(&workflow.on_failure).chain(&workflow.finally);
    steps
        .filter_map(|step| match &step.kind {
            StepKind::Uses { action, .. } => Some(action),
            StepKind::Wait { .. } | StepKind::Assert { .. } => None,
        })
        .collect()
}

fn lost(digest: Digest, why: &str) -> Problem {
    tracing::error!(%digest, why, "a pinned definition cannot be read");
    Problem::internal().code(engine::code::Code::RecordDamaged)
}
