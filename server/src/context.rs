//! The `miractl` context `dev`: who tries the product needs no login. The format of the two files is `miractl`'s.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::bootstrap::Bootstrap;
use crate::files;

const NAME: &str = "dev";

#[derive(Default, Serialize, Deserialize)]
struct Config {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current_context: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Map<String, Value>>,
}

/// Adds or refreshes the context, and answers whether it is the current one.
pub(crate) fn add(bootstrap: &Bootstrap) -> anyhow::Result<bool> {
    let folder = folder()?;
    files::folder(&folder)?;
    let lock = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(folder.join("lock"));
    let lock = lock.with_context(|| format!("cannot lock {}", folder.display()))?;
    flock(&lock, FlockOperation::LockExclusive).context("cannot lock the contexts of miractl")?;

    let mut config: Config = read(&folder.join("config.yaml"))?;
    config
        .current_context
        .get_or_insert_with(|| NAME.to_owned());
    let is_current = config.current_context.as_deref() == Some(NAME);
    let shown = json!({"server": bootstrap.http, "api_key_id": bootstrap.api_key_id});
    config.contexts.insert(NAME.to_owned(), object(shown));
    let mut tokens: Config = read(&folder.join("tokens.yaml"))?;
    tokens.contexts.insert(
        NAME.to_owned(),
        object(json!({"api_secret": bootstrap.api_secret})),
    );
    write(&folder.join("tokens.yaml"), &tokens)?;
    write(&folder.join("config.yaml"), &config)?;
    Ok(is_current)
}

fn folder() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("MIRACTL_CONFIG") {
        return Ok(folder.into());
    }
    let home = std::env::home_dir().context("no home folder: set MIRACTL_CONFIG")?;
    Ok(home.join(".miractl"))
}

fn read(path: &Path) -> anyhow::Result<Config> {
    let Some(content) = files::read(path)? else {
        return Ok(Config::default());
    };
    let text = String::from_utf8_lossy(&content);
    if text.trim().is_empty() {
        return Ok(Config::default());
    }
    serde_saphyr::from_str(&text).map_err(|error| {
        // The parser's own message quotes the text, and in tokens.yaml that is a secret.
        let at = error
            .location()
            .map_or(String::new(), |l| format!(":{}:{}", l.line(), l.column()));
        anyhow::anyhow!("{}{at} is not what it should be", path.display())
    })
}

fn write(path: &Path, config: &Config) -> anyhow::Result<()> {
    // JSON is YAML, and it needs no thought about quoting.
    let text = serde_json::to_string_pretty(config).context("a context")?;
    files::replace(path, format!("{text}\n").as_bytes())
}

fn object(json: Value) -> Map<String, Value> {
    json.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> anyhow::Result<Config> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("tokens.yaml");
        std::fs::write(&file, text).expect("it is ours");
        read(&file)
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_and_not_quoted() {
        let torn = "contexts:\n  dev:\n    api_secret: canary\n  - canary\n";
        let refused = read_text(torn).err().expect("it is no YAML");
        let refused = format!("{refused:#}");
        assert!(refused.contains("tokens.yaml:"), "{refused}");
        assert!(!refused.contains("canary"), "{refused}");
    }

    #[test]
    fn an_empty_file_holds_no_context() {
        for text in ["", " \n"] {
            let read = read_text(text).expect("nothing is wrong with it");
            assert!(read.contexts.is_empty());
        }
    }
}
