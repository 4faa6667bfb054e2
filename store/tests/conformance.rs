//! The embedded backend keeps every promise, in both of its forms; and each promise's case fails when it is broken.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use engine::id::RunKey;
use rusqlite::{Connection, params};
use store::conformance::broken::every_defect;
use store::conformance::{
    Broken, CountingRandom, Damage, HandClock, Hands, World, check, every_case,
};
use store::{Backend, Embedded, Handle, Options, Place};
use tempfile::TempDir;

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn the_inline_form_keeps_every_promise() {
    check(async || inline()).await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn the_inline_form_in_a_folder_keeps_every_promise() {
    check(async || inline_in_folder()).await;
}

/// Time is not paused here: the committing thread is outside of the runtime.
#[tokio::test(flavor = "current_thread")]
async fn the_threaded_form_keeps_every_promise() {
    check(async || threaded()).await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn each_promise_that_is_broken_is_found_by_its_case() {
    let cases = every_case();
    let mut unnoticed = Vec::new();
    for defect in every_defect() {
        let case = cases.iter().find(|case| case.name == defect.case);
        let case = case.unwrap_or_else(|| panic!("no case is called {}", defect.case));
        let world = inline_in_folder().wrapped(defect.wrap);
        match case.run(world).await {
            Ok(()) => unnoticed.push(format!("{} passes with {}", defect.case, defect.name)),
            Err(Broken(what)) => println!("{}: {} ({what:.100})", defect.case, defect.name),
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

#[test]
fn each_case_has_a_defect_that_it_finds() {
    let defects = every_defect();
    let cases = every_case();
    let bare: Vec<_> = cases
        .iter()
        .map(|case| case.name)
        .filter(|name| !defects.iter().any(|defect| defect.case == *name))
        .collect();
    assert!(bare.is_empty(), "no wrapper breaks {bare:?}");
}

#[test]
fn a_failed_case_says_what_failed() {
    let Broken(what) = store::Error::Conflict("x".to_owned()).into();
    assert_eq!(what, "a call was answered: not as expected: x");
}

fn options(clock: &Arc<HandClock>) -> Options {
    let clock = Arc::clone(clock);
    Options::new(clock, Arc::new(CountingRandom::default()))
}

fn inline() -> World {
    world(None, |_, options| Embedded::inline(Place::Memory, options))
}

fn inline_in_folder() -> World {
    let dir = scratch();
    world(Some(dir), |path, options| {
        Embedded::inline(Place::Folder(path), options)
    })
}

fn threaded() -> World {
    let dir = scratch();
    world(Some(dir), |path, options| Embedded::open(&path, options))
}

/// A folder in memory, where the machine has one: these tests write a lot, and prove nothing about disks.
fn scratch() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary folder")
}

type Opened = Result<(Backend, Handle), store::OpenError>;

fn world(dir: Option<TempDir>, open: fn(PathBuf, Options) -> Opened) -> World {
    let clock = Arc::<HandClock>::default();
    let path = dir.as_ref().map(|dir| dir.path().join("data"));
    let (backend, handle) =
        open(path.unwrap_or_default(), options(&clock)).expect("a fresh store opens");
    let hands = Ours {
        dir,
        handle: Some(handle),
        clock: Arc::clone(&clock),
        random: Arc::new(CountingRandom::default()),
    };
    World::new(backend, clock, Box::new(hands))
}

struct Ours {
    dir: Option<TempDir>,
    handle: Option<Handle>,
    clock: Arc<HandClock>,
    random: Arc<CountingRandom>,
}

#[async_trait(?Send)]
impl Hands for Ours {
    async fn restart(&mut self) -> Backend {
        // Another process draws other numbers.
        store::clock::Random::bits(&*self.random);
        let mut options = options(&self.clock);
        options.random = Arc::<CountingRandom>::clone(&self.random);
        let handle = self.handle.take().expect("it was opened");
        let (backend, handle) = handle.restart(options).expect("it opens again");
        self.handle = Some(handle);
        backend
    }

    fn damage(&mut self, what: &Damage) -> bool {
        let Some(dir) = &self.dir else {
            return false;
        };
        let file = dir.path().join("data/mirastack.db");
        let conn = Connection::open(file).expect("the file is there");
        damage(&conn, what).expect("it can be damaged") == 1
    }
}

fn damage(conn: &Connection, what: &Damage) -> rusqlite::Result<usize> {
    let of_run = |key: &RunKey| params_of(key);
    let flip = |conn: &Connection, table: &str, column: &str, seq: i64| {
        let sql = format!("SELECT {column} FROM {table} WHERE rowid = ?1");
        let mut bytes: Vec<u8> = conn.query_row(&sql, [seq], |row| row.get(0))?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        let sql = format!("UPDATE {table} SET {column} = ?2 WHERE rowid = ?1");
        conn.execute(&sql, params![seq, bytes])
    };
    let record = "SELECT pos FROM record JOIN run ON run.seq = record.run
        WHERE run.tenant = ?1 AND run.id = ?2 AND record.n = ?3";
    match what {
        Damage::Record(key, n) => {
            let (tenant, id) = of_run(key);
            let pos = conn.query_row(record, params![tenant, id, n], |row| row.get(0))?;
            flip(conn, "record", "bytes", pos)
        }
        Damage::NoRecord(key, n) => {
            let (tenant, id) = of_run(key);
            let pos: i64 = conn.query_row(record, params![tenant, id, n], |row| row.get(0))?;
            conn.execute("DELETE FROM record WHERE pos = ?1", [pos])
        }
        Damage::Head(key) => {
            let (tenant, id) = of_run(key);
            let sql = "UPDATE run SET status = 3 + (status = 3) WHERE tenant = ?1 AND id = ?2";
            conn.execute(sql, params![tenant, id])
        }
        Damage::Archived(key) => {
            let (tenant, id) = of_run(key);
            let sql = "SELECT seq FROM archive WHERE tenant = ?1 AND id = ?2";
            let seq = conn.query_row(sql, params![tenant, id], |row| row.get(0))?;
            flip(conn, "archive", "body", seq)
        }
        Damage::Blob(key, digest) => {
            let (tenant, id) = of_run(key);
            let sql = "SELECT seq FROM blob WHERE tenant = ?1 AND id = ?2 AND digest = ?3";
            let named = params![tenant, id, digest.as_bytes()];
            let seq = conn.query_row(sql, named, |row| row.get(0))?;
            flip(conn, "blob", "bytes", seq)
        }
    }
}

fn params_of(key: &RunKey) -> (String, Vec<u8>) {
    (key.tenant.to_string(), key.run.as_bytes().to_vec())
}
