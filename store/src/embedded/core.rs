//! The two doors to the file: [`Core::write`] and [`Core::read`]. Every port goes through them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use engine::id::Shard;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::births::Births;
use super::commit::{Task, Work, Writer};
use super::counters::Counters;
use super::options::Options;
use super::room::Full;
use super::schema;
use crate::Error;
use crate::history::History;
use crate::lock;
use crate::sqlite::fault::{Fault, reading};
use crate::topics::Topics;

/// Readers at work at the same time; more wait. A long list must not keep a single run from being shown.
const READERS: usize = 4;
/// A reader's share of the page cache.
const READER_CACHE_PART: usize = 8;

/// What all ports of one open store share.
pub(super) struct Core {
    pub(super) options: Options,
    pub(super) live: Arc<Topics>,
    pub(super) births: Births,
    pub(super) history: History,
    pub(super) full: Full,
    lags: Arc<AtomicBool>,
    writing: Writing,
    reading: Readers,
    letters: Mutex<BTreeMap<Shard, watch::Sender<()>>>,
    closed: watch::Sender<bool>,
}

/// What a writer tells the others when it begins.
pub(super) struct Known {
    pub(super) file: PathBuf,
    pub(super) counters: Counters,
    pub(super) full: Full,
    pub(super) lags: Arc<AtomicBool>,
}

impl Known {
    pub(super) fn by(writer: &Writer) -> Self {
        Self {
            file: writer.file.clone(),
            counters: writer.counters,
            full: Arc::clone(&writer.full),
            lags: Arc::clone(&writer.lags),
        }
    }
}

/// How work gets to the writer.
pub(super) enum Writing {
    /// At once, on the caller's thread.
    Inline(Mutex<Option<Box<Writer>>>),
    /// Through the committing thread's queue.
    Queue(mpsc::Sender<Order>),
}

/// What the committing thread is told.
pub(super) enum Order {
    /// Do this.
    Work(Box<dyn Work>),
    /// Come to an end, with or without folding the log into the file.
    Stop {
        /// Whether to fold.
        fold: bool,
    },
}

struct Readers {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Core {
    pub(super) fn new(
        options: Options,
        live: Arc<Topics>,
        writing: Writing,
        Known {
            file,
            counters,
            full,
            lags,
        }: Known,
    ) -> Self {
        Self {
            options,
            live,
            births: Births::new(counters.run),
            history: History::new(counters.registry),
            full,
            lags,
            writing,
            reading: Readers {
                file,
                idle: Mutex::default(),
                permits: Arc::new(Semaphore::new(READERS)),
            },
            letters: Mutex::default(),
            closed: watch::Sender::new(false),
        }
    }

    /// Does `work` in a transaction, then `announce`s it; answers when it is durable. When the caller goes away, it is
    /// done all the same. `work` may be tried twice.
    pub(super) async fn write<T, W, A>(&self, work: W, announce: A) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnMut(&mut Writer) -> Result<T, Fault> + Send + 'static,
        A: FnOnce(&T) + Send + 'static,
    {
        let (reply, outcome) = oneshot::channel();
        let task = Box::new(Task {
            work,
            announce,
            outcome: None,
            reply,
        });
        match &self.writing {
            Writing::Inline(writer) => match lock(writer).as_mut() {
                Some(writer) => writer.commit(vec![task]),
                None => return Err(closed()),
            },
            Writing::Queue(queue) => {
                let sent = queue.send(Order::Work(task)).await;
                sent.map_err(|_| closed())?;
            }
        }
        outcome.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Reads from one consistent state, which has in it everything that was answered before.
    pub(super) async fn read<T, R>(self: &Arc<Self>, read: R) -> Result<T, Error>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        if *self.closed.borrow() {
            return Err(closed());
        }
        if let Writing::Inline(writer) = &self.writing {
            let guard = lock(writer);
            let writer = guard.as_ref().ok_or_else(closed)?;
            return one_state(&writer.conn, read);
        }
        let seat = Arc::clone(&self.reading.permits).acquire_owned().await;
        let seat = seat.map_err(|_| closed())?;
        let core = Arc::clone(self);
        let thread = tokio::task::spawn_blocking(move || {
            // It reads on when its caller goes away, and so it keeps its seat.
            let _seat = seat;
            let conn = core.reading.take(&core.options).map_err(|e| reading(&e))?;
            let outcome = one_state(&conn, read);
            core.reading.put_back(conn);
            outcome
        });
        let broken = |e| Error::Unavailable(format!("the reading thread ended: {e}"));
        thread.await.map_err(broken)?
    }

    /// Lets lists show everything that was answered before.
    pub(super) async fn show(&self) -> Result<(), Error> {
        if !self.lags.load(Ordering::Acquire) {
            return Ok(());
        }
        self.write(|writer| Ok(writer.show()?), |()| ()).await
    }

    /// Looks at what is stored, where that is at hand on the caller's thread: the store is inline and open.
    pub(super) fn inline<T>(&self, look: impl FnOnce(&Connection) -> T) -> Option<T> {
        match &self.writing {
            Writing::Inline(writer) => lock(writer).as_ref().map(|writer| look(&writer.conn)),
            Writing::Queue(_) => None,
        }
    }

    /// Where a new message for a shard is told.
    pub(super) fn letters(&self, shard: Shard) -> watch::Sender<()> {
        let mut letters = lock(&self.letters);
        letters.entry(shard).or_default().clone()
    }

    /// Waits for something that others tell, but not longer than the store is open.
    pub(super) async fn wait<T>(&self, told: impl Future<Output = T>) -> Result<T, Error> {
        let mut ends = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = ends.wait_for(|closed| *closed) => Err(closed()),
            told = told => Ok(told),
        }
    }

    /// Takes no more work, and lets go of everybody who waits.
    pub(super) fn shut(&self) -> Option<Box<Writer>> {
        self.closed.send_replace(true);
        self.reading.permits.close();
        lock(&self.reading.idle).clear();
        match &self.writing {
            Writing::Inline(writer) => lock(writer).take(),
            Writing::Queue(_) => None,
        }
    }

    /// Tells the committing thread to end; it does what was handed in before.
    pub(super) fn stop(&self, fold: bool) {
        if let Writing::Queue(queue) = &self.writing {
            let mut order = Order::Stop { fold };
            // Called from threads that may be the runtime's own, so it must not wait inside the runtime.
            while let Err(mpsc::error::TrySendError::Full(back)) = queue.try_send(order) {
                order = back;
                std::thread::yield_now();
            }
        }
    }
}

impl Readers {
    fn take(&self, options: &Options) -> rusqlite::Result<Connection> {
        if let Some(conn) = lock(&self.idle).pop() {
            return Ok(conn);
        }
        schema::connect(Some(&self.file), options.cache_bytes / READER_CACHE_PART)
    }

    fn put_back(&self, conn: Connection) {
        if !self.permits.is_closed() {
            lock(&self.idle).push(conn);
        }
    }
}

fn one_state<T>(
    conn: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Error> {
    let transaction = conn.unchecked_transaction().map_err(|e| reading(&e))?;
    read(&transaction).map_err(Error::from)
}

fn closed() -> Error {
    Error::Unavailable("the store is closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Embedded;
    use super::*;
    use crate::clock::SystemRandom;
    use crate::conformance::HandClock;

    #[tokio::test]
    async fn a_reader_whose_caller_goes_away_keeps_its_seat_until_it_is_done() {
        let home = tempfile::tempdir().expect("a temporary folder");
        let options = Options::new(Arc::<HandClock>::default(), Arc::new(SystemRandom));
        let (_backend, handle) = Embedded::open(home.path(), options).expect("it is new");
        let (begun, has_begun) = oneshot::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let reading = handle.core.read(move |_| {
            let _ = begun.send(());
            let _ = may_go_on.recv();
            Ok(())
        });
        tokio::select! { biased;
            read = reading => panic!("nobody told it to go on: {read:?}"),
            begun = has_begun => begun.expect("it begins"),
        }
        let seats = &handle.core.reading.permits;
        assert_eq!(seats.available_permits(), READERS - 1, "it still reads");
        drop(go_on);
        let all = seats.acquire_many(u32::try_from(READERS).expect("a few"));
        drop(all.await.expect("it gives its seat back"));
        handle.close();
    }
}
