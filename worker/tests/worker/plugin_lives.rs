use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use engine::duration::Duration as Length;
use engine::registry::{self, Agent, InstanceState, Kind, SettingValue};
use serde_json::json;
use store::embedded::{Embedded, Options, Place};
use tempfile::TempDir;
use worker::{CallResult, Caller, NotSent, PluginsConfig};

use crate::bench::{seal, within};
use crate::jobs;
use crate::yard::{self, Yard, call_of, install, is_alive, job, quick};

#[tokio::test]
async fn plugins_are_found_in_folders_and_beside_and_the_first_one_counts() {
    let folder = TempDir::new().expect("a temporary folder");
    install(folder.path(), "described", "good");
    for (place, name) in [
        ("direct", "direct"),
        ("beside", "mirastack-agent-beside"),
        ("beside", "mirastack-agent-direct"),
    ] {
        fs::create_dir_all(folder.path().join(place)).expect("a temporary folder");
        symlink(yard::puppet(), folder.path().join(place).join(name)).expect("a temporary folder");
    }
    fs::write(folder.path().join("no-plugin"), "x").expect("a temporary folder");
    let (backend, handle) =
        Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
    let yard = Yard::open(quick(), folder, backend, handle).await;
    let names: Vec<&str> = yard.plugins.names().map(|(_, name)| name).collect();
    assert_eq!(names, ["beside", "described", "direct"]);
    assert_eq!(yard.plugins.problems(), [] as [&str; 0]);
    for name in names {
        yard.pid(name).await;
    }
}

#[tokio::test]
async fn a_plugin_that_cannot_be_used_is_named_and_left_out() {
    let cases = [
        ("huge", "manifest-huge", "bytes; at most"),
        ("hangs", "manifest-hangs", "did not end within 2s"),
        ("liar", "manifest-other-name", "calls itself somebody-else"),
    ];
    let installed: Vec<_> = cases
        .iter()
        .map(|(name, manners, _)| (*name, *manners))
        .chain([("fine", "good")])
        .collect();
    let yard = Yard::new(&installed).await;
    let names: Vec<&str> = yard.plugins.names().map(|(_, name)| name).collect();
    assert_eq!(names, ["fine"]);
    for (name, _, why) in cases {
        let told = yard
            .plugins
            .problems()
            .iter()
            .any(|p| p.starts_with(name) && p.contains(why));
        assert!(told, "{name}: {:?}", yard.plugins.problems());
    }
}

#[tokio::test]
async fn a_manifest_is_read_once_per_executable_and_forgotten_with_it() {
    let folder = TempDir::new().expect("a temporary folder");
    fs::create_dir_all(folder.path().join("one")).expect("a temporary folder");
    symlink(yard::puppet(), folder.path().join("one/one")).expect("a temporary folder");
    let (backend, handle) =
        Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
    let first = Yard::open(quick(), folder, backend, handle).await;
    let key = Kind::Agents.key(&yard::tenant(), "one");
    let stored = first
        .backend
        .registry
        .get(&key)
        .await
        .expect("an open store")
        .expect("an agent");
    let agent: Agent = registry::decode(&stored.value).expect("an agent");
    assert_eq!(agent.manifest.actions.len(), 2);
    assert!(agent.executable.is_some() && agent.form == "native");

    let (_, handle) = Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
    let Yard {
        backend, folder, ..
    } = first;
    let second = Yard::open(quick(), folder, backend, handle).await;
    let again = second
        .backend
        .registry
        .get(&key)
        .await
        .expect("an open store")
        .expect("an agent");
    assert_eq!(again.revision, stored.revision);

    fs::remove_file(second.folder.path().join("one/one")).expect("it is there");
    let (_, handle) = Embedded::inline(Place::Memory, Options::default()).expect("an empty store");
    let Yard {
        backend, folder, ..
    } = second;
    let third = Yard::open(quick(), folder, backend, handle).await;
    assert_eq!(
        third
            .backend
            .registry
            .get(&key)
            .await
            .expect("an open store"),
        None
    );
}

#[tokio::test]
async fn a_plugin_without_manners_does_not_come_up_and_everybody_is_told_why() {
    let cases = [
        ("mute", "did not serve and register within 1s"),
        ("silent", "did not serve and register within 1s"),
        ("garbage", "its first line is not MIRASTACK_PLUGIN_PORT="),
        ("imposter", "offers other actions than its manifest"),
        (
            "dies",
            "exit status: 3; its last line was: no more will to live",
        ),
    ];
    let installed: Vec<_> = cases
        .iter()
        .map(|(manners, _)| (*manners, *manners))
        .collect();
    let start = Length::from_secs(1);
    let yard = Yard::with(PluginsConfig { start, ..quick() }, &installed).await;
    for (name, why) in cases {
        let job = job(name);
        let mut call = call_of(&job, &json!({}), Duration::from_secs(5));
        call.ready = Duration::from_millis(1_500);
        let result = yard
            .plugins
            .call(call, std::sync::Arc::new(yard::Heard::default()))
            .await;
        let CallResult::NotSent(NotSent::Unavailable(told)) = result else {
            panic!("{name}: {result:?}")
        };
        assert!(told.contains(why), "{name}: {told}");
        let resting = yard
            .until(name, |i| i.state == InstanceState::Backoff)
            .await;
        assert!(
            resting.next_start.is_some() && resting.last_error.is_some_and(|e| e.contains(why))
        );
    }
}

#[tokio::test]
async fn an_idle_plugin_is_stopped_and_started_again_when_it_is_needed() {
    let idle = Length::from_millis(200);
    let yard = Yard::with(PluginsConfig { idle, ..quick() }, &[("one", "good")]).await;
    yard.until("one", |i| i.state == InstanceState::Stopped)
        .await;
    let pid = yard.pid("one").await;
    yard.until("one", |i| i.state == InstanceState::Ready).await;
    let stopped = yard
        .until("one", |i| i.state == InstanceState::Stopped)
        .await;
    assert_eq!((stopped.restarts, stopped.last_error), (0, None));
    assert!(!is_alive(pid));
    assert_ne!(yard.pid("one").await, pid);
}

#[tokio::test]
async fn all_plugins_end_with_the_worker_also_those_that_do_not_want_to() {
    let mut yard = Yard::new(&[("good", "good"), ("stubborn", "stubborn")]).await;
    let pids = [yard.pid("good").await, yard.pid("stubborn").await];
    yard.stop.cancel();
    within(yard.running.join_next())
        .await
        .expect("it runs")
        .expect("no panic")
        .expect("it served");
    assert_eq!(pids.map(is_alive), [false, false]);
    let result = yard.act("good", json!({})).await;
    assert!(
        matches!(result, CallResult::NotSent(NotSent::Unavailable(_))),
        "{result:?}"
    );
    yard.until("good", |i| i.state == InstanceState::Stopped)
        .await;
}

#[tokio::test]
async fn a_dropped_worker_leaves_no_plugin_behind() {
    let yard = Yard::new(&[("stubborn", "stubborn")]).await;
    let pid = yard.pid("stubborn").await;
    drop(yard);
    within(async {
        while is_alive(pid) {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn settings_are_given_at_the_start_and_whenever_they_change() {
    let yard = Yard::new(&[("one", "good")]).await;
    let bound = registry::setting_seal(&yard::tenant(), "one", "url");
    let sealed = seal().seal(
        &bound,
        [3; 24],
        json!("http://secret-place").to_string().as_bytes(),
    );
    let first = yard.set("one", SettingValue::Sealed(sealed)).await;
    let job = job("one");
    yard.plugins
        .ready(&job, first, Duration::from_secs(5))
        .await
        .expect("the settings in force");
    let other = yard
        .plugins
        .ready(&job, first + 1, Duration::from_secs(5))
        .await;
    assert!(matches!(other, Err(NotSent::OtherSettings(_))), "{other:?}");

    let refused = yard.set("one", SettingValue::Plain(json!("refused"))).await;
    let told = yard
        .until("one", |i| i.health.as_ref().is_some_and(|h| !h.ok))
        .await
        .health
        .expect("health");
    assert!(
        told.message
            .contains("refuses its settings (revision 2): I do not like it"),
        "{}",
        told.message
    );
    let result = yard.act("one", json!({})).await;
    assert!(
        matches!(result, CallResult::NotSent(NotSent::Unavailable(_))),
        "{result:?}"
    );
    let ready = yard
        .plugins
        .ready(&job, refused, Duration::from_secs(5))
        .await;
    assert!(matches!(ready, Err(NotSent::Unavailable(_))), "{ready:?}");

    yard.set("one", SettingValue::Plain(json!("http://elsewhere")))
        .await;
    yard.until("one", |i| i.health.as_ref().is_some_and(|h| h.ok))
        .await;
    yard.pid("one").await;
}

#[tokio::test]
async fn a_secret_that_a_plugin_writes_down_does_not_leave_it() {
    let yard = Yard::new(&[("one", "good")]).await;
    let bound = registry::setting_seal(&yard::tenant(), "one", "url");
    let sealed = seal().seal(
        &bound,
        [3; 24],
        json!("hunter2-and-more").to_string().as_bytes(),
    );
    yard.set("one", SettingValue::Sealed(sealed)).await;
    yard.act(
        "one",
        json!({ "do": "die", "last words": "I know hunter2-and-more!" }),
    )
    .await;
    let why = yard
        .until("one", |i| i.last_error.is_some())
        .await
        .last_error
        .expect("a reason");
    assert!(why.contains("I know ***url***!"), "{why}");
}

#[tokio::test]
async fn health_is_asked_for_and_starts_the_plugin() {
    let yard = Yard::new(&[("one", "good"), ("dies", "dies")]).await;
    let health = yard
        .plugins
        .health(&yard::tenant(), "one")
        .await
        .expect("there is one");
    assert_eq!((health.ok, health.message.as_str()), (true, "fine"));
    let health = yard
        .plugins
        .health(&yard::tenant(), "dies")
        .await
        .expect("there is one");
    assert!(
        !health.ok && health.message.contains("no more will to live"),
        "{}",
        health.message
    );
    let nobody = yard.plugins.health(&yard::tenant(), "nobody").await;
    let why = "no instance of the agent nobody is registered now";
    assert_eq!(nobody, Err(why.to_owned()));
}

#[tokio::test]
async fn a_program_that_was_replaced_is_read_again_at_its_next_start() {
    let yard = Yard::new(&[("one", "good")]).await;
    let pid = yard.pid("one").await;
    fs::write(yard.folder.path().join("one/extra"), "").expect("a temporary folder");
    yard.act("one", json!({ "do": "die" })).await;
    assert_ne!(yard.pid("one").await, pid);
    let key = Kind::Agents.key(&jobs::tenant(), "one");
    let stored = yard
        .backend
        .registry
        .get(&key)
        .await
        .expect("an open store")
        .expect("an agent");
    let agent: Agent = registry::decode(&stored.value).expect("an agent");
    assert!(agent.manifest.action("extra").is_some());
}
