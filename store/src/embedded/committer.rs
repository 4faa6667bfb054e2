//! The thread that commits, and the one that folds the log into the file beside it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::commit::{Dies, Work, Writer};
use super::core::Order;
use super::folder::Folder;
use crate::sqlite::fault::{Verdict, judge};

/// Pieces of work that may wait; whoever brings more waits with it.
pub(super) const QUEUE: usize = 1_024;
/// Pieces of work in one transaction.
const BATCH: usize = 256;
/// From so many pages in the log that are not in the file yet, the folding thread takes them there.
const FOLD_PAGES: i64 = 1_000;
/// From so many pages on the log begins again at its start, as soon as nearly all of it is folded (16 MiB).
const LOG_PAGES: i64 = 4_096;
/// A log this long is folded at once, whatever that costs (256 MiB).
const LOG_PAGES_MAX: i64 = 65_536;
/// The log is looked at after so many commits: each fills some tens of pages.
const LOOK_EVERY: u32 = 16;

/// Starts the committing thread; it ends with the last sender of its queue, or when told.
pub(super) fn start(
    writer: Writer,
    folder: Folder,
    folding: Connection,
    queue: mpsc::Receiver<Order>,
) -> io::Result<JoinHandle<()>> {
    let busy = Arc::new(AtomicBool::new(false));
    let (nudge, nudges) = sync_channel(1);
    let (flag, dies) = (Arc::clone(&busy), writer.dies());
    let folder_thread = thread::Builder::new()
        .name("store-fold".to_owned())
        .spawn(move || fold_when_asked(&folding, &nudges, &flag, &dies))?;
    let mut committer = Committer {
        writer,
        nudge: Some(nudge),
        busy,
        folding: Some(folder_thread),
        _folder: folder,
    };
    thread::Builder::new()
        .name("store-commit".to_owned())
        .spawn(move || committer.run(queue))
}

struct Committer {
    writer: Writer,
    nudge: Option<SyncSender<()>>,
    busy: Arc<AtomicBool>,
    folding: Option<JoinHandle<()>>,
    _folder: Folder,
}

impl Committer {
    fn run(&mut self, mut queue: mpsc::Receiver<Order>) {
        let mut fold = true;
        let mut commits = 0;
        while let Some(first) = queue.blocking_recv() {
            let (batch, stop) = waiting(first, &mut queue);
            if !batch.is_empty() {
                self.writer.commit(batch);
                commits += 1;
            }
            if commits >= LOOK_EVERY {
                commits = 0;
                self.look_at_log();
            }
            if let Some(how) = stop {
                fold = how;
                break;
            }
        }
        drop(queue);
        self.end(fold);
    }

    /// Keeps the log short without making a commit wait for it, as far as that is possible.
    fn look_at_log(&mut self) {
        let Some((log, folded)) = self.checkpoint("NOOP") else {
            return;
        };
        let at_work = self.busy.load(Ordering::Relaxed);
        if log >= LOG_PAGES_MAX || (log >= LOG_PAGES && !at_work) {
            // Nobody else writes now, so this takes the rest, and the next commit begins the log anew.
            self.checkpoint("PASSIVE");
        } else if log - folded >= FOLD_PAGES {
            self.nudge.as_ref().map(|nudge| nudge.try_send(()));
        }
    }

    /// Pages in the log, and how many of them are in the file.
    fn checkpoint(&mut self, mode: &str) -> Option<(i64, i64)> {
        if self.writer.dead.is_some() {
            return None;
        }
        match checkpoint(&self.writer.conn, mode) {
            Ok(pages) => Some(pages),
            Err(error) => {
                if let Verdict::Fatal(what) = judge(&error) {
                    self.writer.die(&what);
                }
                tracing::warn!(%error, "the log could not be folded into the file");
                None
            }
        }
    }

    fn end(&mut self, fold: bool) {
        self.nudge = None;
        if let Some(thread) = self.folding.take() {
            // A panic there was reported by the thread itself.
            let _ = thread.join();
        }
        if fold {
            self.checkpoint("TRUNCATE");
        }
    }
}

/// Everything that waits, up to a batch, and how to stop, if told to.
fn waiting(first: Order, queue: &mut mpsc::Receiver<Order>) -> (Vec<Box<dyn Work>>, Option<bool>) {
    let mut batch = Vec::new();
    let mut next = Some(first);
    let mut yielded = false;
    loop {
        match next {
            Some(Order::Work(work)) => batch.push(work),
            Some(Order::Stop { fold }) => return (batch, Some(fold)),
            None if yielded || batch.len() < 2 => return (batch, None),
            None => {
                // Where many write and all processors are busy, more of them bring their work before this thread goes on:
                // it costs no fsync of its own then.
                thread::yield_now();
                yielded = true;
            }
        }
        if batch.len() == BATCH {
            return (batch, None);
        }
        next = queue.try_recv().ok();
    }
}

fn fold_when_asked(conn: &Connection, nudges: &Receiver<()>, busy: &AtomicBool, dies: &Dies) {
    while nudges.recv().is_ok() {
        busy.store(true, Ordering::Relaxed);
        if let Err(error) = checkpoint(conn, "PASSIVE") {
            if let Verdict::Fatal(what) = judge(&error) {
                // Nobody else is told: the next fsync of the same file may say that all is well.
                dies.die(&what);
            }
            tracing::warn!(%error, "the log could not be folded into the file");
        }
        busy.store(false, Ordering::Relaxed);
    }
}

fn checkpoint(conn: &Connection, mode: &str) -> rusqlite::Result<(i64, i64)> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    conn.prepare_cached(&sql)?
        .query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rusqlite::OpenFlags;

    use super::*;

    #[test]
    fn a_disk_that_fails_while_the_log_is_folded_is_fatal() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let file = home.path().join("x.db");
        let writer = Connection::open(&file).expect("it is new");
        let sql = "PRAGMA journal_mode = WAL; CREATE TABLE t (a)";
        writer.execute_batch(sql).expect("it is made");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let conn = Connection::open_with_flags(&file, flags).expect("it is there");
        let sql = "SELECT count(*) FROM t";
        let count: i64 = conn.query_row(sql, [], |row| row.get(0)).expect("it reads");
        assert_eq!(count, 0);
        let told = Arc::new(Mutex::new(Vec::new()));
        let dies = Dies {
            file,
            fatal: {
                let told = Arc::clone(&told);
                Arc::new(move |why| told.lock().expect("ours").push(why.to_owned()))
            },
        };
        let (nudge, nudges) = sync_channel(1);
        nudge.send(()).expect("there is room");
        drop(nudge);
        fold_when_asked(&conn, &nudges, &AtomicBool::new(false), &dies);
        let told = told.lock().expect("ours");
        assert!(
            told.len() == 1 && told[0].contains("the disk failed"),
            "{told:?}"
        );
    }
}
