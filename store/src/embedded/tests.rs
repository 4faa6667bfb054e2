//! What needs a hand inside: a full disk, a disk that fails, work that cannot be done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::event::{ApprovalState, RunStatus};
use engine::id::Tenant;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rusqlite::StatementStatus;

use super::*;
use crate::Error;
use crate::clock::SystemRandom;
use crate::conformance::HandClock;
use crate::conformance::sample::{Birth, Sample, Terms};
use crate::port::{ApprovalFilter, ApprovalRow, Page, RunFilter, RunRow};

fn options() -> Options {
    Options::new(Arc::<HandClock>::default(), Arc::new(SystemRandom))
}

fn open() -> (Backend, Handle) {
    Embedded::inline(Place::Memory, options()).expect("it is new")
}

async fn store(backend: &Backend, number: u64) -> Result<(), Error> {
    let run = Sample::born(&Birth::number(number));
    let (record, events) = run.last();
    backend.journal.append(record, events).await.map(|_| ())
}

/// Lets the file have so many pages more than it has, as a disk with so much room would.
async fn room(handle: &Handle, pages: i64) {
    let work = move |writer: &mut Writer| {
        let have: i64 = writer
            .conn
            .pragma_query_value(None, "page_count", |row| row.get(0))?;
        let limit = format!("PRAGMA max_page_count = {}", have + pages);
        writer.conn.query_row(&limit, [], |_| Ok(()))?;
        Ok(())
    };
    handle
        .core
        .write(work, |()| ())
        .await
        .expect("it can be set");
}

#[tokio::test(flavor = "current_thread")]
async fn a_full_disk_refuses_and_recovers_by_itself() -> Result<(), Error> {
    let (backend, handle) = open();
    room(&handle, 20).await;
    let mut stored = 0;
    let full = loop {
        match store(&backend, stored).await {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    let Error::Unavailable(what) = &full else {
        panic!("{full:?}");
    };
    assert!(what.contains("is full"), "{what}");
    assert!(stored > 10, "{stored}");
    let refused = Sample::born(&Birth::number(stored));
    assert_eq!(backend.journal.read(&refused.key, 0).await?, []);
    for number in 0..stored {
        let key = Sample::born(&Birth::number(number)).key;
        assert_eq!(backend.journal.read(&key, 0).await?.len(), 1);
    }
    room(&handle, 1_000).await;
    for number in stored..stored + 50 {
        store(&backend, number).await?;
    }
    let open = backend.journal.open_runs(engine::id::Shard(0)).await?;
    assert_eq!(
        open.sequence,
        stored + 50,
        "no sequence was lost to the full disk"
    );
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_disk_that_fails_is_fatal_and_nothing_is_written_after_it() {
    let told = Arc::new(AtomicUsize::new(0));
    let mut options = options();
    let count = Arc::clone(&told);
    options.fatal = Arc::new(move |why| {
        assert!(why.contains("the disk failed"), "{why}");
        count.fetch_add(1, Ordering::Relaxed);
    });
    let (backend, handle) = Embedded::inline(Place::Memory, options).expect("it is new");
    let work = |_: &mut Writer| -> Result<(), crate::sqlite::fault::Fault> {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        Err(rusqlite::Error::SqliteFailure(code, None).into())
    };
    let failed = handle.core.write(work, |()| ()).await;
    assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
    assert_eq!(told.load(Ordering::Relaxed), 1);
    let after = store(&backend, 1).await;
    assert!(matches!(after, Err(Error::Unavailable(_))), "{after:?}");
}

/// Two pieces of work in one transaction, of which the second cannot be done.
#[tokio::test(flavor = "current_thread")]
async fn work_that_cannot_be_done_takes_no_other_along() -> Result<(), Error> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (backend, handle) = Embedded::open(home.path(), options()).expect("it is new");
    let wrong = |writer: &mut Writer| -> Result<(), crate::sqlite::fault::Fault> {
        writer
            .conn
            .execute("INSERT INTO counter (one) VALUES (2)", [])?;
        Ok(())
    };
    for number in 0..20 {
        // What was undone is done again: nothing of the first try may be remembered.
        let run = Sample::whole(&Birth::number(number));
        for (record, events) in &run.records[..2] {
            let append = backend.journal.append(record, events);
            let (stored, failed) = futures::join!(append, handle.core.write(wrong, |()| ()));
            stored?;
            assert!(matches!(failed, Err(Error::Unavailable(_))), "{failed:?}");
        }
    }
    let open = backend.journal.open_runs(engine::id::Shard(0)).await?;
    assert_eq!((open.runs.len(), open.sequence), (20, 20));
    handle.close();
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn the_log_stays_short_while_much_is_written() -> Result<(), Error> {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (backend, handle) = Embedded::open(home.path(), options()).expect("it is new");
    let log = home.path().join("mirastack.db-wal");
    let large = vec![7; 1024 * 1024];
    let key = Sample::born(&Birth::number(1)).key;
    let mut longest = 0;
    for number in 0..100_u8 {
        let mut bytes = large.clone();
        bytes[0] = number;
        backend
            .blobs
            .put(&key, engine::digest::Digest::of(&bytes), &bytes)
            .await?;
        longest = longest.max(std::fs::metadata(&log).map_or(0, |file| file.len()));
    }
    assert!(longest < 40 * 1024 * 1024, "the log had {longest} bytes");
    handle.close();
    assert_eq!(
        std::fs::metadata(&log).map_or(0, |file| file.len()),
        0,
        "it is folded"
    );
    Ok(())
}

#[test]
fn a_statement_is_planned_once_whatever_it_is_bound_to() {
    let writer = writer(None, &options()).expect("it is new");
    let sql = "SELECT seq FROM inbox WHERE shard = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
    let mut statement = writer.conn.prepare(sql).expect("it is right");
    for n in 0..3 {
        let none = statement.exists((n, n, n)).expect("it is right");
        assert!(!none);
    }
    let planned_again = statement.get_status(StatementStatus::RePrepare);
    assert_eq!(planned_again, 0);
}

/// Damages rows as a bad disk would.
async fn sql(handle: &Handle, sql: &'static str) {
    let work = move |writer: &mut Writer| {
        writer.show()?;
        Ok(writer.conn.execute_batch(sql)?)
    };
    handle.core.write(work, |()| ()).await.expect("it is done");
}

#[tokio::test(flavor = "current_thread")]
async fn a_damaged_row_of_the_deliveries_is_left_out_and_that_is_said() -> Result<(), Error> {
    let (backend, handle) = open();
    for number in 1..=3 {
        let mut run = Sample::born(&Birth {
            hook: Some(("alerts", format!("delivery-{number}"))),
            ..Birth::number(number)
        });
        run.start();
        for (record, events) in &run.records {
            backend.journal.append(record, events).await?;
        }
    }
    sql(
        &handle,
        "UPDATE view_run SET id = x'00' WHERE delivery = 'delivery-3'",
    )
    .await;
    let tenant = engine::id::Tenant::default();
    for (limit, found) in [(1, 1), (9, 2)] {
        let page = Page { limit, after: None };
        let part = backend.views.deliveries(&tenant, "alerts", &page).await?;
        assert_eq!((part.items.len(), part.incomplete), (found, true));
        assert_eq!(part.items[0].id, "delivery-2");
    }
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_damaged_row_of_a_list_is_left_out_and_that_is_said() -> Result<(), Error> {
    let (backend, handle) = open();
    for number in 1..=3 {
        let mut run = Sample::born(&Birth::number(number));
        run.start().ask(1, &Terms::default());
        for (record, events) in &run.records {
            backend.journal.append(record, events).await?;
        }
    }
    sql(
        &handle,
        "UPDATE view_run SET requester = '?' WHERE id = (SELECT max(id) FROM view_run)",
    )
    .await;
    sql(
        &handle,
        "UPDATE view_approval SET requester = '?' WHERE run = (SELECT max(run) FROM view_approval)",
    )
    .await;
    let (tenant, mut after, mut runs) = (engine::id::Tenant::default(), None, Vec::new());
    let mut incomplete = 0;
    loop {
        let page = Page { limit: 1, after };
        let filter = RunFilter::default();
        let part = backend.views.runs(&tenant, &filter, &page).await?;
        incomplete += u32::from(part.incomplete);
        runs.extend(part.items.into_iter().map(|row| row.id));
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    let key = |number| Sample::born(&Birth::number(number)).key.run;
    assert_eq!((runs, incomplete), (vec![key(2), key(1)], 1));
    for (limit, found) in [(1, vec![key(2)]), (9, vec![key(2), key(1)])] {
        let page = Page { limit, after: None };
        let filter = ApprovalFilter::default();
        let part = backend.views.approvals(&tenant, &filter, &page).await?;
        let runs: Vec<_> = part.items.iter().map(|row| row.id.run).collect();
        assert_eq!((runs, part.incomplete), (found, true));
    }
    Ok(())
}

/// One store that shows each record in the lists at once, and one that lags, crashes and fails: their lists are the same.
#[tokio::test(flavor = "current_thread")]
async fn lists_that_lag_catch_up_whatever_happens() -> Result<(), Error> {
    let mut random = StdRng::seed_from_u64(4);
    let (at_once, _open) = open();
    let (mut lagging, mut handle) = open();
    let (mut runs, mut born) = (Vec::<Sample>::new(), 0);
    for round in 0..8_000 {
        let chosen = random.random_range(0..12);
        if let Some(run) = runs.get_mut(chosen) {
            walk(run, &mut random);
        } else {
            born += 1;
            let labels = vec![("team", "payments")];
            runs.push(Sample::born(&Birth {
                labels,
                ..Birth::number(born)
            }));
        }
        let run = &runs[chosen.min(runs.len() - 1)];
        let (record, events) = run.last();
        at_once.journal.append(record, events).await?;
        lagging.journal.append(record, events).await?;
        let last = rows(&at_once, 1).await?;
        runs.retain(|run| !run.last().0.summary.status.is_end());
        match random.random_range(0..400) {
            0 => assert_eq!(rows(&lagging, 1).await?, last, "round {round}"),
            1 => (lagging, handle) = handle.restart(options()).expect("it opens"),
            2 => {
                let undone = |writer: &mut Writer| -> Result<(), crate::sqlite::fault::Fault> {
                    writer.show()?;
                    Err(rusqlite::Error::InvalidQuery.into())
                };
                let failed = handle.core.write(undone, |()| ()).await;
                assert!(failed.is_err(), "{failed:?}");
            }
            _ => {}
        }
    }
    let all = usize::try_from(born).expect("few");
    assert_eq!(rows(&lagging, all).await?, rows(&at_once, all).await?);
    let asked = approvals(&at_once).await?;
    assert_eq!(approvals(&lagging).await?, asked);
    assert!(all > 1_000 && asked.len() > 500, "{all} {}", asked.len());
    Ok(())
}

/// The next record of a run: any that changes its row or its approvals, or neither.
fn walk(run: &mut Sample, random: &mut StdRng) {
    let n = u32::try_from(run.records.len()).expect("few");
    match random.random_range(0..12) {
        0 | 1 => run.start(),
        2 => run.next(RunStatus::Running, Vec::new()),
        3 => run.next(RunStatus::Waiting, Vec::new()),
        4 | 5 => run.ask(n, &Terms::default()),
        6 => run.close(ApprovalState::Approved),
        7 => run.next(RunStatus::Parked, Vec::new()),
        8 => run.end(Some("timeout")),
        _ => run.end(None),
    };
}

async fn rows(backend: &Backend, max: usize) -> Result<Vec<RunRow>, Error> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = Page {
            limit: max.min(1_000),
            after,
        };
        let filter = RunFilter::default();
        let part = backend
            .views
            .runs(&Tenant::default(), &filter, &page)
            .await?;
        assert!(!part.incomplete);
        rows.extend(part.items);
        after = part.next;
        if after.is_none() || rows.len() >= max {
            return Ok(rows);
        }
    }
}

async fn approvals(backend: &Backend) -> Result<Vec<ApprovalRow>, Error> {
    let page = Page {
        limit: 1_000,
        after: None,
    };
    let filter = ApprovalFilter::default();
    let part = backend
        .views
        .approvals(&Tenant::default(), &filter, &page)
        .await?;
    Ok(part.items)
}

#[tokio::test(flavor = "current_thread")]
async fn rows_that_wait_to_be_written_are_bounded() -> Result<(), Error> {
    let (backend, handle) = open();
    for number in 0..5_000 {
        store(&backend, number).await?;
        let count = |conn: &Connection| {
            let sql = "SELECT count(*) FROM view_run";
            conn.query_row(sql, [], |row| row.get::<_, u64>(0))
        };
        let written = handle.core.inline(count).expect("it is open");
        let waiting = number + 1 - written.expect("it can be counted");
        assert!(waiting <= 2_048, "{waiting} of {number}");
    }
    Ok(())
}

/// Where lists cannot catch up, they say so, and show what there is.
#[tokio::test(flavor = "current_thread")]
async fn lists_are_shown_on_a_full_disk() -> Result<(), Error> {
    let (backend, handle) = open();
    store(&backend, 1).await?;
    assert_eq!(rows(&backend, 9).await?.len(), 1);
    for number in 2..200 {
        store(&backend, number).await?;
    }
    room(&handle, 0).await;
    let page = Page {
        limit: 9,
        after: None,
    };
    let filter = RunFilter::default();
    let part = backend
        .views
        .runs(&Tenant::default(), &filter, &page)
        .await?;
    assert_eq!((part.items.len(), part.incomplete), (1, true));
    room(&handle, 1_000).await;
    assert_eq!(rows(&backend, 200).await?.len(), 199);
    Ok(())
}
