//! Everything in one SQLite file and one process.

mod options;

use std::path::Path;

pub use options::{OpenError, Options, Place};

use crate::Backend;

/// The backend of one machine.
#[derive(Debug)]
pub struct Embedded;

impl Embedded {
    /// Opens the data in the folder `dir`, which is made when it does not exist. Commits are grouped by a thread.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was changed then.
    pub fn open(dir: &Path, _options: Options) -> Result<(Backend, Handle), OpenError> {
        Err(OpenError::Io {
            path: dir.to_owned(),
            what: "this build has no embedded store".to_owned(),
        })
    }

    /// The same without threads: each call is done at once, on the caller's thread. For the simulation.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn inline(place: Place, _options: Options) -> Result<(Backend, Handle), OpenError> {
        Err(OpenError::Io {
            path: match place {
                Place::Memory => Path::new(":memory:").to_owned(),
                Place::Folder(path) => path,
            },
            what: "this build has no embedded store".to_owned(),
        })
    }
}

/// Ends an open store in good order. Dropping it ends nothing: the store closes with its last user.
#[derive(Debug)]
pub struct Handle {}

impl Handle {
    /// Writes what is waiting, folds the write-ahead log into the file and gives the folder free. Blocks. Calls that
    /// come later are answered [`crate::Error::Unavailable`].
    pub fn close(&self) {}

    /// Ends as a crash would, without folding the log: what may be lost is lost, what must survive is opened again.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn restart(self, options: Options) -> Result<(Backend, Handle), OpenError> {
        Embedded::inline(Place::Memory, options)
    }
}
