//! The two files of a user, and nothing else about them.
//!
//! They live in `~/.miractl`, or in the folder that `MIRACTL_CONFIG` names (0700). Other programs
//! write them too (`mirastack dev` adds the context `dev` on its first start), so this is their
//! format in full:
//!
//! `config.yaml` (0600) holds what may be shown:
//!
//! ```yaml
//! current_context: dev                 # may be absent
//! contexts:
//!   dev:
//!     server: http://127.0.0.1:8080    # scheme and authority, a path prefix is allowed
//!     api_key_id: 0197c0de             # may be absent
//!     ca_cert: /etc/mirastack/ca.pem   # may be absent; PEM, absolute; trusted instead of the system's
//! ```
//!
//! `tokens.yaml` (0600) holds what may not:
//!
//! ```yaml
//! contexts:
//!   dev:
//!     api_secret: …                    # may be absent; with it tokens are renewed without asking
//!     token: v4.local.…                # may be absent
//!     expires_at: 2026-01-01T00:00:00Z # of the token; absent: not known
//! ```
//!
//! Unknown keys are errors. A writer takes an exclusive `flock` on the empty file `lock` beside
//! them, reads, changes its own context only, writes a temporary file in the same folder with
//! mode 0600, and renames it over the old one; so two writers lose nothing of each other, and a
//! reader, which takes no lock, never sees half a file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure, Result};

/// `config.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The context that is used when nothing else is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current_context: Option<String>,
    /// Servers by name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One server and who one is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The server's address.
    pub(crate) server: String,
    /// The id of the API key; its secret stands in `tokens.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_key_id: Option<String>,
    /// A PEM file with the authorities to trust for this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_cert: Option<PathBuf>,
}

/// `tokens.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokens {
    /// Credentials by the name of their context.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Stored>,
}

/// What is kept for one context.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stored {
    /// The secret of the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) api_secret: Option<Secret>,
    /// The last token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Secret>,
    /// When the token ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
}

/// A value that no message, log line or `{:?}` may show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub(crate) fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that sends it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a file says; an empty one says nothing.
pub(crate) fn of_text<T: DeserializeOwned + Default>(
    text: &str,
) -> std::result::Result<T, serde_saphyr::Error> {
    if text.trim().is_empty() {
        return Ok(T::default());
    }
    serde_saphyr::from_str(text)
}

/// The folder with the two files.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`; nothing is made until something is written.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What `config.yaml` says; the default if there is none.
    pub(crate) fn config(&self) -> Result<Config> {
        self.read("config.yaml")
    }

    /// What `tokens.yaml` says; the default if there is none.
    pub(crate) fn tokens(&self) -> Result<Tokens> {
        self.read("tokens.yaml")
    }

    /// Changes `config.yaml` under the lock.
    pub(crate) fn change_config(&self, change: impl FnOnce(&mut Config)) -> Result<()> {
        let _lock = self.lock()?;
        let mut config = self.config()?;
        change(&mut config);
        self.write("config.yaml", &config)
    }

    /// Changes `tokens.yaml` under the lock.
    pub(crate) fn change_tokens(&self, change: impl FnOnce(&mut Tokens)) -> Result<()> {
        let _lock = self.lock()?;
        let mut tokens = self.tokens()?;
        change(&mut tokens);
        self.write("tokens.yaml", &tokens)
    }

    /// Whether others on this machine may read the tokens.
    pub(crate) fn tokens_are_exposed(&self) -> bool {
        fs::metadata(self.0.join("tokens.yaml")).is_ok_and(|m| m.permissions().mode() & 0o077 != 0)
    }

    fn read<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T> {
        let path = self.0.join(name);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(T::default()),
            Err(error) => return Err(unusable(&path, &error)),
        };
        of_text(&text).map_err(|error| {
            // The parser's own message quotes the text, and in tokens.yaml that is a secret.
            let at = error.location().map_or(String::new(), |l| {
                format!(":{}:{}", l.line(), l.column())
            });
            Failure::usage(format!("{}{at} is not what it should be", path.display()))
                .hint("known keys: current_context, contexts.NAME.{server,api_key_id,ca_cert}; and in tokens.yaml contexts.NAME.{api_secret,token,expires_at}. Mend the file, or remove it and log in again")
        })
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let path = self.0.join(name);
        let text = serde_saphyr::to_string(value)
            .map_err(|error| Failure::new(Exit::Bug, format!("{name}: {error}")))?;
        self.replace(&path, &text)
            .map_err(|error| unusable(&path, &error))
    }

    fn replace(&self, path: &Path, text: &str) -> std::io::Result<()> {
        // NamedTempFile makes its file with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    fn lock(&self) -> Result<File> {
        let path = self.0.join("lock");
        let open = || -> std::io::Result<File> {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.0)?;
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&path)?;
            rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
            Ok(file)
        };
        open().map_err(|error| unusable(&path, &error))
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> Box<Failure> {
    Failure::usage(format!("{}: {error}", path.display()))
        .hint("MIRACTL_CONFIG names another folder for config.yaml and tokens.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let folder = Folder::at(dir.path().join("miractl"));
        (dir, folder)
    }

    #[test]
    fn a_missing_or_empty_file_is_an_empty_configuration() {
        let (_dir, folder) = folder();
        assert_eq!(folder.config().expect("no file"), Config::default());
        fs::create_dir_all(folder.path()).expect("the folder");
        fs::write(folder.path().join("config.yaml"), "\n").expect("an empty file");
        assert_eq!(folder.config().expect("an empty file"), Config::default());
    }

    #[test]
    fn the_documented_files_are_read() {
        let (_dir, folder) = folder();
        fs::create_dir_all(folder.path()).expect("the folder");
        fs::write(
            folder.path().join("config.yaml"),
            "current_context: dev\ncontexts:\n  dev:\n    server: http://127.0.0.1:8080\n    api_key_id: \"0197\"\n",
        )
        .expect("config.yaml");
        fs::write(
            folder.path().join("tokens.yaml"),
            "contexts:\n  dev:\n    api_secret: s3\n    token: v4.local.abc\n    expires_at: 2026-01-01T00:00:00Z\n",
        )
        .expect("tokens.yaml");
        let config = folder.config().expect("config.yaml");
        assert_eq!(config.current_context.as_deref(), Some("dev"));
        assert_eq!(config.contexts["dev"].api_key_id.as_deref(), Some("0197"));
        let tokens = folder.tokens().expect("tokens.yaml");
        assert_eq!(tokens.contexts["dev"].api_secret, Some(Secret::new("s3")));
        assert!(tokens.contexts["dev"].expires_at.is_some());
    }

    #[test]
    fn what_is_written_is_read_back_and_is_for_the_owner_only() {
        let (_dir, folder) = folder();
        let stored = Stored {
            api_secret: Some(Secret::new("a: b # \"c\"")),
            token: Some(Secret::new("v4.local.x")),
            expires_at: Some("2030-01-01T00:00:00Z".parse().expect("a time")),
        };
        folder
            .change_tokens(|t| {
                t.contexts.insert("dev".to_owned(), stored.clone());
            })
            .expect("written");
        assert_eq!(folder.tokens().expect("read").contexts["dev"], stored);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path().join("tokens.yaml")), 0o600);
        assert_eq!(mode(folder.path()), 0o700);
        assert!(!folder.tokens_are_exposed());
    }

    #[test]
    fn two_writers_lose_nothing_of_each_other() {
        let (_dir, folder) = folder();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let folder = folder.clone();
                scope.spawn(move || {
                    folder
                        .change_tokens(|t| {
                            t.contexts.insert(format!("c{n}"), Stored::default());
                        })
                        .expect("written");
                });
            }
        });
        assert_eq!(folder.tokens().expect("read").contexts.len(), 8);
    }

    #[test]
    fn a_broken_file_is_refused_with_its_place_and_without_its_text() {
        let (_dir, folder) = folder();
        fs::create_dir_all(folder.path()).expect("the folder");
        fs::write(
            folder.path().join("tokens.yaml"),
            "contexts:\n  dev:\n    api_sceret: canary-value\n",
        )
        .expect("tokens.yaml");
        let failure = folder.tokens().expect_err("an unknown key");
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure.message.contains("tokens.yaml:3"),
            "{}",
            failure.message
        );
        assert!(!format!("{failure:?}").contains("canary-value"));
    }
}
