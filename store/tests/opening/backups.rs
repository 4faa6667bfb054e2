//! What a backup keeps, and what a restore refuses.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::command::Command;
use engine::id::{Nonce, Shard, Tenant};
use engine::principal::Principal;
use engine::time::Timestamp;
use rusqlite::Connection;
use store::clock::{Clock, SystemRandom};
use store::conformance::HandClock;
use store::conformance::sample::{Birth, Sample};
use store::embedded::{BackupError, OpenError, Restoring, back_up};
use store::port::{Expect, Message};
use store::{Error, Options};

use super::Home;

/// Data, and a backup of it.
struct Kept {
    home: Home,
    file: PathBuf,
}

impl Kept {
    async fn new() -> Result<Self, Error> {
        let home = Home::filled().await?;
        let file = home.dir.path().join("monday.backup");
        back_up(&home.folder(), &file, home.clock.now()).expect("it can be read");
        Ok(Self { home, file })
    }

    fn target(&self) -> PathBuf {
        self.home.dir.path().join("restored")
    }

    fn options(&self) -> Options {
        let clock = Arc::<HandClock>::clone(&self.home.clock);
        Options::new(clock, Arc::new(SystemRandom))
    }

    fn begin(&self) -> Result<Restoring, BackupError> {
        Restoring::begin(&self.file, &self.target(), self.options())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> = entries
        .map(|e| {
            e.expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "current_thread")]
async fn everything_is_there_again_and_no_number_is_given_twice() -> Result<(), Error> {
    let kept = Kept::new().await?;
    let mode = fs::metadata(&kept.file).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let restoring = kept.begin().expect("whole");
    assert_eq!(restoring.damaged, []);
    restoring.end().expect("it can be moved");
    assert_eq!(names(&kept.target()), ["lock", "mirastack.db"]);

    let (before, old) = kept.home.open().expect("the old one");
    let (after, new) = store::Embedded::open(&kept.target(), kept.options()).expect("the new one");
    let run = Sample::whole(&Birth::number(1)).key;
    assert_eq!(
        after.journal.read(&run, 0).await?,
        before.journal.read(&run, 0).await?
    );
    let tenant = Tenant::default();
    let now = kept.home.clock.now();
    assert_eq!(
        after.keys.get(&tenant, "idem/1", now).await?,
        before.keys.get(&tenant, "idem/1", now).await?
    );
    assert_eq!(
        after.inbox.receive(Shard(0), 0, 10).await?,
        before.inbox.receive(Shard(0), 0, 10).await?
    );
    for number in 0..100 {
        let lost = before
            .registry
            .put(&format!("lost/{number}"), b"", Expect::Absent)
            .await?;
        let here = after
            .registry
            .put(&format!("here/{number}"), b"", Expect::Absent)
            .await?;
        assert!(
            here > lost + 1_000_000,
            "{here} may have meant something else"
        );
    }
    old.close();
    new.close();
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_backup_that_was_changed_anywhere_or_cut_off_writes_nothing() -> Result<(), Error> {
    let kept = Kept::new().await?;
    let whole = fs::read(&kept.file).expect("made");
    let step = whole.len() / 200 + 1;
    for at in (0..whole.len()).step_by(step) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        for bytes in [&changed[..], &whole[..at]] {
            fs::write(&kept.file, bytes).expect("writable");
            let refused = kept.begin().expect_err("it is damaged");
            assert!(
                matches!(refused, BackupError::Damaged { .. }),
                "byte {at}: {refused}"
            );
            assert!(refused.to_string().contains("monday.backup"), "{refused}");
            assert!(!kept.target().exists(), "byte {at}: something was written");
        }
    }
    fs::write(&kept.file, &whole).expect("writable");
    kept.begin().expect("it is whole again");
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_restore_goes_into_an_empty_folder_only_and_a_backup_into_a_new_file() -> Result<(), Error>
{
    let kept = Kept::new().await?;
    let closed = fs::DirBuilder::new().mode(0o700).create(kept.target());
    closed.expect("writable");
    fs::write(kept.target().join("root.key"), "x").expect("writable");
    fs::write(kept.target().join("theirs"), "x").expect("writable");
    let refused = kept.begin().expect_err("it is not empty");
    let (path, found) = (kept.target(), "theirs".to_owned());
    assert_eq!(refused, BackupError::NotEmpty { path, found });
    assert_eq!(names(&kept.target()), ["root.key", "theirs"]);
    fs::remove_file(kept.target().join("theirs")).expect("writable");
    kept.begin()
        .expect("the key may be there")
        .end()
        .expect("whole");
    assert!(kept.begin().is_err(), "now it holds data");

    let again = back_up(&kept.home.folder(), &kept.file, kept.home.clock.now());
    let path = kept.file.clone();
    assert_eq!(again, Err(BackupError::Exists { path }));
    let nowhere = kept.home.dir.path().join("nowhere");
    let nothing = back_up(&nowhere, &nowhere, kept.home.clock.now());
    assert_eq!(nothing, Err(BackupError::NoData { path: nowhere }));
    assert_eq!(
        names(kept.home.dir.path()),
        ["data", "monday.backup", "restored"]
    );
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn half_a_restore_is_not_taken_for_data() -> Result<(), Error> {
    let kept = Kept::new().await?;
    let half = kept.begin().expect("whole");
    drop(half);
    let path = kept.target();
    let refused = store::Embedded::open(&path, kept.options()).map(|_| ());
    assert_eq!(refused, Err(OpenError::HalfRestored { path }));
    Ok(())
}

/// Somebody who reads the data keeps its log from being folded, as a disk without room does.
#[tokio::test(flavor = "current_thread")]
async fn a_restore_whose_last_writes_are_not_in_the_file_is_none() -> Result<(), Error> {
    let kept = Kept::new().await?;
    let restoring = kept.begin().expect("whole");
    let file = kept.target().join("restoring").join("mirastack.db");
    let reader = Connection::open(file).expect("it is there");
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM run")
        .expect("it can be read");
    restoring.end().expect_err("the log is not empty");
    let path = kept.target();
    let refused = store::Embedded::open(&path, kept.options()).map(|_| ());
    assert_eq!(refused, Err(OpenError::HalfRestored { path }));
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_restore_that_is_given_up_leaves_the_folder_as_it_was() -> Result<(), Error> {
    let kept = Kept::new().await?;
    kept.begin().expect("whole").undo();
    assert_eq!(names(&kept.target()), ["lock"]);
    kept.begin().expect("it can be tried again");
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn what_let_runs_go_on_before_the_backup_lets_none_go_on_after_the_restore()
-> Result<(), Error> {
    let home = Home::filled().await?;
    let (backend, handle) = home.open().expect("it is there");
    let key = Sample::whole(&Birth::number(1)).key;
    let who: Principal = "user:erik".parse().expect("a name");
    let resolve = Command::Resolve {
        step: "a".to_owned(),
        done: false,
        output: None,
        comment: "looked".to_owned(),
        who: who.clone(),
        attempt: None,
    };
    let cancel = Command::Cancel {
        who: who.clone(),
        reason: None,
        if_unchanged: false,
    };
    let resume = Command::Resume { who };
    for (number, command) in (2..).zip([resume, resolve, cancel]) {
        let message = Message {
            id: Nonce([number; 16]),
            key: key.clone(),
            body: minicbor::to_vec(command).expect("it can be encoded"),
        };
        backend.inbox.send(Shard(0), &message).await?;
    }
    handle.close();
    let file = home.dir.path().join("tuesday.backup");
    back_up(&home.folder(), &file, home.clock.now()).expect("it can be read");
    let kept = Kept { home, file };
    kept.begin().expect("whole").end().expect("moved");
    let (backend, handle) = store::Embedded::open(&kept.target(), kept.options()).expect("there");
    let left = backend.inbox.receive(Shard(0), 0, 10).await?;
    let ids: Vec<u8> = left.iter().map(|(_, message)| message.id.0[0]).collect();
    assert_eq!(ids, [1, 4], "a cancel is still meant");
    handle.close();
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn data_that_was_damaged_before_is_told_by_the_name_of_its_run() -> Result<(), Error> {
    let home = Home::filled().await?;
    home.sql("UPDATE record SET bytes = zeroblob(length(bytes)) WHERE n = 2");
    let file = home.dir.path().join("monday.backup");
    back_up(&home.folder(), &file, home.clock.now()).expect("it can be read");
    let kept = Kept { home, file };
    let restoring = kept.begin().expect("the rest is good");
    let run = Sample::whole(&Birth::number(1)).key;
    assert_eq!(restoring.damaged.len(), 1);
    assert_eq!(restoring.damaged[0].0, run);

    kept.home
        .sql("UPDATE registry SET value = zeroblob(length(value))");
    let file = kept.home.dir.path().join("tuesday.backup");
    back_up(&kept.home.folder(), &file, kept.home.clock.now()).expect("it can be read");
    let target = kept.home.dir.path().join("other");
    let refused = Restoring::begin(&file, &target, kept.options()).expect_err("damaged");
    assert!(
        matches!(refused, BackupError::Open(OpenError::Damaged { .. })),
        "{refused}"
    );
    assert_eq!(names(&target), ["lock"], "the folder is as it was");
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn data_of_a_newer_version_is_not_backed_up_by_an_older_one() -> Result<(), Error> {
    let home = Home::filled().await?;
    home.sql("PRAGMA user_version = 9");
    let file = home.dir.path().join("monday.backup");
    let refused = back_up(&home.folder(), &file, Timestamp::from_millis(0));
    assert!(matches!(
        refused,
        Err(BackupError::Open(OpenError::Newer { found: 9, .. }))
    ));
    assert_eq!(names(home.dir.path()), ["data"]);
    let conn = Connection::open(home.file()).expect("it opens");
    let version: i64 = conn
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .expect("one");
    assert_eq!(version, 9, "nothing was changed");
    Ok(())
}
