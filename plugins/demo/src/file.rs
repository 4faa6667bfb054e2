//! The agent's file: values, and what was changed under which idempotency key.

use std::{
    collections::{BTreeMap, VecDeque},
    env,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use mirastack_sdk::{ActionError, Config};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::change::Changed;

/// The setting that names the file.
pub(crate) const SETTING: &str = "file";
/// Where the starter lets the agent keep files.
const DATA_DIR: &str = "MIRASTACK_PLUGIN_DATA_DIR";
/// How many changes are remembered by their key; older ones are forgotten.
const REMEMBERED_MAX: usize = 10_000;

/// What the file holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contents {
    values: BTreeMap<String, Entry>,
    /// The oldest first.
    done: VecDeque<Done>,
}

/// One value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) value: String,
    /// How often it was written.
    pub(crate) changes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    idempotency_key: String,
    output: Changed,
}

impl Contents {
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.values.get(key)
    }

    /// What an earlier call with this key changed.
    pub(crate) fn done(&self, idempotency_key: &str) -> Option<&Changed> {
        self.done
            .iter()
            .rev()
            .find(|done| done.idempotency_key == idempotency_key)
            .map(|done| &done.output)
    }

    /// Writes a value and remembers under which key.
    pub(crate) fn change(&mut self, key: &str, value: &str, idempotency_key: &str) -> Changed {
        let before = self.values.get(key).cloned();
        let changes = before.as_ref().map_or(0, |entry| entry.changes) + 1;
        self.values.insert(
            key.to_owned(),
            Entry {
                value: value.to_owned(),
                changes,
            },
        );
        let output = Changed {
            key: key.to_owned(),
            value: value.to_owned(),
            previous: before.map(|e| e.value),
            changes,
        };
        if !idempotency_key.is_empty() {
            self.done.push_back(Done {
                idempotency_key: idempotency_key.to_owned(),
                output: output.clone(),
            });
            while self.done.len() > REMEMBERED_MAX {
                self.done.pop_front();
            }
        }
        output
    }
}

/// Where the file is.
pub(crate) fn path(config: &Config) -> PathBuf {
    match config.get(SETTING) {
        Some(path) => path.into(),
        None => env::var_os(DATA_DIR)
            .map_or_else(|| env::temp_dir().join("mirastack"), PathBuf::from)
            .join("demo.json"),
    }
}

/// Reads the file.
pub(crate) async fn with<T, F>(config: &Config, look: F) -> Result<T, ActionError>
where
    T: Send + 'static,
    F: FnOnce(&Contents) -> Result<T, ActionError> + Send + 'static,
{
    let path = path(config);
    blocking(move || {
        let contents = load(&path).map_err(|e| unreadable(&path, &e))?;
        look(&contents)
    })
    .await
}

/// Reads the file, changes what it holds, and writes it when `edit` succeeded. Other processes that do the
/// same wait.
pub(crate) async fn edit<T, F>(config: &Config, edit: F) -> Result<T, ActionError>
where
    T: Send + 'static,
    F: FnOnce(&mut Contents) -> Result<T, ActionError> + Send + 'static,
{
    let path = path(config);
    blocking(move || {
        let _locked = lock(&path).map_err(|e| unreadable(&path, &e))?;
        let mut contents = load(&path).map_err(|e| unreadable(&path, &e))?;
        let answer = edit(&mut contents)?;
        let staged = stage(&path, &contents).map_err(|e| {
            let message = format!("{} cannot be written: {e}", path.display());
            ActionError::not_made("file_not_written", message)
        })?;
        put(staged, &path).map_err(|e| {
            let message = format!("{} may or may not have been written: {e}", path.display());
            ActionError::unknown("file_not_written", message)
        })?;
        Ok(answer)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ActionError> + Send + 'static,
) -> Result<T, ActionError> {
    tokio::task::spawn_blocking(work).await?
}

/// Held until it is dropped. A file of its own, because the other one is replaced by each change.
fn lock(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let lock = File::create(path.with_extension("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

fn load(path: &Path) -> io::Result<Contents> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Contents::default()),
        Err(e) => Err(e),
    }
}

/// The new contents, on the disk beside the old ones.
fn stage(path: &Path, contents: &Contents) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new_in(folder(path))?;
    file.write_all(&serde_json::to_vec(contents)?)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// In one step in the place of the old ones, and still there after a power cut.
fn put(staged: NamedTempFile, path: &Path) -> io::Result<()> {
    staged.persist(path)?;
    File::open(folder(path))?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn unreadable(path: &Path, problem: &io::Error) -> ActionError {
    let message = format!(
        "{} cannot be used: {problem}; set another `{SETTING}` or repair it",
        path.display()
    );
    ActionError::not_made("file_unreadable", message)
}
