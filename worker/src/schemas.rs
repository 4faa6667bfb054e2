//! Pinned actions' output schemas, compiled once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use engine::code::Code;
use engine::digest::Digest;
use engine::event::Failure;
use engine::id::Tenant;
use engine::manifest::Pinned;
use engine::registry;
use engine::schema::Schema;
use store::Registry;

use crate::failure::{self, patiently};

/// So many are kept; over it all are forgotten, which costs a millisecond each.
const KEPT_MAX: usize = 1_000;

/// The output schemas of pinned actions by digest; `None` inside where an action declares none.
#[derive(Default)]
pub(crate) struct Schemas(Mutex<BTreeMap<Digest, Output>>);

/// How an action's result must look.
pub(crate) type Output = Arc<Option<Schema>>;

impl Schemas {
    /// The schema of the results of the pinned action of that digest.
    pub(crate) async fn output(
        &self,
        registry: &dyn Registry,
        tenant: &Tenant,
        digest: Digest,
    ) -> Result<Output, Failure> {
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
        let schema =
            Arc::new(schema.map_err(|e| damaged(&format!("has an output schema that is {e}")))?);
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(digest, Arc::clone(&schema));
        Ok(schema)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Output>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
