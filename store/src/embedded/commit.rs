//! The writing side: everything that is waiting, in one transaction, with one fsync.
//!
//! A piece of work checks first and writes then: when it refuses, it has written nothing, and the others in its
//! transaction are not touched. When the database itself says no, the whole transaction is undone; then each piece is
//! tried alone, so that one that cannot be done does not take the others along.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::counters::Counters;
use super::heads::Heads;
use super::room::{self, Full};
use super::views::Lag;
use crate::Error;
use crate::sqlite::fault::{Fault, Verdict, judge};

/// The one connection that writes, and what must be known for it.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) counters: Counters,
    pub(super) heads: Heads,
    /// What lists do not show yet.
    pub(super) lag: Lag,
    /// There is something.
    pub(super) lags: Arc<AtomicBool>,
    pub(super) file: PathBuf,
    /// Tells the file from another one of its name; `None` in memory.
    pub(super) identity: Option<Identity>,
    pub(super) fatal: Arc<dyn Fn(&str) + Send + Sync>,
    /// Why nothing can be written any more.
    pub(super) dead: Option<String>,
    /// The disk had no room for the last commit.
    pub(super) full: Full,
}

/// Device and inode of a file.
pub(super) type Identity = (u64, u64);

/// Which file has this name, if one has.
pub(super) fn identity_of(file: &Path) -> Option<Identity> {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino()))
}

/// A piece of work for the writer, and somebody who waits for its outcome.
pub(super) trait Work: Send {
    /// Does it inside the open transaction.
    fn apply(&mut self, writer: &mut Writer) -> rusqlite::Result<()>;

    /// Tells what became of it, once that is durable.
    fn answer(self: Box<Self>, transaction: Result<(), Error>);
}

/// Work as two closures: what is done inside the transaction, and what others are told once it is durable.
pub(super) struct Task<W, A, T> {
    pub(super) work: W,
    pub(super) announce: A,
    pub(super) outcome: Option<Result<T, Error>>,
    pub(super) reply: oneshot::Sender<Result<T, Error>>,
}

impl<W, A, T> Work for Task<W, A, T>
where
    W: FnMut(&mut Writer) -> Result<T, Fault> + Send,
    A: FnOnce(&T) + Send,
    T: Send,
{
    fn apply(&mut self, writer: &mut Writer) -> rusqlite::Result<()> {
        let outcome = match (self.work)(writer) {
            Ok(done) => Ok(done),
            Err(Fault::Refused(error)) => Err(error),
            Err(Fault::Sql(error)) => return Err(error),
        };
        self.outcome = Some(outcome);
        Ok(())
    }

    fn answer(self: Box<Self>, transaction: Result<(), Error>) {
        let not_tried = || Err(Error::Unavailable("it was not tried".to_owned()));
        let outcome = match transaction {
            Ok(()) => self.outcome.unwrap_or_else(not_tried),
            Err(error) => Err(error),
        };
        if let Ok(done) = &outcome {
            (self.announce)(done);
        }
        // Whoever asked may have gone; what was done stays done.
        let _ = self.reply.send(outcome);
    }
}

impl Writer {
    /// Does all of `batch` in one transaction and answers each.
    pub(super) fn commit(&mut self, mut batch: Vec<Box<dyn Work>>) {
        if let Some(why) = &self.dead {
            return answer_all(batch, why.clone());
        }
        let counters = self.counters;
        let Err(error) = self.transaction(&mut batch, counters) else {
            if self.full.load(Ordering::Relaxed) {
                // A small commit finds a place in the log where a run finds none.
                self.full
                    .store(!room::is_enough(&self.file), Ordering::Relaxed);
            }
            // Whoever is answered may look for it in a list at once.
            self.lags.store(!self.lag.is_empty(), Ordering::Release);
            batch.into_iter().for_each(|work| work.answer(Ok(())));
            return;
        };
        // It fails when SQLite has rolled back by itself already.
        let _ = self.conn.execute_batch("ROLLBACK");
        self.counters = counters;
        self.heads.forget();
        match Lag::read(&self.conn, counters.shown) {
            Ok(lag) => self.lag = lag,
            Err(error) => {
                self.die(&error.to_string());
            }
        }
        self.failed(batch, &error);
    }

    /// Writes what lists do not show yet, in the open transaction.
    pub(super) fn show(&mut self) -> rusqlite::Result<()> {
        self.lag.show_all(&self.conn, &mut self.counters.shown)
    }

    fn transaction(
        &mut self,
        batch: &mut [Box<dyn Work>],
        before: Counters,
    ) -> rusqlite::Result<()> {
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for work in batch {
            work.apply(self)?;
        }
        self.lag.trim(&self.conn, &mut self.counters.shown)?;
        if self.counters != before {
            self.counters.store(&self.conn)?;
        }
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        self.look_for_file()
    }

    /// SQLite goes on with a file that was removed, and nothing written to it is ever found again. Such a commit is none.
    fn look_for_file(&self) -> rusqlite::Result<()> {
        let gone = match &self.identity {
            Some(identity) => identity_of(&self.file).as_ref() != Some(identity),
            None => false,
        };
        if !gone {
            return Ok(());
        }
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_DELETE_NOENT);
        let what = "it was removed, moved or replaced while it was in use".to_owned();
        Err(rusqlite::Error::SqliteFailure(code, Some(what)))
    }

    fn failed(&mut self, batch: Vec<Box<dyn Work>>, error: &rusqlite::Error) {
        let what = match judge(error) {
            Verdict::Full(what) => {
                let what = format!("the disk of {} is full: {what}", self.file.display());
                if self.full.swap(true, Ordering::Relaxed) {
                    // It was told already, perhaps onto this very disk.
                    return answer_all(batch, what);
                }
                what
            }
            Verdict::Fatal(what) => self.die(&what),
            Verdict::Other(_) if batch.len() > 1 => {
                return batch.into_iter().for_each(|work| self.commit(vec![work]));
            }
            Verdict::Other(what) => what,
        };
        tracing::error!(file = %self.file.display(), what, "a commit failed");
        answer_all(batch, what);
    }

    /// What ends the process when the disk fails.
    pub(super) fn dies(&self) -> Dies {
        Dies {
            file: self.file.clone(),
            fatal: Arc::clone(&self.fatal),
        }
    }

    pub(super) fn die(&mut self, what: &str) -> String {
        let why = self.dies().die(what);
        self.dead = Some(why.clone());
        why
    }
}

fn answer_all(batch: Vec<Box<dyn Work>>, why: String) {
    let error = Error::Unavailable(why);
    let answer = |work: Box<dyn Work>| work.answer(Err(error.clone()));
    batch.into_iter().for_each(answer);
}

/// Ends the process when the disk fails.
pub(super) struct Dies {
    pub(super) file: PathBuf,
    pub(super) fatal: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Dies {
    /// A disk that did not take what it was given may have lost what it took before, and asking again would hide it:
    /// the process ends, and the next start reads what is really there.
    pub(super) fn die(&self, what: &str) -> String {
        let why = format!("the disk failed under {}: {what}", self.file.display());
        tracing::error!(file = %self.file.display(), what, "the disk failed, the process ends");
        (self.fatal)(&why);
        why
    }
}
