//! Submits with an `Idempotency-Key`: the key first, then the run; whoever comes later finds both.

use engine::code::Code;
use engine::digest::Digest;
use engine::id::{RunId, RunKey, Tenant};
use engine::key::{KeyState, PlannedRun, idempotency_key};
use engine::principal::Principal;
use store::port::KeyValue;

use crate::gate::Gate;
use crate::idempotency::{KEPT, mismatch};
use crate::problem::Problem;

/// Two writers of one key cannot be faster than the other this often.
const TRIES: usize = 8;

/// A key and what was sent under it.
pub(crate) struct Keyed {
    pub(crate) name: String,
    pub(crate) body: Digest,
}

/// The run that a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// It is to be created, under this id.
    New(RunId),
    /// It is there.
    There(RunId),
}

impl Keyed {
    pub(crate) fn new(who: &Principal, path: &str, key: &str, body: &[u8]) -> Self {
        Self {
            name: idempotency_key(who, path, key),
            body: Digest::of(body),
        }
    }
}

impl Gate {
    /// The run that a key has led to already, if it has.
    ///
    /// # Errors
    /// 422 when the key was used with another body, 409 when its run is gone, 503.
    pub(crate) async fn claimed(
        &self,
        tenant: &Tenant,
        keyed: &Keyed,
    ) -> Result<Option<RunId>, Problem> {
        let Some((_, planned)) = self.kept_run(tenant, keyed).await? else {
            return Ok(None);
        };
        let key = self.run_key(tenant, planned.run);
        Ok(self.exists(&key).await?.then_some(planned.run))
    }

    /// Claims a run for a key.
    ///
    /// # Errors
    /// As [`Self::claimed`].
    pub(crate) async fn claim(
        &self,
        tenant: &Tenant,
        workflow: &str,
        keyed: &Keyed,
    ) -> Result<Claimed, Problem> {
        for _ in 0..TRIES {
            let fresh = self.new_run_id();
            let value = submit(workflow, keyed.body, fresh);
            let expires = self.now().plus(KEPT);
            let keys = &self.backend.keys;
            match keys.create(tenant, &keyed.name, &value, expires).await {
                Ok(_) => return Ok(Claimed::New(fresh)),
                Err(store::Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
            let Some((kept, planned)) = self.kept_run(tenant, keyed).await? else {
                continue;
            };
            let key = RunKey {
                tenant: tenant.clone(),
                run: planned.run,
            };
            if self.exists(&key).await? {
                return Ok(Claimed::There(planned.run));
            }
            if self.may_create(planned.run) {
                return Ok(Claimed::New(planned.run));
            }
            // Too late for that id: a fresh one takes its place, once.
            match keys.put(tenant, &keyed.name, &kept, &value, expires).await {
                Ok(_) => return Ok(Claimed::New(fresh)),
                Err(store::Error::Conflict(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable(
            "many requests use this key at once: try again",
        ))
    }

    async fn kept_run(
        &self,
        tenant: &Tenant,
        keyed: &Keyed,
    ) -> Result<Option<(KeyValue, PlannedRun)>, Problem> {
        let kept = self
            .backend
            .keys
            .get(tenant, &keyed.name, self.now())
            .await?;
        let Some(kept) = kept else {
            return Ok(None);
        };
        let Ok(KeyState::Submit { body, run }) = KeyState::decode(&kept.value) else {
            // The name holds the path, so no other kind of value can be under it.
            return Err(Problem::internal());
        };
        if body != keyed.body {
            return Err(mismatch());
        }
        if run.gone {
            return Err(Problem::conflict(
                Code::RunExpired,
                format!(
                    "this Idempotency-Key made the run {}, which is over the retention and gone",
                    run.run
                ),
            ));
        }
        Ok(Some((kept, run)))
    }
}

fn submit(workflow: &str, body: Digest, run: RunId) -> Vec<u8> {
    let run = PlannedRun::new(workflow, run);
    KeyState::Submit { body, run }.encode()
}
