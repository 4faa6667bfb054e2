//! Pinned actions, read once: what they are, and their output schemas, compiled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use engine::code::Code;
use engine::digest::Digest;
use engine::event::{Failure, PinnedAction};
use engine::id::Tenant;
use engine::manifest::{ActionName, Pinned};
use engine::principal::Permission;
use engine::registry;
use engine::schema::Schema;
use store::Registry;

use crate::failure::{self, patiently};

/// So many are kept; over it all are forgotten, which costs a millisecond each.
const KEPT_MAX: usize = 1_000;

/// Pinned actions by digest.
#[derive(Default)]
pub(crate) struct Schemas(Mutex<BTreeMap<Digest, Arc<Known>>>);

/// How an action's result must look; `None` inside where an action declares nothing.
pub(crate) type Output = Arc<Option<Schema>>;

/// What stands under a digest.
struct Known {
    name: ActionName,
    permission: Permission,
    idempotent: bool,
    lookup: bool,
    output: Output,
}

impl Known {
    /// Whether a job says of the action what was pinned. It may say so of a change that it is a READ, which nobody asks
    /// about: then this is what keeps it from being made.
    fn is(&self, action: &PinnedAction) -> bool {
        self.name == action.name
            && self.permission == action.permission
            && self.idempotent == action.idempotent
            && self.lookup == action.lookup
    }
}

impl Schemas {
    /// The schema of the results of a pinned action, which must be what its digest says.
    pub(crate) async fn output(
        &self,
        registry: &dyn Registry,
        tenant: &Tenant,
        action: &PinnedAction,
    ) -> Result<Output, Failure> {
        let known = self.known(registry, tenant, action.digest).await?;
        if known.is(action) {
            return Ok(Arc::clone(&known.output));
        }
        let message = format!(
            "nothing was sent: the run says of {} what is not true of the action that it has pinned",
            action.name
        );
        Err(failure::made(Code::ApprovalMismatch, message))
    }

    async fn known(
        &self,
        registry: &dyn Registry,
        tenant: &Tenant,
        digest: Digest,
    ) -> Result<Arc<Known>, Failure> {
        if let Some(known) = self.kept().get(&digest) {
            return Ok(Arc::clone(known));
        }
        let key = registry::def_key(tenant, digest);
        let item = patiently(|| registry.get(&key))
            .await
            .map_err(|e| failure::of_store(&e))?;
        let damaged = |what: &str| {
            failure::made(
                Code::RecordDamaged,
                format!("the pinned action {digest} {what}"),
            )
        };
        let bytes = item.ok_or_else(|| damaged("is gone"))?.value;
        if Digest::of(&bytes) != digest {
            return Err(damaged("is not what was pinned"));
        }
        let pinned: Pinned =
            registry::decode(&bytes).map_err(|e| damaged(&format!("cannot be read: {e}")))?;
        let schema = pinned.output.as_ref().map(Schema::compile).transpose();
        let schema = schema.map_err(|e| damaged(&format!("has an output schema that is {e}")))?;
        let (agent, action) = (pinned.agent, pinned.action);
        let known = Arc::new(Known {
            name: ActionName { agent, action },
            permission: pinned.permission,
            idempotent: pinned.idempotent,
            lookup: pinned.lookup,
            output: Arc::new(schema),
        });
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(digest, Arc::clone(&known));
        Ok(known)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Arc<Known>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
