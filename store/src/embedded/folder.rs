//! The folder of the data: ours alone, in every sense.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::options::OpenError;

pub(super) const DATA: &str = "mirastack.db";
/// Where data out of a backup is until it is whole.
pub(super) const RESTORING: &str = "restoring";
const LOCK: &str = "lock";

/// The folder, locked against other processes for as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing, closes it to others and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(|e| failed(path, &e))?;
        close_to_others(path)?;
        let lock = lock_file(path)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The database's file, made readable for nobody else. SQLite gives its other files the same mode.
    pub(super) fn data(&self) -> Result<PathBuf, OpenError> {
        let path = self.path.join(DATA);
        if self.path.join(RESTORING).exists() {
            let path = self.path.clone();
            return Err(OpenError::HalfRestored { path });
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|e| failed(&path, &e))?;
        file.set_permissions(Permissions::from_mode(0o600))
            .map_err(|e| failed(&path, &e))?;
        self.sync()?;
        Ok(path)
    }

    /// Makes the names of new files durable.
    fn sync(&self) -> Result<(), OpenError> {
        let folder = File::open(&self.path).map_err(|e| failed(&self.path, &e))?;
        folder.sync_all().map_err(|e| failed(&self.path, &e))
    }
}

/// Others may not look in. A folder that holds other people's things is not closed over their heads.
fn close_to_others(path: &Path) -> Result<(), OpenError> {
    let mode = fs::metadata(path)
        .map_err(|e| failed(path, &e))?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let is_ours = path.join(DATA).exists();
    let mut entries = fs::read_dir(path).map_err(|e| failed(path, &e))?;
    if !is_ours && entries.next().is_some() {
        return Err(OpenError::Exposed {
            path: path.to_owned(),
            mode: mode & 0o7777,
        });
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(|e| failed(path, &e))
}

fn lock_file(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|e| failed(&path, &e))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Err(in_use(folder, &mut file)),
        Err(errno) => return Err(failed(&path, &errno.into())),
    }
    let pid = std::process::id().to_string();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(pid.as_bytes()))
        .map_err(|e| failed(&path, &e))?;
    Ok(file)
}

fn in_use(folder: &Path, lock: &mut File) -> OpenError {
    let mut pid = String::new();
    let read = lock.read_to_string(&mut pid).is_ok();
    OpenError::InUse {
        path: folder.to_owned(),
        pid: if read && !pid.is_empty() {
            pid
        } else {
            "?".to_owned()
        },
    }
}

fn failed(path: &Path, error: &io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        what: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it exists").permissions().mode() & 0o777
    }

    #[test]
    fn a_second_user_is_told_the_first_ones_pid() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let path = home.path().join("data");
        let folder = Folder::lock(&path).expect("free");
        let refused = Folder::lock(&path).expect_err("in use");
        let pid = std::process::id().to_string();
        assert_eq!(
            refused,
            OpenError::InUse {
                path: path.clone(),
                pid
            }
        );
        drop(folder);
        Folder::lock(&path).expect("free again");
    }

    #[test]
    fn folder_and_files_are_closed_to_others() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let path = home.path().join("a/b");
        let folder = Folder::lock(&path).expect("free");
        let data = folder.data().expect("made");
        assert_eq!((mode(&path), mode(&data)), (0o700, 0o600));
        assert_eq!(mode(&path.join(LOCK)), 0o600);
        drop(folder);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("ours");
        Folder::lock(&path).expect("free");
        assert_eq!(mode(&path), 0o700, "our own folder is closed again");
    }

    #[test]
    fn a_folder_with_other_things_that_is_open_to_others_is_refused_and_left_alone() {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs::write(home.path().join("theirs"), "x").expect("writable");
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).expect("ours");
        let refused = Folder::lock(home.path()).expect_err("exposed");
        assert!(matches!(refused, OpenError::Exposed { mode: 0o755, .. }));
        assert_eq!(mode(home.path()), 0o755);
        assert!(!home.path().join(LOCK).exists());
    }
}
