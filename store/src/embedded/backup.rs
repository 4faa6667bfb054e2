//! A backup: one file, made while the store is in use.
//!
//! The file is a line that says what it is, a line of JSON ([`About`]), the database as `VACUUM INTO` writes it (one
//! state, without free pages) compressed with zstd, and the SHA-256 of everything before it in 32 bytes. Journals, keys,
//! inbox, registry, blobs, archive and views are all in the one database, so they fit together. The root key, which is
//! not in the database, is not in its backup.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use engine::time::Timestamp;
use rusqlite::Connection;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::folder::DATA;
use super::options::OpenError;
use super::schema;

/// The first line of a backup.
pub(super) const MAGIC: &[u8] = b"MIRASTACK BACKUP 1\n";
/// The second line is not longer, in bytes.
pub(super) const ABOUT_MAX: u64 = 4_096;
/// The length of the checksum at the end.
pub(super) const SUM_BYTES: u64 = 32;
/// zstd's own default.
const LEVEL: i32 = 3;
/// What is read and written at once, in bytes.
pub(super) const CHUNK: usize = 128 * 1024;
/// Pages that the copying connection keeps, in bytes.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The state of the data is that of this time.
    pub made_at: Timestamp,
    /// The version of the data's form.
    pub schema: i64,
    /// How long the database is, in bytes.
    pub bytes: u64,
}

/// Why there is no backup, or none was restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackupError {
    /// There is nothing to back up.
    #[error("{path}: there is no data of Mirastack here; name its folder with --data DIR")]
    NoData {
        /// The folder.
        path: PathBuf,
    },
    /// The file to be written exists.
    #[error("{path} exists, and a backup replaces nothing: name another file, or remove that one")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be trusted.
    #[error("{path} is no whole backup: {what}; take another one (nothing was written)")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The folder to restore into is in use.
    #[error(
        "{path} is not empty ({found} is in it): a restore needs an empty folder, in which only root.key may be (nothing was written)"
    )]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// The name of something in it.
        found: String,
    },
    /// The data, or the folder of the restored data, cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Writes what is stored in the folder `dir` to the new file `file`, as it is at one moment. The store may be in use, by
/// another process too; it is neither stopped nor slowed but by the reading. Blocks for as long as that takes.
///
/// # Errors
/// [`BackupError`]; there is no `file` then.
pub fn back_up(dir: &Path, file: &Path, now: Timestamp) -> Result<About, BackupError> {
    let data = dir.join(DATA);
    if !data.is_file() {
        let path = dir.to_owned();
        return Err(BackupError::NoData { path });
    }
    if file.exists() {
        let path = file.to_owned();
        return Err(BackupError::Exists { path });
    }
    let parts = Parts::beside(file);
    let about = copy(&data, &parts.copy, now)?;
    pack(&parts, &about).map_err(|e| io_failed(&parts.packed, &e))?;
    name_once(&parts.packed, file)?;
    sync_folder_of(file).map_err(|e| io_failed(file, &e))?;
    Ok(about)
}

/// Gives a file its name, unless there is one of that name by now.
fn name_once(packed: &Path, file: &Path) -> Result<(), BackupError> {
    let named = match renameat_with(CWD, packed, CWD, file, RenameFlags::NOREPLACE) {
        // The file system cannot rename so. A link replaces nothing either, and its first name goes with `Parts`.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => fs::hard_link(packed, file),
        named => named.map_err(io::Error::from),
    };
    named.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            let path = file.to_owned();
            return BackupError::Exists { path };
        }
        io_failed(file, &error)
    })
}

/// The files of a backup in the making. They go with this.
struct Parts {
    copy: PathBuf,
    packed: PathBuf,
}

impl Parts {
    fn beside(file: &Path) -> Self {
        let named = |what: &str| {
            let mut name = file.as_os_str().to_owned();
            name.push(format!(".{}.{what}", std::process::id()));
            PathBuf::from(name)
        };
        Self {
            copy: named("copy"),
            packed: named("part"),
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for path in [&self.copy, &self.packed] {
            // Where it is not there, there is nothing to remove; what cannot be removed stays, under its telling name.
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes one state of the database into a database of its own.
fn copy(data: &Path, copy: &Path, now: Timestamp) -> Result<About, BackupError> {
    // SQLite would make it readable for others; an empty file it takes as it is.
    new_file(copy).map_err(|e| io_failed(copy, &e))?;
    let sql = |error: rusqlite::Error| BackupError::Open(schema::failed(data, &error));
    let conn = schema::connect(Some(data), CACHE_BYTES).map_err(sql)?;
    let schema = schema::check_version(&conn, data)?;
    vacuum_into(&conn, copy).map_err(sql)?;
    let bytes = fs::metadata(copy).map_err(|e| io_failed(copy, &e))?.len();
    Ok(About {
        made_at: now,
        schema,
        bytes,
    })
}

fn vacuum_into(conn: &Connection, copy: &Path) -> rusqlite::Result<()> {
    let path = copy.to_string_lossy();
    conn.execute("VACUUM INTO ?1", [&*path]).map(|_| ())
}

fn pack(parts: &Parts, about: &About) -> io::Result<()> {
    let mut out = Summing::new(BufWriter::with_capacity(CHUNK, new_file(&parts.packed)?));
    out.write_all(MAGIC)?;
    let line = serde_json::to_string(about)?;
    out.write_all(format!("{line}\n").as_bytes())?;
    let mut body = zstd::stream::write::Encoder::new(&mut out, LEVEL)?;
    io::copy(
        &mut BufReader::with_capacity(CHUNK, File::open(&parts.copy)?),
        &mut body,
    )?;
    body.finish()?;
    let (mut file, sum) = out.end();
    file.write_all(&sum)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

/// Passes bytes on and counts them into a SHA-256.
pub(super) struct Summing<T> {
    inner: T,
    sum: Sha256,
}

impl<T> Summing<T> {
    pub(super) fn new(inner: T) -> Self {
        let sum = Sha256::new();
        Self { inner, sum }
    }

    pub(super) fn end(self) -> (T, [u8; 32]) {
        (self.inner, self.sum.finalize().into())
    }
}

impl<T: Write> Write for Summing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Summing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.sum.update(&bytes[..read]);
        Ok(read)
    }
}

/// Makes a file that only its owner may read.
pub(super) fn new_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Makes the name of a new file durable.
fn sync_folder_of(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

pub(super) fn io_failed(path: &Path, error: &io::Error) -> BackupError {
    BackupError::Open(OpenError::Io {
        path: path.to_owned(),
        what: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_appears_while_a_backup_is_made_is_not_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [packed, file] = ["part", "file"].map(|name| folder.path().join(name));
        fs::write(&packed, "new").expect("it is ours");
        fs::write(&file, "old").expect("it is ours");
        let path = file.clone();
        let refused = name_once(&packed, &file);
        assert_eq!(refused, Err(BackupError::Exists { path }));
        assert_eq!(fs::read(&file).expect("it is there"), b"old");
        fs::remove_file(&file).expect("it is ours");
        name_once(&packed, &file).expect("nothing is in the way");
        assert_eq!(fs::read(&file).expect("it is there"), b"new");
    }
}
