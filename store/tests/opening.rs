//! What a start refuses, how it says so, and that it changes nothing then.

#[path = "opening/backups.rs"]
mod backups;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::id::{Nonce, Shard, Tenant};
use engine::time::Timestamp;
use rusqlite::{Connection, params};
use store::clock::{Clock, SystemRandom};
use store::conformance::HandClock;
use store::conformance::sample::{Birth, Sample};
use store::port::{Expect, Message};
use store::{Backend, Embedded, Error, Handle, OpenError, Options};
use tempfile::TempDir;

struct Home {
    dir: TempDir,
    clock: Arc<HandClock>,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let clock = Arc::default();
        Self { dir, clock }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn file(&self) -> PathBuf {
        self.folder().join("mirastack.db")
    }

    fn open(&self) -> Result<(Backend, Handle), OpenError> {
        let clock = Arc::<HandClock>::clone(&self.clock);
        Embedded::open(&self.folder(), Options::new(clock, Arc::new(SystemRandom)))
    }

    /// A store with something in each table.
    async fn filled() -> Result<Self, Error> {
        let home = Self::new();
        let (backend, handle) = home.open().expect("it is new");
        let run = Sample::whole(&Birth::number(1));
        for (record, events) in &run.records {
            backend.journal.append(record, events).await?;
        }
        let tenant = Tenant::default();
        backend
            .keys
            .create(&tenant, "idem/1", b"value", Timestamp::MAX)
            .await?;
        backend
            .registry
            .put("hooks/default/alerts", b"value", Expect::Absent)
            .await?;
        let id = Nonce([1; 16]);
        let (key, body) = (run.key.clone(), b"value".to_vec());
        backend
            .inbox
            .send(Shard(0), &Message { id, key, body })
            .await?;
        handle.close();
        Ok(home)
    }

    /// Opens, and checks that a refusal leaves every byte of the data as it was.
    fn refused(&self) -> OpenError {
        let before = self.bytes();
        let refused = self.open().map(|_| ()).expect_err("it must be refused");
        assert!(self.bytes() == before, "the refusal changed the data");
        refused
    }

    fn bytes(&self) -> Vec<Vec<u8>> {
        let read = |name| fs::read(self.folder().join(name)).unwrap_or_default();
        vec![read("mirastack.db"), read("mirastack.db-wal")]
    }

    fn sql(&self, sql: &str) {
        let conn = Connection::open(self.file()).expect("it opens");
        conn.execute_batch(sql).expect("it can be done");
        let _ = conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }
}

fn is_damaged(refused: &OpenError, file: &Path, what: &str) {
    let OpenError::Damaged { path, what: found } = refused else {
        panic!("{refused:?} is not about damage");
    };
    assert_eq!(path, file);
    assert!(found.contains(what), "{found}");
    let text = refused.to_string();
    assert!(
        text.contains("mirastack.db") && text.contains("backup"),
        "{text}"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_second_start_is_refused_with_the_pid_of_the_first() {
    let home = Home::new();
    let (_backend, handle) = home.open().expect("it is new");
    let pid = std::process::id().to_string();
    let path = home.folder();
    assert_eq!(home.refused(), OpenError::InUse { path, pid });
    handle.close();
    home.open().expect("it is free");
}

#[tokio::test(flavor = "current_thread")]
async fn a_store_closes_with_its_last_user() -> Result<(), Error> {
    let home = Home::new();
    let (backend, handle) = home.open().expect("it is new");
    handle.close();
    let run = Sample::born(&Birth::number(1));
    let append = backend.journal.append(run.last().0, run.last().1).await;
    assert!(matches!(append, Err(Error::Unavailable(_))), "{append:?}");
    let read = backend.journal.read(&run.key, 0).await;
    assert!(matches!(read, Err(Error::Unavailable(_))), "{read:?}");
    let waits = backend.journal.new_runs(Shard(0), 0, 1).await;
    assert!(matches!(waits, Err(Error::Unavailable(_))), "{waits:?}");
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn newer_data_are_refused() -> Result<(), Error> {
    let home = Home::filled().await?;
    home.sql("PRAGMA user_version = 9");
    let path = home.file();
    let newer = OpenError::Newer {
        path,
        found: 9,
        known: 1,
    };
    assert_eq!(home.refused(), newer);
    assert!(
        newer.to_string().contains("run the version that wrote it"),
        "{newer}"
    );
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_file_of_somebody_else_is_refused() -> Result<(), Error> {
    let home = Home::filled().await?;
    home.sql("PRAGMA application_id = 7");
    is_damaged(&home.refused(), &home.file(), "no database of Mirastack");
    fs::write(
        home.file(),
        "a text that is longer than a header, and none".repeat(100),
    )
    .expect("ours");
    is_damaged(&home.refused(), &home.file(), "not a database");
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn what_the_database_reports_as_damage_stops_the_start() -> Result<(), Error> {
    let pages = fs::metadata(Home::filled().await?.file())
        .expect("it is there")
        .len()
        / 4_096;
    let mut refused = 0;
    for page in 1..pages {
        let home = Home::filled().await?;
        let mut bytes = fs::read(home.file()).expect("it is there");
        let at = usize::try_from(page * 4_096).expect("it fits");
        // The page's own header: what kind it is, and how many cells it has.
        bytes[at..at + 8].fill(0xff);
        fs::write(home.file(), &bytes).expect("ours");
        is_damaged(&home.refused(), &home.file(), "");
        refused += 1;
    }
    assert!(refused > 20, "{refused} pages");
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_damaged_key_message_or_item_stops_the_start_with_its_name() -> Result<(), Error> {
    let damages = [
        ("UPDATE key SET value = 'other'", "key default/idem/1"),
        ("UPDATE key SET expires = expires - 1", "key default/idem/1"),
        ("UPDATE key SET name = 'idem/2'", "key default/idem/2"),
        ("UPDATE inbox SET body = x'00'", "message of the inbox 1"),
        ("UPDATE inbox SET shard = 1", "message of the inbox 1"),
        (
            "UPDATE registry SET value = x'00'",
            "item of the registry hooks/default/alerts",
        ),
        (
            "UPDATE registry SET revision = 7",
            "item of the registry hooks/default/alerts",
        ),
        ("UPDATE key SET revision = -1", "key default/idem/1"),
        (
            "UPDATE key SET name = CAST(x'6964ff' AS TEXT)",
            "key default/id\u{fffd}",
        ),
        (
            "UPDATE registry SET revision = -1",
            "item of the registry hooks/default/alerts",
        ),
        (
            "UPDATE registry SET key = CAST(x'686fff' AS TEXT)",
            "item of the registry ho\u{fffd}",
        ),
        ("UPDATE counter SET run = 7", "counters"),
        ("DELETE FROM counter", "counters"),
    ];
    for (damage, named) in damages {
        let home = Home::filled().await?;
        home.sql(&damage.replace("'other'", "x'01'"));
        is_damaged(&home.refused(), &home.file(), named);
    }
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_damaged_run_does_not_stop_the_start() -> Result<(), Error> {
    let home = Home::filled().await?;
    home.sql("UPDATE run SET n = 9; UPDATE record SET bytes = x'00' WHERE n = 2");
    let (backend, _handle) = home.open().expect("the rest starts");
    let open = backend.journal.open_runs(Shard(0)).await?.runs;
    assert_eq!(open.len(), 1, "it is not known whether it ended: {open:?}");
    assert!(open[0].summary.is_err(), "{open:?}");
    let fresh = Sample::born(&Birth::number(2));
    backend
        .journal
        .append(fresh.last().0, fresh.last().1)
        .await?;
    Ok(())
}

/// The row's own key is damaged: its records still say whose it is.
#[tokio::test(flavor = "current_thread")]
async fn a_run_whose_row_names_another_is_found_by_its_records() -> Result<(), Error> {
    let home = Home::filled().await?;
    let conn = Connection::open(home.file()).expect("it opens");
    let another = Sample::born(&Birth {
        shard: Shard(3),
        ..Birth::number(9)
    })
    .key;
    conn.execute(
        "UPDATE run SET id = ?1, status = 1",
        params![another.run.as_bytes()],
    )
    .expect("it can be done");
    drop(conn);
    let (backend, _handle) = home.open().expect("the rest starts");
    let open = backend.journal.open_runs(Shard(0)).await?.runs;
    assert_eq!(open.len(), 1, "{open:?}");
    assert_eq!(open[0].key, Sample::born(&Birth::number(1)).key);
    assert!(open[0].summary.is_err(), "{open:?}");
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_clock_behind_the_newest_record_is_refused_with_both_times() -> Result<(), Error> {
    let newest = Sample::whole(&Birth::number(1)).last().0.at;
    for archived in [false, true] {
        let home = Home::filled().await?;
        if archived {
            let (backend, handle) = home.open().expect("it opens");
            let ended = backend.archive.ended(Timestamp::MAX, 10).await?;
            backend.archive.archive(&ended).await?;
            handle.close();
        }
        home.clock
            .set(Timestamp::from_millis(newest.millis() - 1_001));
        let refused = home.refused();
        let now = home.clock.now();
        assert_eq!(refused, OpenError::Clock { now, newest });
        assert!(refused.to_string().contains("unsafe clock"), "{refused}");
        home.clock
            .set(Timestamp::from_millis(newest.millis() - 1_000));
        home.open().expect("a second is no lie");
    }
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_damaged_time_of_a_run_is_no_unsafe_clock() -> Result<(), Error> {
    let far = "at = at + (1 << 50)";
    let damages = [
        format!("UPDATE run SET {far}"),
        format!("UPDATE run SET {far}, status = 1"),
        format!("UPDATE archive SET {far}"),
    ];
    for (archived, damage) in [false, false, true].into_iter().zip(damages) {
        let home = Home::filled().await?;
        if archived {
            let (backend, handle) = home.open().expect("it opens");
            let ended = backend.archive.ended(Timestamp::MAX, 10).await?;
            backend.archive.archive(&ended).await?;
            handle.close();
        }
        home.sql(&damage);
        let opened = home.open().map(|_| ());
        assert_eq!(opened, Ok(()), "{damage}");
    }
    Ok(())
}
