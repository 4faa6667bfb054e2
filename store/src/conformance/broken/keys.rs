//! Keys that break a promise.

use std::sync::Arc;

use async_trait::async_trait;
use engine::id::Tenant;
use engine::time::Timestamp;

use super::{Seen, defects};
use crate::port::{KeyValue, Keys};
use crate::{Backend, Error};

defects![
    a_key_is_created_once: CreatesOverAKey,
    of_many_creations_one_wins: NeverRefuses,
    a_key_holds_what_was_put: CutsValues,
    a_put_needs_the_key_as_it_was: PutsOverAnyRevision,
    a_put_needs_the_key_to_exist: PutsWhatIsNotThere,
    an_expired_key_is_gone: KeepsExpiredKeys,
    an_expired_key_is_created_anew: GuardsExpiredKeys,
    a_revision_is_never_used_twice: CountsFromOneAgain,
    a_sweep_takes_expired_keys_only: SweepsEverything,
    a_key_is_its_tenants: KnowsOneTenant,
    keys_survive_a_restart: ForgetsAtRestart,
];

const NEVER: Timestamp = Timestamp::MAX;

struct Wrapper {
    inner: Arc<dyn Keys>,
    how: How,
    seen: Seen<String>,
}

fn wrap(backend: Backend, how: How) -> Backend {
    let keys = Arc::new(Wrapper {
        inner: Arc::clone(&backend.keys),
        how,
        seen: Seen::new(),
    });
    Backend { keys, ..backend }
}

impl Wrapper {
    fn tenant(&self, tenant: &Tenant) -> Tenant {
        if self.how == How::KnowsOneTenant {
            Tenant::default()
        } else {
            tenant.clone()
        }
    }

    /// The key as it is stored, expired or not.
    async fn stored(&self, tenant: &Tenant, name: &str) -> Result<Option<KeyValue>, Error> {
        self.inner
            .get(tenant, name, Timestamp::from_millis(0))
            .await
    }

    /// Replaces whatever is stored.
    async fn force(&self, tenant: &Tenant, name: &str, value: &[u8]) -> Result<u64, Error> {
        match self.stored(tenant, name).await? {
            Some(old) => self.inner.put(tenant, name, &old, value, old.expires).await,
            None => self.inner.create(tenant, name, value, NEVER).await,
        }
    }
}

#[async_trait]
impl Keys for Wrapper {
    async fn create(
        &self,
        tenant: &Tenant,
        name: &str,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error> {
        let tenant = &self.tenant(tenant);
        self.seen.add(name.to_owned());
        if self.how == How::GuardsExpiredKeys && self.stored(tenant, name).await?.is_some() {
            return Err(Error::Conflict("it existed once".to_owned()));
        }
        let outcome = self.inner.create(tenant, name, value, expires).await;
        match self.how {
            How::CreatesOverAKey if outcome.is_err() => self.force(tenant, name, value).await,
            How::NeverRefuses if outcome.is_err() => Ok(1),
            How::CountsFromOneAgain => outcome.map(|_| 1),
            _ => outcome,
        }
    }

    async fn get(
        &self,
        tenant: &Tenant,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<KeyValue>, Error> {
        let tenant = &self.tenant(tenant);
        let found = match self.how {
            How::KeepsExpiredKeys => self.stored(tenant, name).await?,
            How::ForgetsAtRestart if !self.seen.has(&name.to_owned()) => None,
            _ => self.inner.get(tenant, name, now).await?,
        };
        Ok(found.map(|mut key| {
            if self.how == How::CutsValues {
                key.value.pop();
            }
            if self.how == How::CountsFromOneAgain {
                key.revision = 1;
            }
            key
        }))
    }

    async fn put(
        &self,
        tenant: &Tenant,
        name: &str,
        old: &KeyValue,
        value: &[u8],
        expires: Timestamp,
    ) -> Result<u64, Error> {
        let there = self.stored(tenant, name).await?.is_some();
        let forced = match self.how {
            How::PutsOverAnyRevision | How::CountsFromOneAgain => there,
            How::PutsWhatIsNotThere => !there,
            _ => false,
        };
        if forced {
            return self.force(tenant, name, value).await;
        }
        self.inner.put(tenant, name, old, value, expires).await
    }

    async fn sweep(&self, now: Timestamp, max: usize) -> Result<usize, Error> {
        let now = if self.how == How::SweepsEverything {
            NEVER
        } else {
            now
        };
        self.inner.sweep(now, max).await
    }
}
