//! Bad days: each ends with a message that says what happened and what to do, and loses nothing.

use anyhow::{Context as _, Result, ensure};
use mirastack_tests::disk::Disk;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::process::{Process, Stream};
use mirastack_tests::tamper::DataFile;
use mirastack_tests::wait::until;
use mirastack_tests::{person, program};
use rusqlite::Connection;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A folder with the data of a server that has ended.
async fn left() -> Mirastack {
    let mut server = Mirastack::start(Setup::default()).await.expect("it starts");
    let ended = server.process().terminate().await.expect("it ends");
    assert!(ended.success(), "{ended}");
    server
}

/// Runs `dev` on this data to its end, through `wrapper` if it has words, and answers what it says.
async fn said(wrapper: &[&str], data: &Path) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let mirastack = program::built("mirastack")?;
    let mut command = match wrapper.split_first() {
        None => program::alone(&mirastack, folder.path()),
        Some((first, rest)) => {
            let mut command = program::alone(&program::on_path(&[*first])?, folder.path());
            command.args(rest).arg(&mirastack);
            command
        }
    };
    command.arg("dev").arg("--data").arg(data);
    command.args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
    let mut process = Process::spawn("said", command, folder.path())?;
    let status = process.ended().await?;
    ensure!(status.code() == Some(1), "{status}: {}", process.tail());
    ensure!(
        process.output(Stream::Stdout)?.is_empty(),
        "it was never ready"
    );
    process.output(Stream::Stderr)
}

fn sql(server: &Mirastack, sql: &str) {
    let conn = Connection::open(server.data().join("mirastack.db")).expect("it opens");
    conn.execute_batch(sql).expect("it can be done");
}

#[tokio::test]
async fn data_of_a_newer_version_is_left_to_that_version() {
    let server = left().await;
    sql(&server, "PRAGMA user_version = 99");
    let said = said(&[], &server.data()).await.expect("it gives up");
    assert!(
        said.contains("data of version 99") && said.contains("run the version that wrote it"),
        "{said}"
    );
}

#[tokio::test]
async fn a_clock_that_was_set_back_stops_the_start_with_both_times() {
    let mut server = Mirastack::start(Setup::default()).await.expect("it starts");
    let api = server.api().await.expect("the key is good");
    let run = person::starts(&api, "hello", &json!({}))
        .await
        .expect("accepted");
    person::asked(&api, &run).await.expect("it asks");
    server.process().kill().expect("it ran");
    // As if what is stored had been written an hour from now.
    let hour = Duration::from_secs(3_600);
    let data = DataFile::open(&server.data()).expect("it is there");
    data.later(&run, hour).expect("the run is there");
    drop(data);
    let said = said(&[], &server.data()).await.expect("it gives up");
    assert!(
        said.contains("unsafe clock: it says") && said.contains("set the clock right"),
        "{said}"
    );
}

#[tokio::test]
async fn a_read_only_file_system_is_named() {
    let server = left().await;
    let data = server.data();
    let data = data.to_str().expect("UTF-8");
    let script =
        format!("mount --bind {data} {data} && mount -o remount,ro,bind {data} && exec \"$@\"");
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let said = said(&wrapper, &server.data()).await.expect("it gives up");
    assert!(
        said.contains("Read-only file system") && said.contains(data),
        "{said}"
    );
}

#[tokio::test]
async fn a_folder_of_somebody_else_is_named() {
    let server = left().await;
    let theirs = Command::new("chown")
        .args(["-R", "65534"])
        .arg(server.data())
        .status();
    assert!(theirs.expect("it runs").success());
    // Root without its privilege to open everything is a user like others.
    let wrapper = [
        "setpriv",
        "--bounding-set",
        "-dac_override,-dac_read_search,-fowner",
    ];
    let said = said(&wrapper, &server.data()).await.expect("it gives up");
    assert!(
        said.contains("ermi") && said.contains(&server.data().display().to_string()),
        "{said}"
    );
}

#[tokio::test]
async fn a_folder_that_is_removed_moved_or_replaced_under_a_server_ends_it_before_it_accepts_anything_more()
 {
    let befalls: [fn(&Path) -> Result<()>; 3] = [
        |data| Ok(fs::remove_dir_all(data)?),
        |data| Ok(fs::rename(data, data.with_file_name("elsewhere"))?),
        replace,
    ];
    for (number, befall) in befalls.into_iter().enumerate() {
        let mut server = Mirastack::start(Setup::default()).await.expect("it starts");
        let api = server.api().await.expect("the key is good");
        befall(&server.data()).expect("ours");
        let accepted = person::starts(&api, "hello", &json!({})).await;
        assert!(
            accepted.is_err(),
            "{number}: nothing that is accepted now would ever be found: {accepted:?}"
        );
        let ended = server.process().ended().await.expect("it ends by itself");
        assert_eq!(ended.code(), Some(1), "{number}: no crash: {ended}");
        let log = server.process().output(Stream::Stderr).expect("ours");
        assert!(
            log.contains("mirastack.db") && log.contains("removed, moved or replaced"),
            "{number}: {log}"
        );
    }
}

/// Puts a copy of the folder in its place.
fn replace(data: &Path) -> Result<()> {
    let before = data.with_file_name("before");
    fs::rename(data, &before)?;
    fs::create_dir(data)?;
    for entry in fs::read_dir(&before)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), data.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_file_system_that_becomes_read_only_under_a_server_ends_it_and_loses_nothing() {
    let mut disk = Disk::new(64).expect("a disk");
    let setup = Setup::default().data(disk.data());
    let mut server = Mirastack::start(setup).await.expect("it starts");
    let api = server.api().await.expect("the key is good");
    let run = person::starts(&api, "hello", &json!({})).await;
    let run = run.expect("accepted");
    disk.fail().expect("it takes nothing more");
    let refused = person::starts(&api, "hello", &json!({})).await;
    assert!(refused.is_err(), "it cannot be kept: {refused:?}");
    let ended = server.process().ended().await.expect("it ends by itself");
    assert_eq!(ended.code(), Some(1), "no crash: {ended}");
    let log = server.process().output(Stream::Stderr).expect("ours");
    assert!(log.contains("mirastack.db"), "{log}");
    disk.mend().await.expect("it can be put right");
    server.start_again().await.expect("everything is there");
    let api = server.api().await.expect("the key is good");
    person::asked(&api, &run).await.expect("it was accepted");
}

#[tokio::test]
async fn a_backup_can_be_made_of_a_server_that_ended_badly() {
    let mut server = Mirastack::start(Setup::default()).await.expect("it starts");
    let api = server.api().await.expect("the key is good");
    let run = person::starts(&api, "hello", &json!({}))
        .await
        .expect("accepted");
    server.process().kill().expect("it ran");
    let file = server.data().with_file_name("after.backup");
    let home = server.data().with_file_name("home");
    let mut command = program::alone(&program::built("mirastack").expect("built"), &home);
    let made = command
        .arg("backup")
        .arg(&file)
        .arg("--data")
        .arg(server.data())
        .output();
    assert!(made.expect("it runs").status.success());
    server
        .start_again()
        .await
        .expect("what it left is as it was");
    let api = server.api().await.expect("the key is good");
    until("the run", async || {
        person::run(&api, &run).await.context("it is there")
    })
    .await
    .expect("it was accepted");
}
