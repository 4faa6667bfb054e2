//! A backup while the server works, and a second life out of it.

use anyhow::{Context as _, Result, ensure};
use mirastack_tests::api::Api;
use mirastack_tests::mirastack::{Mirastack, Setup};
use mirastack_tests::{person, program};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use tokio::process::Command;

/// Two READs, and a change that somebody has to agree to. After a restore a call of it is waited for that may have been
/// made at the last moment: here not for the ten minutes that a call has otherwise.
const WORKFLOWS: [(&str, &str); 2] = [
    (
        "look",
        "workflow: look\nsteps:\n  - { id: one, uses: demo/read, with: { key: a } }\n  - { id: two, uses: demo/read, with: { key: b } }\n",
    ),
    (
        "note",
        "workflow: note\ninputs: { key: { type: string } }\nsteps:\n  - { id: change, uses: demo/change, with: { key: \"${{ inputs.key }}\", value: x }, timeout: 5s }\n",
    ),
];
/// Runs that are accepted before the backup begins.
const BEFORE: usize = 60;

/// A server whose agent changes a file that no backup knows: the world outside.
struct Ground {
    server: Mirastack,
    api: Api,
    world: PathBuf,
}

impl Ground {
    async fn new() -> Result<Self> {
        let server = Mirastack::start(Setup::default()).await?;
        let api = server.api().await?;
        let world = beside(&server, "world.json");
        let settings = json!({ "file": world });
        api.patch("/api/v1/agents/demo/config", &settings)
            .await?
            .ok()?;
        for (name, text) in WORKFLOWS {
            api.put_yaml(&format!("/api/v1/workflows/{name}"), text)
                .await?
                .ok()?;
        }
        Ok(Self { server, api, world })
    }

    fn file(&self) -> PathBuf {
        beside(&self.server, "monday.backup")
    }

    /// How often the agent has changed this key, in all lives.
    fn changes(&self, key: &str) -> Result<u64> {
        let text = fs::read(&self.world).context("the agent's file")?;
        let world: Value = serde_json::from_slice(&text)?;
        Ok(world["values"][key]["changes"].as_u64().unwrap_or(0))
    }

    async fn verb(&self, verb: &str, args: &[&Path]) -> Result<Output> {
        let mut command =
            program::alone(&program::built("mirastack")?, &beside(&self.server, "home"));
        command
            .arg(verb)
            .args(args)
            .arg("--data")
            .arg(self.server.data());
        Ok(Command::from(command).output().await?)
    }

    async fn note(&self, key: &str) -> Result<String> {
        person::starts(&self.api, "note", &json!({ "key": key })).await
    }

    /// The machine is lost. What somebody kept elsewhere is the backup, the root key and the first API key.
    async fn second_life(&mut self) -> Result<String> {
        self.server.process().kill()?;
        let (data, lost) = (self.server.data(), beside(&self.server, "lost"));
        fs::rename(&data, &lost)?;
        let restored = self.verb("restore", &[&self.file()]).await?;
        let told = String::from_utf8(restored.stderr)?;
        ensure!(restored.status.success(), "{told}");
        for kept in ["root.key", "bootstrap.json"] {
            ensure!(!data.join(kept).exists(), "{kept} was in the backup");
            fs::copy(lost.join(kept), data.join(kept))?;
        }
        self.server.start_again().await?;
        Ok(told)
    }
}

fn beside(server: &Mirastack, name: &str) -> PathBuf {
    server.data().with_file_name(name)
}

async fn resume(api: &Api, run: &str) -> Result<()> {
    let path = format!("/api/v1/runs/{run}/resume");
    api.post(&path, &json!({})).await?.ok().map(drop)
}

/// Runs are accepted as long as this is not cancelled; answers those before and after `mark` was set.
async fn accept(
    api: &Api,
    enough: &tokio::sync::Notify,
    stop: &tokio::sync::Notify,
) -> Result<Vec<String>> {
    let mut accepted = Vec::new();
    let work = async {
        loop {
            accepted.push(person::starts(api, "look", &json!({})).await?);
            if accepted.len() == BEFORE {
                enough.notify_one();
            }
        }
    };
    tokio::select! {
        ended = work => ended,
        () = stop.notified() => Ok(()),
    }
    .map(|()| accepted)
}

#[tokio::test]
async fn whatever_was_accepted_before_a_backup_is_there_after_a_restore_and_ends_once() {
    let mut ground = Ground::new().await.expect("it starts");
    let waiting = ground.note("waiting").await.expect("it is accepted");
    let lost = ground.note("lost").await.expect("it is accepted");
    for run in [&waiting, &lost] {
        person::asked(&ground.api, run).await.expect("it asks");
    }
    let (enough, stop) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
    let backing_up = async {
        enough.notified().await;
        let file = ground.file();
        let made = ground.verb("backup", &[&file]).await.expect("it runs");
        stop.notify_one();
        made
    };
    let (accepted, made) = tokio::join!(accept(&ground.api, &enough, &stop), backing_up);
    let accepted = accepted.expect("they are accepted while the backup is made");
    let told = String::from_utf8_lossy(&made.stderr).into_owned();
    assert!(made.status.success() && told.contains("root.key"), "{told}");

    // What nobody will remember: the change is made, and another run is accepted.
    person::approves(&ground.api, &lost).await.expect("it asks");
    person::ended(&ground.api, &lost).await.expect("it ends");
    assert_eq!(ground.changes("lost").expect("readable"), 1);
    let later = ground.note("later").await.expect("it is accepted");

    let old = ground.api.clone();
    let told = ground.second_life().await.expect("it is restored");
    assert!(told.contains("Put root.key into"), "{told}");
    assert!(told.contains("open runs are parked"), "{told}");
    let refused = old.get("/api/v1/whoami").await.expect("it answers");
    assert_eq!(refused.status, 401, "a token of the last life");
    let api = ground.server.api().await.expect("the key is the same");
    ground.api = api.clone();
    let gone = api.get(&format!("/api/v1/runs/{later}")).await;
    assert_eq!(
        gone.expect("it answers").status,
        404,
        "it was accepted later"
    );

    for run in &accepted[..BEFORE] {
        let shown = person::run(&api, run)
            .await
            .expect("it was accepted before");
        if shown["status"] == "parked" {
            assert_eq!(shown["error"]["code"], "restored", "{shown}");
            resume(&api, run).await.expect("it may go on");
        }
        let ended = person::ended(&api, run).await.expect("it ends");
        assert_eq!(ended["status"], "succeeded", "{ended}");
    }
    for (run, key) in [(&waiting, "waiting"), (&lost, "lost")] {
        assert_eq!(
            person::run(&api, run).await.expect("kept")["status"],
            "parked"
        );
        resume(&api, run).await.expect("it may go on");
        person::approves(&api, run).await.expect("it asks");
        let ended = person::ended(&api, run).await.expect("it ends");
        assert_eq!(ended["status"], "succeeded", "{ended}");
        assert_eq!(
            ground.changes(key).expect("readable"),
            1,
            "{key}: made once in both lives"
        );
    }
}

#[tokio::test]
async fn restored_data_without_its_root_key_is_not_started_with_a_new_one() {
    let mut ground = Ground::new().await.expect("it starts");
    let made = ground
        .verb("backup", &[&ground.file()])
        .await
        .expect("it runs");
    assert!(made.status.success());
    let ended = ground.server.process().terminate().await.expect("it ends");
    assert!(ended.success());
    fs::remove_file(ground.server.data().join("root.key")).expect("it was there");
    let started = ground.server.start_again().await.map(drop);
    let error = format!("{:#}", started.expect_err("nothing could be read"));
    assert!(error.contains("root.key is missing"), "{error}");
    assert!(!ground.server.data().join("root.key").exists());
}

#[tokio::test]
async fn a_damaged_backup_is_refused_with_its_name_and_nothing_is_written() {
    let mut ground = Ground::new().await.expect("it starts");
    let file = ground.file();
    let made = ground.verb("backup", &[&file]).await.expect("it runs");
    assert!(made.status.success());
    ground.server.process().kill().expect("it ran");
    let data = ground.server.data();
    let full = ground.verb("restore", &[&file]).await.expect("it runs");
    let told = String::from_utf8_lossy(&full.stderr).into_owned();
    assert!(
        !full.status.success() && told.contains("is not empty"),
        "{told}"
    );

    fs::rename(&data, beside(&ground.server, "lost")).expect("ours");
    let mut bytes = fs::read(&file).expect("it was made");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("writable");
    let refused = ground.verb("restore", &[&file]).await.expect("it runs");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("monday.backup is no whole backup: its checksum does not fit"),
        "{told}"
    );
    assert!(!refused.status.success() && !data.exists(), "{told}");
}
