//! Everything in one SQLite file and one process.
//!
//! One connection writes: a thread takes all work that is waiting, does it in one transaction and answers when that is
//! on the disk (WAL, `synchronous=FULL`). Others read. What may be lost (jobs, memory, live, the ring of deliveries) is
//! in this process's memory only.
//!
//! The file never shrinks: what is removed leaves room that is used again.
//!
//! Start reading at [`Embedded::open`], then `core.rs` (the two doors to the file) and `commit.rs`.

mod archive;
mod backup;
mod births;
mod blobs;
mod commit;
mod committer;
mod core;
mod counters;
mod folder;
mod heads;
mod inbox;
mod jobs;
mod journal;
mod kept;
mod keys;
mod memory;
mod options;
mod registry;
mod restore;
mod room;
mod runs;
mod schema;
mod sum;
mod views;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::mpsc;

pub use self::backup::{About, BackupError, back_up};
use self::commit::{Writer, identity_of};
use self::committer::QUEUE;
use self::core::{Core, Known, Writing};
use self::folder::Folder;
use self::heads::Heads;
pub use self::kept::{Again, Kept};
pub use self::options::{OpenError, Options, Place};
pub use self::restore::Restoring;
use self::room::Full;
pub use self::room::Room;
use self::views::Lag;
use crate::topics::Topics;
use crate::{Backend, Jobs, Memory, lock};

/// The backend of one machine.
#[derive(Debug)]
pub struct Embedded;

impl Embedded {
    /// Opens the data in the folder `dir`, which is made when it does not exist. Commits are grouped by a thread.
    ///
    /// # Errors
    /// [`OpenError`]; no data was changed then.
    pub fn open(dir: &Path, options: Options) -> Result<(Backend, Handle), OpenError> {
        let folder = Folder::lock(dir)?;
        let file = folder.data()?;
        let writer = writer(Some(&file), &options)?;
        let folding = connect(&file, &options)?;
        let (queue, orders) = mpsc::channel(QUEUE);
        let known = Known::by(&writer);
        let thread = committer::start(writer, folder, folding, orders).map_err(|e| {
            let (path, what) = (file, format!("no thread: {e}"));
            OpenError::Io { path, what }
        })?;
        let live: Arc<Topics> = Arc::default();
        let core = Core::new(options, live, Writing::Queue(queue), known);
        let handle = Handle {
            core: Arc::new(core),
            origin: Origin::Threads(dir.to_owned(), Mutex::new(Some(thread))),
        };
        Ok((handle.backend(), handle))
    }

    /// The same without threads: each call is done at once, on the caller's thread. For the simulation.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn inline(place: Place, options: Options) -> Result<(Backend, Handle), OpenError> {
        match place {
            Place::Memory => {
                let writer = writer(None, &options)?;
                Ok(inline(writer, options, Origin::Memory))
            }
            Place::Folder(dir) => {
                let folder = Folder::lock(&dir)?;
                let writer = writer(Some(&folder.data()?), &options)?;
                let origin = Origin::Folder(dir, Mutex::new(Some(folder)));
                Ok(inline(writer, options, origin))
            }
        }
    }
}

/// Ends an open store in good order. Dropping it ends nothing: the store closes with its last user.
pub struct Handle {
    core: Arc<Core>,
    origin: Origin,
}

/// What an open store was made of.
enum Origin {
    Memory,
    Folder(PathBuf, Mutex<Option<Folder>>),
    Threads(PathBuf, Mutex<Option<JoinHandle<()>>>),
}

impl Handle {
    /// Writes what is waiting, folds the write-ahead log into the file and gives the folder free. Blocks for as long as
    /// that takes. Calls that come later are answered [`crate::Error::Unavailable`].
    pub fn close(&self) {
        let _ = self.end(true);
    }

    /// Ends as a crash would, without folding the log: what may be lost is lost, what must survive is opened again.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn restart(self, options: Options) -> Result<(Backend, Self), OpenError> {
        let writer = self.end(false);
        match self.origin {
            Origin::Threads(dir, _) => Embedded::open(&dir, options),
            Origin::Folder(dir, _) => Embedded::inline(Place::Folder(dir), options),
            Origin::Memory => {
                let Some(writer) = writer else {
                    let (path, what) = (memory_path(), "it was closed".to_owned());
                    return Err(OpenError::Io { path, what });
                };
                let writer = writer_over(writer.conn, memory_path(), &options)?;
                Ok(inline(writer, options, Origin::Memory))
            }
        }
    }

    /// Tells whether the disk has room, for as long as the store is open.
    #[must_use]
    pub fn room(&self) -> Room {
        Room::new(Arc::clone(&self.core))
    }

    fn end(&self, fold: bool) -> Option<Box<Writer>> {
        self.core.stop(fold);
        let writer = self.core.shut();
        match &self.origin {
            Origin::Memory => return writer,
            Origin::Folder(_, folder) => {
                if let (true, Some(writer)) = (fold, &writer) {
                    // What is not folded now is folded later: the log is as durable as the file.
                    let _ = writer.conn.pragma_query(None, "wal_checkpoint", |_| Ok(()));
                }
                drop(writer);
                lock(folder).take();
            }
            Origin::Threads(_, thread) => {
                let thread = lock(thread).take();
                // A panic there was reported by the thread itself.
                let _ = thread.map(JoinHandle::join);
            }
        }
        None
    }

    /// Queues and memory as they are after a crash, empty. For the simulation, which loses nothing else.
    #[must_use]
    pub fn emptied(&self) -> (Arc<dyn Jobs>, Arc<dyn Memory>) {
        let options = &self.core.options;
        let jobs = jobs::Queues::new(Arc::clone(&options.random));
        let memory = memory::Cache::new(Arc::clone(&options.clock), options.memory_bytes);
        (Arc::new(jobs), Arc::new(memory))
    }

    fn backend(&self) -> Backend {
        let core = &self.core;
        let options = &core.options;
        let (jobs, memory) = self.emptied();
        Backend {
            journal: Arc::new(journal::Journals(Arc::clone(core))),
            archive: Arc::new(archive::Archived(Arc::clone(core))),
            keys: Arc::new(keys::Keys(Arc::clone(core))),
            inbox: Arc::new(inbox::Inboxes(Arc::clone(core))),
            jobs,
            registry: Arc::new(registry::Definitions(Arc::clone(core))),
            memory,
            blobs: Arc::new(blobs::Values(Arc::clone(core))),
            views: Arc::new(views::Lists::new(Arc::clone(core))),
            live: Arc::<Topics>::clone(&core.live),
            clock: Arc::clone(&options.clock),
            random: Arc::clone(&options.random),
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

fn inline(writer: Writer, options: Options, origin: Origin) -> (Backend, Handle) {
    let known = Known::by(&writer);
    let writing = Writing::Inline(Mutex::new(Some(Box::new(writer))));
    let live: Arc<Topics> = Arc::default();
    let core = Arc::new(Core::new(options, live, writing, known));
    let handle = Handle { core, origin };
    (handle.backend(), handle)
}

/// The one connection that writes, to a file or to memory, its schema made and checked.
fn writer(file: Option<&Path>, options: &Options) -> Result<Writer, OpenError> {
    let path = file.map_or_else(memory_path, Path::to_owned);
    let conn = schema::connect(file, options.cache_bytes).map_err(|e| schema::failed(&path, &e))?;
    let identity = file.and_then(identity_of);
    Ok(Writer {
        identity,
        ..writer_over(conn, path, options)?
    })
}

/// The same over a connection that is there.
fn writer_over(conn: Connection, file: PathBuf, options: &Options) -> Result<Writer, OpenError> {
    let counters = schema::prepare(&conn, &file, options)?;
    let lag = Lag::read(&conn, counters.shown).map_err(|e| schema::failed(&file, &e))?;
    let lags = Arc::new(AtomicBool::new(!lag.is_empty()));
    Ok(Writer {
        conn,
        counters,
        heads: Heads::default(),
        lag,
        lags,
        identity: None,
        file,
        fatal: Arc::clone(&options.fatal),
        dead: None,
        full: Full::default(),
    })
}

fn connect(file: &Path, options: &Options) -> Result<Connection, OpenError> {
    schema::connect(Some(file), options.cache_bytes / 8).map_err(|e| schema::failed(file, &e))
}

fn memory_path() -> PathBuf {
    PathBuf::from(":memory:")
}

#[cfg(test)]
mod tests;
