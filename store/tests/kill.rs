//! Whatever was acknowledged is there after a kill, a torn log and a failing disk.
//!
//! The tests start this test program anew as a child, which stores runs as fast as it can and prints each record that
//! was acknowledged.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use engine::event::RunStatus;
use engine::id::{RunId, RunKey, Shard, Tenant};
use rusqlite::Connection;
use store::clock::SystemRandom;
use store::conformance::HandClock;
use store::conformance::sample::{Birth, Sample};
use store::port::{Page, RunFilter, RunRow};
use store::{Backend, Embedded, Options};
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Where the child stores; set for the child only.
const FOLDER: &str = "MIRASTACK_STORE_TEST_FOLDER";
const WRITERS: u64 = 20;

/// Not a test by itself: what the child runs.
#[tokio::test(flavor = "current_thread")]
async fn child_that_stores() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let (backend, _handle) = Embedded::open(Path::new(&folder), options()).expect("it opens");
    let told = Arc::new(Mutex::new(std::io::stdout()));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (backend, told) = (backend.clone(), Arc::clone(&told));
        writers.spawn(async move {
            for round in 0..u64::MAX {
                store_one(&backend, round * WRITERS + writer, &told).await;
            }
        });
    }
    while writers.join_next().await.is_some() {}
}

async fn store_one(backend: &Backend, number: u64, told: &Mutex<std::io::Stdout>) {
    let mut birth = Birth::number(number % 5_000);
    birth.number = number;
    birth.labels = vec![("team", "a")];
    let mut run = Sample::born(&birth);
    run.start().next(RunStatus::Waiting, Vec::new());
    if !number.is_multiple_of(3) {
        run.start().end(None);
    }
    for (record, events) in &run.records {
        if backend.journal.append(record, events).await.is_err() {
            return;
        }
        let mut told = told.lock().expect("nobody panics with it");
        writeln!(
            told,
            "ack {} {} {}",
            record.key.run,
            record.n,
            record.hash()
        )
        .expect("somebody reads");
        told.flush().expect("somebody reads");
    }
}

fn options() -> Options {
    Options::new(Arc::<HandClock>::default(), Arc::new(SystemRandom))
}

/// The hash of each record that was acknowledged.
type Acknowledged = BTreeMap<(RunId, u64), String>;

fn scratch() -> TempDir {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary folder")
}

fn this_program() -> PathBuf {
    std::env::current_exe().expect("it runs")
}

fn start_child(mut command: Command, folder: &Path) -> Child {
    command
        .args(["child_that_stores", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts")
}

/// Reads what the child says until it ends; kills it after `kill_after` acknowledgements.
fn listen(child: &mut Child, kill_after: usize) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let said = BufReader::new(child.stdout.take().expect("it is piped"));
    for line in said.lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        // The last line may be torn.
        if let ["ack", run, n, hash] = words[..]
            && let (Ok(run), Ok(n), 64) = (run.parse(), n.parse(), hash.len())
        {
            acknowledged.insert((run, n), hash.to_owned());
            if acknowledged.len() == kill_after {
                child.kill().expect("it runs");
            }
        }
    }
    acknowledged
}

/// Stores until a kill after so many acknowledgements.
fn killed(folder: &Path, after: usize) -> Acknowledged {
    let mut child = start_child(Command::new(this_program()), folder);
    let acknowledged = listen(&mut child, after);
    let status = child.wait().expect("it ended");
    assert_eq!(status.signal(), Some(9), "it was killed");
    assert!(
        acknowledged.len() >= after,
        "{} acknowledged",
        acknowledged.len()
    );
    acknowledged
}

/// Opens what is left and checks that it agrees with itself: every run reads, and lists show what journals say.
async fn consistent(folder: &Path) -> BTreeMap<(RunId, u64), String> {
    let (backend, handle) = Embedded::open(folder, options()).expect("it opens");
    let mut stored = BTreeMap::new();
    for row in every_row(&backend).await {
        let key = RunKey {
            tenant: Tenant::default(),
            run: row.id,
        };
        let entries = backend.journal.read(&key, 0).await.expect("it is whole");
        let last = &entries.last().expect("a row has a run").record;
        assert_eq!((row.version, row.status), (last.n, last.summary.status));
        let hashes = entries
            .iter()
            .map(|entry| ((key.run, entry.record.n), entry.hash.to_string()));
        stored.extend(hashes);
    }
    for shard in 0..2 {
        let open = backend
            .journal
            .open_runs(Shard(shard))
            .await
            .expect("it opens");
        assert!(open.runs.iter().all(|run| run.summary.is_ok()), "{open:?}");
    }
    handle.close();
    stored
}

async fn every_row(backend: &Backend) -> Vec<RunRow> {
    let (mut rows, mut after) = (Vec::new(), None);
    loop {
        let page = Page {
            limit: 1_000,
            after,
        };
        let part = backend
            .views
            .runs(&Tenant::default(), &RunFilter::default(), &page)
            .await;
        let part = part.expect("it lists");
        rows.extend(part.items);
        after = part.next;
        if after.is_none() {
            return rows;
        }
    }
}

fn must_hold(stored: &Acknowledged, acknowledged: &Acknowledged) {
    let missing: Vec<_> = acknowledged
        .iter()
        .filter(|(place, hash)| stored.get(place) != Some(hash))
        .collect();
    assert!(missing.is_empty(), "acknowledged and lost: {missing:?}");
}

/// Numbers of a sequence that is the same each time.
fn seeded(seed: u64) -> u64 {
    seed.wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
        >> 33
}

#[tokio::test(flavor = "current_thread")]
async fn what_was_acknowledged_survives_kills() {
    let home = scratch();
    let folder = home.path().join("data");
    let mut all = Acknowledged::new();
    for seed in 0..8 {
        let after = usize::try_from(seeded(seed) % 1_500).expect("small") + 1;
        // Each child goes on in the folder of the one before; the runs that it meets again are refused to it.
        let folder = if seed % 2 == 0 {
            folder.clone()
        } else {
            home.path().join(seed.to_string())
        };
        let acknowledged = killed(&folder, after);
        let stored = consistent(&folder).await;
        must_hold(&stored, &acknowledged);
        if seed % 2 == 0 {
            all.extend(acknowledged);
            must_hold(&stored, &all);
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_torn_log_loses_its_end_and_nothing_else() {
    let home = scratch();
    let folder = home.path().join("data");
    let acknowledged = killed(&folder, 1_200);
    let log = folder.join("mirastack.db-wal");
    let length = std::fs::metadata(&log).expect("it has a log").len();
    assert!(length > 100_000, "the log has {length} bytes");
    let mut last = usize::MAX;
    for round in 0..12 {
        let torn = home.path().join(format!("torn{round}"));
        copy(&folder, &torn);
        // From the whole log down to nearly nothing, at offsets that are no page's.
        let keep = length * (12 - round) / 12;
        let keep = keep.saturating_sub(seeded(round) % 4_000 * round.min(1));
        tear(&torn.join("mirastack.db-wal"), keep, round);
        let stored = consistent(&torn).await;
        if round == 0 {
            must_hold(&stored, &acknowledged);
        }
        assert!(stored.len() <= last, "a shorter log tells more");
        last = stored.len();
        gapless(&torn);
    }
}

/// Cuts the log, or writes over its end what a disk may leave there.
fn tear(log: &Path, keep: u64, round: u64) {
    let mut bytes = std::fs::read(log).expect("it is there");
    let keep = usize::try_from(keep).expect("it fits");
    if round.is_multiple_of(2) {
        bytes.truncate(keep);
    } else {
        bytes[keep..].fill(0x5a);
    }
    std::fs::write(log, bytes).expect("it can be written");
}

/// What is left is a beginning of what was written: no record is missing between others.
fn gapless(folder: &Path) {
    let conn = Connection::open(folder.join("mirastack.db")).expect("it opens");
    let count = |sql: &str| {
        conn.query_row(sql, [], |row| row.get::<_, i64>(0))
            .expect("it counts")
    };
    assert_eq!(
        count("SELECT count(*) FROM record"),
        count("SELECT coalesce(max(pos), 0) FROM record")
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("it is new");
    std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700))
        .expect("it is ours");
    for name in ["mirastack.db", "mirastack.db-wal"] {
        std::fs::copy(from.join(name), to.join(name)).expect("it is there");
    }
}

/// A file that may not grow is what a test can do to a disk without being root: the write fails with `EFBIG`.
#[tokio::test(flavor = "current_thread")]
async fn a_disk_that_fails_ends_the_process() {
    let home = scratch();
    let folder = home.path().join("data");
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 3000; exec \"$0\" \"$@\""])
        .arg(this_program());
    let mut child = start_child(limited, &folder);
    let acknowledged = listen(&mut child, usize::MAX);
    let status = child.wait().expect("it ended");
    assert_eq!(status.signal(), Some(6), "it ended itself: {status:?}");
    assert!(
        acknowledged.len() > 100,
        "{} acknowledged",
        acknowledged.len()
    );
    must_hold(&consistent(&folder).await, &acknowledged);
}
