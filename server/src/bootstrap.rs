//! The first start: the root key and the first API key.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};
use engine::id::Tenant;
use serde::{Deserialize, Serialize};
use store::Backend;
use store::seal::RootKey;

use crate::config::ROOT_KEY;
use crate::files;

/// `DIR/bootstrap.json`: how to reach this installation as its admin.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Bootstrap {
    pub(crate) api_key_id: String,
    pub(crate) api_secret: String,
    pub(crate) http: String,
    pub(crate) grpc: String,
}

/// The root key of the installation: from `MIRASTACK_ROOT_KEY`, else from `DIR/root.key`, which is made for an empty
/// store. For another one a new key would open nothing of what is in it.
pub(crate) async fn root_key(dir: &Path, backend: &Backend) -> anyhow::Result<RootKey> {
    if let Ok(text) = std::env::var(ROOT_KEY) {
        return RootKey::parse(&text).context(ROOT_KEY);
    }
    let path = dir.join("root.key");
    if let Some(content) = files::read(&path)? {
        let text = String::from_utf8_lossy(&content);
        return RootKey::parse(text.trim()).with_context(|| path.display().to_string());
    }
    if !backend.registry.list("", "", 1).await?.is_empty() {
        bail!(
            "{} is missing, and without it no secret in this data can be read: put it back from where you keep it, or \
             set MIRASTACK_ROOT_KEY (it is in no backup)",
            path.display()
        );
    }
    let bytes: Vec<u8> = (0..4)
        .flat_map(|_| backend.random.bits().to_be_bytes())
        .collect();
    let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    files::replace(&path, format!("{text}\n").as_bytes())?;
    RootKey::parse(&text).context("a key that was just made")
}

/// The admin's key, and whether it is new: made at the first start, and its addresses kept true at each.
pub(crate) async fn admin(
    dir: &Path,
    backend: &Backend,
    http: SocketAddr,
    grpc: SocketAddr,
) -> anyhow::Result<(Option<Bootstrap>, bool)> {
    let path = dir.join("bootstrap.json");
    let made = gateway::bootstrap::admin_key(backend, &Tenant::default())
        .await
        .context("the first API key")?;
    let known =
        files::read(&path)?.and_then(|content| serde_json::from_slice::<Bootstrap>(&content).ok());
    let is_new = made.is_some();
    let (api_key_id, api_secret) = match (made, known) {
        (Some(key), _) => (key.api_key_id, key.api_secret.to_string()),
        (None, Some(known)) => (known.api_key_id, known.api_secret),
        // Somebody removed the file once they had keys of their own.
        (None, None) => return Ok((None, false)),
    };
    let bootstrap = Bootstrap {
        api_key_id,
        api_secret,
        http: format!("http://{http}"),
        grpc: grpc.to_string(),
    };
    let text = serde_json::to_string_pretty(&bootstrap).context("bootstrap.json")?;
    files::replace(&path, format!("{text}\n").as_bytes())?;
    Ok((Some(bootstrap), is_new))
}
