//! The first start: the root key and the first API key.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use engine::id::Tenant;
use serde::{Deserialize, Serialize};
use store::Backend;
use store::seal::RootKey;

use crate::config::ROOT_KEY;
use crate::{dev, files};

/// The root key, where no variable has it.
const FILE: &str = "root.key";
/// Where systemd puts what its `LoadCredential=` names.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// `DIR/bootstrap.json`: how to reach this installation as its admin.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Bootstrap {
    pub(crate) api_key_id: String,
    pub(crate) api_secret: String,
    /// Empty until the first start has come to its end.
    pub(crate) http: String,
    pub(crate) grpc: String,
}

/// Where the root key is: among what systemd hands over, else in the folder of the data.
fn place(dir: &Path) -> PathBuf {
    let given = std::env::var_os(CREDENTIALS).map(|given| Path::new(&given).join(FILE));
    let given = given.filter(|path| path.exists());
    given.unwrap_or_else(|| dir.join(FILE))
}

/// The root key of the installation: from `MIRASTACK_ROOT_KEY`, else from `root.key` in `$CREDENTIALS_DIRECTORY` or in
/// `DIR`, which is made for an empty
/// store. For another one a new key would open nothing of what is in it.
pub(crate) async fn root_key(dir: &Path, backend: &Backend) -> anyhow::Result<RootKey> {
    if let Ok(text) = std::env::var(ROOT_KEY) {
        return RootKey::parse(&text).context(ROOT_KEY);
    }
    let path = place(dir);
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

/// The root key as it is before the start, and where it is from. What cannot be read is told by [`root_key`].
pub(crate) fn known_root_key(data: Option<&Path>) -> Option<(String, String)> {
    if let Ok(text) = std::env::var(ROOT_KEY) {
        return Some((text, ROOT_KEY.to_owned()));
    }
    let path = place(&dev::data_folder(data).ok()?);
    let content = files::read(&path).ok()??;
    let text = String::from_utf8(content).ok()?;
    Some((text, path.display().to_string()))
}

/// The admin's key, made at the first start. `None`: somebody removed the file once they had keys of their own.
pub(crate) async fn admin(dir: &Path, backend: &Backend) -> anyhow::Result<Option<Bootstrap>> {
    let tenant = Tenant::default();
    let known = read(dir)?;
    if gateway::bootstrap::has_keys(backend, &tenant).await? {
        return Ok(known);
    }
    let secret = known.map(|known| known.api_secret);
    let admin = Bootstrap {
        api_key_id: gateway::bootstrap::NAME.to_owned(),
        api_secret: secret.unwrap_or_else(|| gateway::bootstrap::secret(backend).to_string()),
        http: String::new(),
        grpc: String::new(),
    };
    // The file first: a start that is cut short here finds the secret in it again.
    admin.write(dir)?;
    gateway::bootstrap::admin_key(backend, &tenant, &admin.api_secret)
        .await
        .context("the first API key")?;
    Ok(Some(admin))
}

fn path(dir: &Path) -> PathBuf {
    dir.join("bootstrap.json")
}

fn read(dir: &Path) -> anyhow::Result<Option<Bootstrap>> {
    let path = path(dir);
    let Some(content) = files::read(&path)? else {
        return Ok(None);
    };
    match serde_json::from_slice(&content) {
        Ok(known) => Ok(Some(known)),
        // The parser's own message may quote the secret.
        Err(error) => bail!(
            "{}:{}:{} is not what the first start wrote there: mend the file, or remove it if you have another key",
            path.display(),
            error.line(),
            error.column()
        ),
    }
}

impl Bootstrap {
    /// Whether the first start is not done yet.
    pub(crate) fn is_new(&self) -> bool {
        self.http.is_empty()
    }

    /// Where the installation is reached now.
    pub(crate) fn at(self, http: SocketAddr, grpc: Option<SocketAddr>) -> Self {
        Self {
            http: format!("http://{http}"),
            grpc: grpc.map(|grpc| grpc.to_string()).unwrap_or_default(),
            ..self
        }
    }

    /// Writes it to `DIR/bootstrap.json`.
    pub(crate) fn write(&self, dir: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("bootstrap.json")?;
        files::replace(&path(dir), format!("{text}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use store::embedded::{Embedded, Options};

    use super::*;

    async fn admin_of(dir: &Path, data: &Path) -> anyhow::Result<Option<Bootstrap>> {
        let (backend, handle) = Embedded::open(data, Options::default())?;
        let admin = admin(dir, &backend).await;
        handle.close();
        admin
    }

    fn folders() -> [tempfile::TempDir; 3] {
        [(); 3].map(|()| tempfile::tempdir().expect("a temporary folder"))
    }

    #[tokio::test]
    async fn a_first_start_that_is_cut_short_is_made_up_for_by_the_next() {
        let [dir, lost, kept] = folders();
        let cut = admin_of(dir.path(), lost.path()).await.expect("it works");
        let cut = cut.expect("a first key");
        // What was not committed is not there: the key, but for the file.
        let next = admin_of(dir.path(), kept.path()).await.expect("it works");
        let next = next.expect("the same key");
        assert_eq!(next.api_secret, cut.api_secret);
        // Killed once more, before the workflow hello is there.
        let next = admin_of(dir.path(), kept.path()).await.expect("it works");
        let next = next.expect("the same key");
        assert!(next.api_secret == cut.api_secret && next.is_new());

        let here: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let done = next.at(here, Some(here));
        done.write(dir.path()).expect("it is ours");
        let later = admin_of(dir.path(), kept.path()).await.expect("it works");
        assert!(!later.expect("the same key").is_new());
        std::fs::remove_file(path(dir.path())).expect("it is ours");
        let removed = admin_of(dir.path(), kept.path()).await.expect("it works");
        assert!(removed.is_none(), "it has a key, and does not show it");
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_refused_by_name_and_not_quoted() {
        let [dir, data, _] = folders();
        let torn = r#"{"api_key_id": "bootstrap", "api_secret": ["msk_canary"]"#;
        std::fs::write(path(dir.path()), torn).expect("it is ours");
        let refused = admin_of(dir.path(), data.path()).await.err();
        let refused = format!("{:#}", refused.expect("it is no key"));
        assert!(refused.contains("bootstrap.json:1:"), "{refused}");
        assert!(!refused.contains("canary"), "{refused}");
    }
}
