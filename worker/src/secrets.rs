//! Secrets, filled in at the plugin's door.

use bytes::Bytes;
use engine::code::Code;
use engine::event::{Failure, Part, SecretPart};
use engine::id::Tenant;
use engine::registry::{self, Kind};
use serde_json::Value;
use store::Registry;
use store::seal::Seal;
use zeroize::Zeroizing;

use crate::Masks;
use crate::failure::{self, patiently};

/// Puts each secret where it belongs into `params` (JSON text), and remembers in `masks` what was put in.
pub(crate) async fn fill(
    vault: &Vault<'_>,
    params: Bytes,
    places: &[SecretPart],
    masks: &mut Masks,
) -> Result<Bytes, Failure> {
    if places.is_empty() {
        return Ok(params);
    }
    let mut json: Value = serde_json::from_slice(&params).map_err(|e| {
        failure::made(
            Code::Internal,
            format!("the parameters cannot be read: {e}"),
        )
    })?;
    for place in places {
        let text = put_together(vault, &place.parts, masks).await?;
        let Some(slot @ Value::String(_)) = json.pointer_mut(&place.pointer) else {
            let message = format!(
                "a secret belongs at {} of the parameters, where no text stands",
                place.pointer
            );
            return Err(failure::made(Code::Internal, message));
        };
        *slot = Value::String(text);
    }
    Ok(json.to_string().into())
}

/// Where secrets are, and what opens them.
pub(crate) struct Vault<'a> {
    pub(crate) registry: &'a dyn Registry,
    pub(crate) seal: &'a Seal,
    pub(crate) tenant: &'a Tenant,
}

async fn put_together(
    vault: &Vault<'_>,
    parts: &[Part],
    masks: &mut Masks,
) -> Result<String, Failure> {
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Text(plain) => text.push_str(plain),
            Part::Secret { name, version } => {
                let secret = vault.open(name, *version).await?;
                masks.add(name, &secret);
                text.push_str(&secret);
            }
        }
    }
    Ok(text)
}

impl Vault<'_> {
    async fn open(&self, name: &str, version: u64) -> Result<Zeroizing<String>, Failure> {
        let key = Kind::Secrets.key(self.tenant, name);
        let item = patiently(|| self.registry.get(&key))
            .await
            .map_err(|e| failure::of_store(&e))?;
        let sealed = item
            .map(|item| registry::decode::<registry::Secret>(&item.value))
            .transpose()
            .map_err(|e| {
                failure::made(
                    Code::RecordDamaged,
                    format!("the secret {name} cannot be read: {e}"),
                )
            })?
            .and_then(|secret| secret.version(version).map(|v| v.sealed.clone()));
        let Some(sealed) = sealed else {
            let message = format!(
                "there is no version {version} of the secret {name} any more: set it again, then run the workflow again"
            );
            return Err(failure::made(Code::SecretMissing, message));
        };
        let bound = registry::secret_seal(self.tenant, name, version);
        let plain = self
            .seal
            .open(&bound, &sealed)
            .map_err(|e| failure::made(Code::SecretMissing, format!("the secret {name}: {e}")))?;
        match std::str::from_utf8(&plain) {
            Ok(text) => Ok(Zeroizing::new(text.to_owned())),
            Err(_) => Err(failure::made(
                Code::SecretMissing,
                format!("the secret {name} is no text"),
            )),
        }
    }
}
