//! Rows that are durable before anybody goes on: one thread, one transaction for all that wait.

use std::path::Path;
use std::thread;

use anyhow::Context as _;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

/// How many rows wait at most.
const WAITING: usize = 10_000;
/// How many rows one transaction takes at most.
const BATCH: usize = 1_024;

/// Where rows are handed in.
#[derive(Clone)]
pub(super) struct Rows {
    sender: mpsc::Sender<Row>,
}

struct Row {
    run: u64,
    step: u32,
    body: Vec<u8>,
    durable: oneshot::Sender<()>,
}

impl Rows {
    /// Opens a fresh database in the folder, with an fsync for each transaction.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("making the folder {}", folder.display()))?;
        let file = folder.join("floor.sqlite");
        let conn =
            Connection::open(&file).with_context(|| format!("opening {}", file.display()))?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.execute_batch(
            "CREATE TABLE row (run INTEGER, step INTEGER, body BLOB, PRIMARY KEY (run, step)) WITHOUT ROWID",
        )?;
        let (sender, receiver) = mpsc::channel(WAITING);
        thread::Builder::new()
            .name("rows".to_owned())
            .spawn(move || keep(&conn, receiver))
            .context("starting the thread that writes")?;
        Ok(Self { sender })
    }

    /// Answers when the row is durable.
    ///
    /// # Errors
    /// It could not be written.
    pub(super) async fn keep(&self, run: u64, step: u32, body: Vec<u8>) -> anyhow::Result<()> {
        let (durable, told) = oneshot::channel();
        let row = Row {
            run,
            step,
            body,
            durable,
        };
        self.sender.send(row).await.ok().context("nobody writes")?;
        told.await.context("the row was not written")
    }
}

fn keep(conn: &Connection, mut receiver: mpsc::Receiver<Row>) {
    let mut batch = Vec::with_capacity(BATCH);
    while receiver.blocking_recv_many(&mut batch, BATCH) > 0 {
        if let Err(error) = write(conn, &batch) {
            // Whoever waits for these rows sees that they are gone.
            eprintln!("loadtest: the floor cannot write: {error}");
            batch.clear();
            continue;
        }
        for row in batch.drain(..) {
            // Nobody may wait any more.
            let _ = row.durable.send(());
        }
    }
}

fn write(conn: &Connection, batch: &[Row]) -> rusqlite::Result<()> {
    let transaction = conn.unchecked_transaction()?;
    {
        let mut insert =
            transaction.prepare_cached("INSERT INTO row (run, step, body) VALUES (?1, ?2, ?3)")?;
        for row in batch {
            insert.execute((row.run, row.step, &row.body))?;
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::Rows;

    #[tokio::test]
    async fn a_row_that_is_told_durable_is_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let rows = Rows::open(folder.path()).expect("opens");
        rows.keep(7, 0, b"in".to_vec()).await.expect("written");
        rows.keep(7, 1, b"out".to_vec()).await.expect("written");
        let reader =
            rusqlite::Connection::open(folder.path().join("floor.sqlite")).expect("opens again");
        let found: Vec<(u64, u32, Vec<u8>)> = reader
            .prepare("SELECT run, step, body FROM row ORDER BY run, step")
            .and_then(|mut rows| {
                rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                    .collect()
            })
            .expect("readable");
        assert_eq!(found, [(7, 0, b"in".to_vec()), (7, 1, b"out".to_vec())]);
        assert!(
            rows.keep(7, 1, Vec::new()).await.is_err(),
            "what is not written is not told durable"
        );
    }
}
