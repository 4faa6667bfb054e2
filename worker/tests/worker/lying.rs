//! Agents of the JSON form that fail, hang or lie: what is believed of them, and what becomes of those who need them.

use std::time::Duration;

use engine::duration::Duration as Length;
use engine::registry::{Agent, Kind, SettingValue, encode};
use engine::time::Timestamp;
use serde_json::{Value, json};
use store::port::Expect;
use tokio::time::Instant;
use worker::{CallResult, NotSent, PluginsConfig};

use crate::bench::within;
use crate::peer::{Answer, Peer, info, result};
use crate::remote::{agent, engine, pinned, remote, result as called, until, until_is};
use crate::yard::{self, Yard};

/// The ids of what the agent offers, as everybody sees it.
async fn offered(yard: &Yard, name: &str) -> Vec<String> {
    let actions = agent(yard, name).await.manifest.actions;
    actions.into_iter().map(|action| action.id).collect()
}

#[tokio::test]
async fn an_agent_that_does_not_answer_what_it_can_do_is_listed_within_its_patience_and_asked_again()
 {
    let (yard, address) = engine(remote(90, &[])).await;
    let peer = Peer::new(address, "odd", "one").await;
    peer.answers("Info", Answer::Hangs);
    let began = Instant::now();
    assert_eq!(peer.registers().await, "");
    // The Go SDK waits for 10 s.
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
    let note = until(&yard, "odd", 1).await.remove(0).note;
    let why = "registered, metadata unavailable: ";
    assert!(
        note.as_ref().is_some_and(|note| note.starts_with(why)),
        "{note:?}"
    );
    let listed = agent(&yard, "odd").await;
    assert!(listed.metadata_unavailable.is_some() && listed.manifest.actions.is_empty());
    peer.answers("Info", Answer::Json(info("odd", &["read"])));
    until_is(&yard, "odd", |there| there.note.is_none()).await;
    assert_eq!(offered(&yard, "odd").await, ["read"]);
    peer.answers("Execute", result(&json!({ "n": 1 })));
    let told = called(&yard, "odd", "read", json!({})).await;
    assert_eq!(told, json!({ "n": 1 }));
}

#[tokio::test]
async fn one_that_cannot_say_what_it_can_do_does_not_make_the_others_forgotten() {
    let (yard, address) = engine(remote(90, &[])).await;
    let good = Peer::new(address, "odd", "good").await;
    assert_eq!(good.registers().await, "");
    let mute = Peer::new(address, "odd", "mute").await;
    mute.answers("Info", Answer::Fails("I am not ready"));
    assert_eq!(mute.registers().await, "");
    let notes = until(&yard, "odd", 2).await;
    let notes: Vec<_> = notes.into_iter().filter_map(|i| i.note).collect();
    assert!(notes[0].contains("I am not ready"), "{notes:?}");
    let listed = agent(&yard, "odd").await;
    assert_eq!(listed.metadata_unavailable, None);
    assert_eq!(offered(&yard, "odd").await, ["read"]);
    good.answers("Execute", result(&json!({ "who": "good" })));
    let told = called(&yard, "odd", "read", json!({})).await;
    assert_eq!(told["who"], "good");
}

#[tokio::test]
async fn settings_that_cannot_be_given_hide_no_agent_that_is_heard_of() {
    let config = PluginsConfig {
        health: Length::from_millis(200),
        ..remote(3, &["odd"])
    };
    let (yard, address) = engine(config).await;
    let mut peer = Peer::new(address, "odd", "one").await;
    // Nobody can open it.
    yard.set("odd", SettingValue::Sealed("nonsense".to_owned()))
        .await;
    assert_ne!(peer.registers().await, "", "it cannot have its settings");
    yard.set("odd", SettingValue::Plain(json!("http://a")))
        .await;
    assert_eq!(peer.registers().await, "");
    peer.beats(Duration::from_millis(300));
    // Nothing else is new about it from then on.
    let first = until_is(&yard, "odd", |there| there.health.is_some()).await;
    yard.set("odd", SettingValue::Sealed("nonsense".to_owned()))
        .await;
    // Its first lease and one more.
    let later = first.expires_at.map(|at| at.plus(Length::from_secs(3)));
    until_is(&yard, "odd", |there| there.expires_at > later).await;
    yard.set("odd", SettingValue::Plain(json!("http://b")))
        .await;
    let told = peer.asked("ConfigUpdated", 2).await;
    assert_eq!(told["config"]["url"], "http://b");
}

#[tokio::test]
async fn what_an_agent_lies_about_itself_is_not_believed() {
    let (yard, address) = engine(remote(90, &[])).await;
    let peer = Peer::new(address, "odd", "one").await;
    let mut twice = info("odd", &["read", "read"]);
    twice["instance_id"] = "another".into();
    for (lie, why) in [
        (info("even", &["read"]), "calls itself even"),
        (twice, "read"),
        (info("odd", &["../read"]), "read"),
        (json!({ "name": "odd", "actions": 7 }), "InfoResponse"),
        (
            json!({ "name": "odd", "version": "1", "description": "Speaks.", "type": 2 }),
            "not supported yet",
        ),
    ] {
        peer.answers("Info", Answer::Json(lie.clone()));
        let gone = json!({ "name": "odd", "instance_id": "one" });
        peer.says("DeregisterPlugin", gone)
            .await
            .expect("an answer");
        until(&yard, "odd", 0).await;
        assert_eq!(peer.registers().await, "", "{lie}");
        let note = until(&yard, "odd", 1).await.remove(0).note;
        let note = note.expect("a note");
        assert!(note.contains(why), "{lie}: {note}");
        assert!(offered(&yard, "odd").await.is_empty(), "{lie}");
    }
}

#[tokio::test]
async fn a_manifest_that_changes_under_a_run_that_waits_does_not_change_the_run() {
    let (yard, address) = engine(remote(90, &[])).await;
    let mut peer = Peer::new(address, "odd", "one").await;
    assert_eq!(peer.registers().await, "");
    until(&yard, "odd", 1).await;
    let job = pinned(&yard, "odd", "read").await;
    let mut other = info("odd", &["read"]);
    other["actions"][0]["input_params"] = json!([{ "name": "n", "type": "number" }]);
    peer.answers("Info", Answer::Json(other));
    peer.answers("Execute", result(&json!({ "n": 1 })));
    peer.version = "2";
    assert_eq!(peer.registers().await, "");
    let refused = yard.call(&job, &json!({}), Duration::from_secs(5)).await;
    let CallResult::NotSent(NotSent::NotOffered(why)) = refused else {
        panic!("{refused:?}")
    };
    assert!(why.contains("the run has pinned odd/read"), "{why}");
    let told = called(&yard, "odd", "read", json!({})).await;
    assert_eq!(told, json!({ "n": 1 }), "a new run takes the new one");
}

#[tokio::test]
async fn a_flood_of_registrations_is_refused_and_keeps_nobody_out() {
    let (yard, address) = engine(remote(90, &[])).await;
    let peer = Peer::new(address, "odd", "one").await;
    let mute = Peer::new(address, "mute", "mute").await;
    mute.answers("Info", Answer::Hangs);
    let register = async |n: usize| {
        let message = json!({
            "name": format!("mute{n}"), "version": "1", "grpc_addr": mute.address.to_string(), "plugin_type": 1,
            "instance_id": "one", "tenant_id": "default",
        });
        let answer = mute.says("RegisterPlugin", message).await;
        answer.expect("an answer")["error"].clone()
    };
    let flood = futures::future::join_all((0..40).map(register));
    let refused = |why: &Value| why.as_str().is_some_and(|why| why.contains("try again"));
    let answers = within(flood).await;
    assert_eq!(answers.iter().filter(|why| refused(why)).count(), 24);
    assert_eq!(peer.registers().await, "", "there is room again");
    until(&yard, "odd", 1).await;
}

#[tokio::test]
async fn providers_and_connectors_are_refused() {
    let (_yard, address) = engine(remote(90, &[])).await;
    let peer = Peer::new(address, "odd", "one").await;
    for kind in [2, 3] {
        let message = json!({
            "name": "odd", "version": "1", "grpc_addr": peer.address.to_string(), "plugin_type": kind,
            "instance_id": "one", "tenant_id": "default",
        });
        let answer = peer.says("RegisterPlugin", message).await;
        let answer = answer.expect("an answer");
        let why = answer["error"].as_str().unwrap_or_default();
        assert!(why.contains("not supported yet"), "{answer}");
    }
}

#[tokio::test]
async fn agents_that_are_gone_and_could_do_nothing_make_room_for_others() {
    let (yard, address) = engine(remote(90, &[])).await;
    let mute = Peer::new(address, "mute", "one").await;
    mute.answers("Info", Answer::Fails("I am not ready"));
    assert_eq!(mute.registers().await, "");
    until(&yard, "mute", 1).await;
    let known = agent(&yard, "mute").await;
    let key = |name: &str| Kind::Agents.key(&yard::tenant(), name);
    let registry = &yard.backend.registry;
    let put = async |name: &str, agent: &Agent| {
        let old = registry.get(&key(name)).await.expect("an open store");
        let expect = old.map_or(Expect::Absent, |old| Expect::Revision(old.revision));
        let put = registry.put(&key(name), &encode(agent), expect).await;
        put.expect("nobody else changes it");
    };
    let at = |read_at: u64, name: &str| {
        let mut agent = known.clone();
        agent.read_at = Timestamp::from_millis(read_at);
        agent.manifest.name = name.to_owned();
        agent
    };
    // The oldest one is there.
    put("mute", &at(1, "mute")).await;
    for n in 1..1_000 {
        let name = format!("gone{n}");
        put(&name, &at(if n == 500 { 2 } else { 3 }, &name)).await;
    }
    let odd = Peer::new(address, "odd", "one").await;
    assert_eq!(odd.registers().await, "");
    let there = async |name: &str| {
        let item = registry.get(&key(name)).await;
        item.expect("an open store").is_some()
    };
    assert!(there("odd").await && there("mute").await && there("gone499").await);
    assert!(!there("gone500").await, "it has been away for longest");

    let can_do = agent(&yard, "odd").await;
    for n in (1..1_000).filter(|n| *n != 500) {
        let agent = Agent {
            manifest: can_do.manifest.clone(),
            ..at(3, "x")
        };
        put(&format!("gone{n}"), &agent).await;
    }
    let even = Peer::new(address, "even", "one").await;
    let why = even.registers().await;
    assert!(why.contains("as many agents as it may have"), "{why}");
}
