//! The first key of an installation.

use engine::id::Tenant;
use engine::principal::{Principal, Role};
use engine::registry::{ApiKey, Kind, encode};
use store::Backend;
use store::port::Expect;
use zeroize::Zeroizing;

use crate::auth::api_key::{hash_now, make_secret};

/// The name of the first key.
pub const NAME: &str = "bootstrap";

/// Whether the tenant has any API key, revoked ones included.
///
/// # Errors
/// What the registry says.
pub async fn has_keys(backend: &Backend, tenant: &Tenant) -> Result<bool, store::Error> {
    let prefix = Kind::ApiKeys.of(tenant);
    Ok(!backend.registry.list(&prefix, "", 1).await?.is_empty())
}

/// A new secret for [`admin_key`].
#[must_use]
pub fn secret(backend: &Backend) -> Zeroizing<String> {
    make_secret(backend.random.as_ref())
}

/// Makes the admin key [`NAME`] with this secret, unless it was made before. Takes some 20 ms of the caller's thread.
///
/// Only the hash is stored: keep the secret before you call this, or a crash in between leaves a key that nobody has.
///
/// # Errors
/// What the registry says.
pub async fn admin_key(
    backend: &Backend,
    tenant: &Tenant,
    secret: &str,
) -> Result<(), store::Error> {
    let key = ApiKey {
        serial: backend.random.nonce(),
        secret_hash: hash_now(secret),
        role: Role::Admin,
        description: Some("made at the first start".to_owned()),
        created_by: Principal::Key(NAME.to_owned()),
        created_at: backend.clock.now(),
        revoked_at: None,
        revoked_by: None,
    };
    let name = Kind::ApiKeys.key(tenant, NAME);
    match backend
        .registry
        .put(&name, &encode(&key), Expect::Absent)
        .await
    {
        Ok(_) | Err(store::Error::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
