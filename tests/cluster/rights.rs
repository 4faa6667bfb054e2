//! What each role may do at the broker, with the rights of `deploy/nats`: tried on a real one.

use std::collections::BTreeSet;

use async_nats::jetstream;
use async_nats::{Client, ConnectOptions, ServerAddr, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use mirastack_tests::shared::Which;
use serde_json::json;
use std::sync::Arc;
use store::clock::SystemRandom;
use store::cluster::broker::Role;
use store::cluster::open;
use store::conformance::HandClock;

use crate::ground::Servers;

const INSTALLATION: &str = "mirastack";
const RUN: &str = "default.019b76db-2d96-7000-9cff-599e6b24c57e";

/// What the broker knows how to do with streams and their consumers.
const OF_STREAM: [&str; 12] = [
    "STREAM.CREATE",
    "STREAM.UPDATE",
    "STREAM.DELETE",
    "STREAM.INFO",
    "STREAM.PURGE",
    "STREAM.MSG.GET",
    "STREAM.MSG.DELETE",
    "STREAM.SNAPSHOT",
    "STREAM.RESTORE",
    "STREAM.PEER.REMOVE",
    "STREAM.LEADER.STEPDOWN",
    "DIRECT.GET",
];
const OF_CONSUMER: [&str; 8] = [
    "CONSUMER.CREATE",
    "CONSUMER.DURABLE.CREATE",
    "CONSUMER.INFO",
    "CONSUMER.DELETE",
    "CONSUMER.MSG.NEXT",
    "CONSUMER.PAUSE",
    "CONSUMER.UNPIN",
    "CONSUMER.LEADER.STEPDOWN",
];
const STREAMS: [&str; 8] = [
    "RUNS_00", "RUNS_01", "KEYS_00", "INBOX_00", "HISTORY", "NOTES", "BLOBS", "STEPS",
];

/// Every kind of subject that there is, and what a role must never name.
fn subjects() -> BTreeSet<String> {
    let own = [
        format!("new.00.{RUN}"),
        format!("run.00.{RUN}"),
        format!("ended.{RUN}"),
        format!("note.gone.{RUN}"),
        format!("note.damaged.{RUN}"),
        format!("blob.{RUN}.digest.0"),
        format!("live.run.{RUN}"),
        "live.command.00".to_owned(),
        "key.00.default.digest".to_owned(),
        "inbox.00.gateway.00".to_owned(),
        "inbox.00.scheduler.00".to_owned(),
        "inbox.00.worker.00".to_owned(),
        "step.default".to_owned(),
        "steps".to_owned(),
        "owner.00".to_owned(),
        "delivery.default".to_owned(),
    ];
    let mut all: BTreeSet<String> = own.iter().map(|s| format!("{INSTALLATION}.{s}")).collect();
    for stream in STREAMS.map(|s| format!("{}_{s}", INSTALLATION.to_uppercase())) {
        all.extend(OF_STREAM.map(|what| format!("$JS.API.{what}.{stream}")));
        all.extend(OF_CONSUMER.map(|what| format!("$JS.API.{what}.{stream}.default")));
        all.insert(format!("$JS.API.CONSUMER.CREATE.{stream}.default.filter"));
        all.insert(format!("$JS.API.CONSUMER.NAMES.{stream}"));
        all.insert(format!("$JS.API.CONSUMER.LIST.{stream}"));
        all.insert(format!("$JS.ACK.{stream}.default.1.1.1.1.0"));
    }
    let others = [
        "$JS.API.INFO",
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.LIST",
        "$JS.API.META.LEADER.STEPDOWN",
        "$JS.API.SERVER.REMOVE",
        "$JS.API.ACCOUNT.PURGE.MIRASTACK",
        "$JS.EVENT.ADVISORY.API",
        "_INBOX.gateway.x",
        "_INBOX.scheduler.x",
        "_INBOX.worker.x",
        "_R_.x.y",
        "somewhere.else",
    ];
    all.extend(others.map(str::to_owned));
    all
}

const READS: [&str; 5] = [
    "$JS.API.STREAM.MSG.GET.",
    "$JS.API.CONSUMER.CREATE.",
    "$JS.API.CONSUMER.INFO.",
    "$JS.API.CONSUMER.DELETE.",
    "$JS.API.CONSUMER.MSG.NEXT.",
];

/// What the role's work is made of.
fn is_allowed(role: &str, subject: &str) -> bool {
    let begins = |all: &[&str]| all.iter().any(|begin| subject.starts_with(begin));
    let own = |all: &[&str]| {
        let own = subject.strip_prefix("mirastack.");
        own.is_some_and(|own| all.iter().any(|begin| own.starts_with(begin)))
    };
    let is_of_jobs = subject.contains(".CONSUMER.") && subject.contains("MIRASTACK_STEPS");
    let by_role = match role {
        "gateway" => {
            own(&["new.", "key.", "inbox.00.gateway.", "blob.", "delivery."])
                || (begins(&READS) && !is_of_jobs)
        }
        "worker" => {
            own(&["owner.", "inbox.00.worker.", "blob.", "live.run."])
                || begins(&[
                    "$JS.API.STREAM.MSG.GET.MIRASTACK_BLOBS",
                    "$JS.API.CONSUMER.INFO.MIRASTACK_STEPS.",
                    "$JS.API.CONSUMER.MSG.NEXT.MIRASTACK_STEPS.",
                ])
        }
        "scheduler" => {
            let writes = ["CREATE.", "PURGE.", "MSG.DELETE."];
            let writes = writes.map(|what| format!("$JS.API.STREAM.{what}"));
            own(&[""])
                || begins(&["_R_."])
                || begins(&READS)
                || writes.iter().any(|begin| subject.starts_with(begin))
        }
        other => panic!("there is no role {other}"),
    };
    by_role || begins(&["$JS.API.INFO", "$JS.API.STREAM.INFO."])
}

pub(crate) async fn connect(servers: &Servers, user: &str) -> Client {
    let address = servers.nats.nats(user);
    let known: ServerAddr = address.parse().expect("an address");
    let (name, password) = known.username().zip(known.password()).expect("both");
    let options = ConnectOptions::with_user_and_password(name.to_owned(), password.to_owned())
        .custom_inbox_prefix(format!("_INBOX.{user}"));
    let client = options.connect(address).await;
    client.expect("the broker lets it in")
}

/// Comes back once the broker has seen, and sent, everything that came before.
async fn settled(client: &Client) {
    let answer = client.request("$JS.API.INFO", Bytes::new()).await;
    answer.expect("everybody may ask that");
}

/// Everything that the subscription has seen up to now.
async fn seen(admin: &Client, all: &mut Subscriber) -> BTreeSet<(String, Bytes)> {
    let end = Bytes::from_static(b"the end");
    let told = admin.publish("end", end.clone()).await;
    told.expect("it may do everything");
    let mut seen = BTreeSet::new();
    while let Some(message) = all.next().await {
        if message.payload == end {
            return seen;
        }
        seen.insert((message.subject.to_string(), message.payload));
    }
    panic!("the broker is gone");
}

/// An installation as a scheduler makes it.
async fn servers() -> Servers {
    let servers = Servers::start(Which::Kine).await;
    let clock = Arc::<HandClock>::default();
    let mut options = servers.options(INSTALLATION, None, clock, Arc::new(SystemRandom));
    options.broker.servers = vec![servers.nats.nats("scheduler")];
    options.broker.role = Role::Scheduler;
    Box::pin(open(&options))
        .await
        .expect("it makes the streams");
    servers
}

#[tokio::test]
async fn what_a_role_may_not_say_reaches_nobody() {
    let servers = servers().await;
    let admin = connect(&servers, "admin").await;
    let mut all = admin.subscribe(">").await.expect("it may do everything");
    for role in ["gateway", "scheduler", "worker"] {
        let client = connect(&servers, role).await;
        let mut forbidden = 0;
        for subject in subjects() {
            // No request that a server understands: nothing comes of those that are allowed.
            let said = client.publish(subject.clone(), Bytes::from(format!("by {role}")));
            said.await.expect("the connection stands");
            forbidden += usize::from(!is_allowed(role, &subject));
        }
        settled(&client).await;
        let by = Bytes::from(format!("by {role}"));
        let seen = seen(&admin, &mut all).await;
        let heard: BTreeSet<String> = seen
            .into_iter()
            .filter_map(|(subject, payload)| (payload == by).then_some(subject))
            .collect();
        let wanted: BTreeSet<String> = subjects()
            .into_iter()
            .filter(|subject| is_allowed(role, subject))
            .collect();
        assert_eq!(heard, wanted, "what reached the account from a {role}");
        assert!(forbidden >= 100, "{role}: {forbidden}");
    }
}

#[tokio::test]
async fn what_a_role_may_not_hear_reaches_it_not() {
    let servers = servers().await;
    let admin = connect(&servers, "admin").await;
    for (role, heard) in [
        (
            "gateway",
            vec!["delivery.default", "live.command.00", "live.run."],
        ),
        ("scheduler", vec!["owner.00"]),
        ("worker", vec![]),
    ] {
        let client = connect(&servers, role).await;
        let own = format!("_INBOX.{role}");
        let mut ears = Vec::new();
        for subject in [">", "mirastack.>", "$JS.>", "_INBOX.>", "_R_.>", "$SYS.>"]
            .map(str::to_owned)
            .into_iter()
            .chain(subjects())
        {
            if !subject.starts_with(&own) {
                ears.push(
                    client
                        .subscribe(subject)
                        .await
                        .expect("the connection stands"),
                );
            }
        }
        settled(&client).await;
        for subject in subjects() {
            let said = admin.publish(subject, Bytes::from_static(b"a secret"));
            said.await.expect("it may do everything");
        }
        settled(&admin).await;
        settled(&client).await;
        let mut told = BTreeSet::new();
        for ear in &mut ears {
            while let Some(Some(message)) = futures::FutureExt::now_or_never(ear.next()) {
                told.insert(message.subject.to_string());
            }
        }
        let wanted: BTreeSet<String> = subjects()
            .into_iter()
            .filter(|s| {
                heard
                    .iter()
                    .any(|h| s.starts_with(&format!("{INSTALLATION}.{h}")))
            })
            .collect();
        assert_eq!(told, wanted, "what a {role} heard");
    }
}

#[tokio::test]
async fn no_answer_is_led_into_a_journal() {
    let servers = servers().await;
    let admin = jetstream::new(connect(&servers, "admin").await);
    let journal = admin
        .get_stream("MIRASTACK_RUNS_00")
        .await
        .expect("it is there");
    for role in ["gateway", "worker"] {
        let client = connect(&servers, role).await;
        let journal = format!("mirastack.run.00.{RUN}");
        let ask = async |subject: &str, body: &str| {
            let (subject, body) = (subject.to_owned(), Bytes::from(body.to_owned()));
            let asked = client.publish_with_reply(subject, journal.clone(), body);
            asked.await.expect("the connection stands");
        };
        ask(&format!("mirastack.blob.{RUN}.digest.0"), "a forged record").await;
        ask("$JS.API.INFO", "").await;
        ask("$JS.API.STREAM.INFO.MIRASTACK_BLOBS", "").await;
        ask("$JS.API.STREAM.MSG.GET.MIRASTACK_BLOBS", r#"{"seq":1}"#).await;
        ask("$SYS.REQ.SERVER.PING.JSZ", "").await;
        ask("mirastack.owner.00", "no word").await;
        let pull = json!({
            "stream_name": "MIRASTACK_BLOBS",
            "action": "create",
            "config": { "name": "evil", "ack_policy": "none" },
        });
        ask(
            "$JS.API.CONSUMER.CREATE.MIRASTACK_BLOBS.evil",
            &pull.to_string(),
        )
        .await;
        ask(
            "$JS.API.CONSUMER.MSG.NEXT.MIRASTACK_BLOBS.evil",
            r#"{"batch":1}"#,
        )
        .await;
        let push = json!({
            "stream_name": "MIRASTACK_BLOBS",
            "action": "create",
            "config": { "name": "worse", "ack_policy": "none", "deliver_subject": journal },
        });
        ask(
            "$JS.API.CONSUMER.CREATE.MIRASTACK_BLOBS.worse",
            &push.to_string(),
        )
        .await;
        settled(&client).await;
    }
    let info = journal.get_info().await.expect("it is there");
    assert_eq!(info.state.messages, 0, "{:?}", info.state);
    let blobs = admin
        .get_stream("MIRASTACK_BLOBS")
        .await
        .expect("it is there");
    let info = blobs.get_info().await.expect("it is there");
    assert_eq!(
        info.state.messages, 1,
        "what they may store is stored: {:?}",
        info.state
    );
}

#[tokio::test]
async fn a_value_is_never_replaced_by_another() {
    let servers = servers().await;
    let admin = jetstream::new(connect(&servers, "admin").await);
    let subject = format!("mirastack.blob.{RUN}.digest.0");
    let stored = async |user: &str, body: &str| {
        let broker = jetstream::new(connect(&servers, user).await);
        let sent = broker.publish(subject.clone(), Bytes::from(body.to_owned()));
        sent.await.expect("it may").await.map(|ack| ack.sequence)
    };
    stored("gateway", "a value").await.expect("it is the first");
    for user in ["worker", "gateway", "admin"] {
        stored(user, "another").await.expect_err("the first stays");
    }
    let blobs = admin
        .get_stream("MIRASTACK_BLOBS")
        .await
        .expect("it is there");
    let last = blobs.get_last_raw_message_by_subject(&subject).await;
    assert_eq!(last.expect("it is there").payload, "a value");
}
