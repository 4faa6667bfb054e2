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

/// A key that was just made. Its secret is nowhere else.
#[derive(Debug)]
pub struct BootstrapKey {
    /// `api_key_id`.
    pub api_key_id: String,
    /// `api_secret`.
    pub api_secret: Zeroizing<String>,
}

/// Makes the admin key [`NAME`], if the tenant has no API key at all. Takes some 20 ms of the caller's thread.
///
/// # Errors
/// What the registry says.
pub async fn admin_key(
    backend: &Backend,
    tenant: &Tenant,
) -> Result<Option<BootstrapKey>, store::Error> {
    let prefix = Kind::ApiKeys.of(tenant);
    if !backend.registry.list(&prefix, "", 1).await?.is_empty() {
        return Ok(None);
    }
    let secret = make_secret(backend.random.as_ref());
    let key = ApiKey {
        serial: backend.random.nonce(),
        secret_hash: hash_now(&secret),
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
        Ok(_) => Ok(Some(BootstrapKey {
            api_key_id: NAME.to_owned(),
            api_secret: secret,
        })),
        // Another process of this installation was faster: the key is its to show.
        Err(store::Error::Conflict(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
