//! What only real servers can do to it.

use std::sync::Arc;

use engine::event::RunStatus;
use engine::id::{Shard, Tenant};
use engine::time::Timestamp;
use futures::join;
use mirastack_tests::relay::Relay;
use mirastack_tests::shared::{Which, nats};
use store::cluster::Options;
use store::conformance::sample::{Birth, Sample};
use store::conformance::{CountingRandom, HandClock};
use store::port::{ApprovalFilter, ApprovalRow, Page, RunFilter, RunRow};
use store::{Backend, Error};
use tempfile::TempDir;
use tokio::time::{Duration, sleep};

use crate::ground::{Servers, process};

fn options(servers: &Servers) -> Options {
    let clock = Arc::<HandClock>::default();
    servers.options("trouble", None, clock, Arc::<CountingRandom>::default())
}

async fn store(backend: &Backend, run: &Sample) {
    for (record, events) in &run.records {
        let stored = backend.journal.append(record, events).await;
        stored.expect("it follows");
    }
}

#[tokio::test]
async fn an_answer_that_was_lost_is_no_conflict() {
    let servers = Servers::start(Which::Kine).await;
    let direct = options(&servers);
    let relay = Relay::before(servers.nats.address()).await.expect("a port");
    let mut through = options(&servers);
    through.broker.servers = vec![nats("admin", relay.address())];
    let (ours, other) = (process(&through).await, process(&direct).await);
    let mut run = Sample::born(&Birth::number(1));
    store(&ours, &run).await;
    run.start();
    let (record, events) = run.last();
    let (tenant, expires) = (Tenant::default(), Timestamp::MAX);

    relay.mute();
    let stored = async {
        while other
            .journal
            .read(&run.key, 0)
            .await
            .expect("it reads")
            .len()
            < 2
            || other
                .keys
                .get(&tenant, "k", Timestamp::from_millis(0))
                .await
                == Ok(None)
        {
            sleep(Duration::from_millis(10)).await;
        }
        relay.cut();
    };
    let (appended, created, ()) = join!(
        ours.journal.append(record, events),
        ours.keys.create(&tenant, "k", b"ours", expires),
        stored,
    );
    assert_eq!(appended, Ok(()));
    created.expect("it is ours");
    assert_eq!(
        ours.journal
            .read(&run.key, 0)
            .await
            .expect("it reads")
            .len(),
        2
    );
    let again = ours.keys.create(&tenant, "k", b"ours", expires).await;
    assert!(matches!(again, Err(Error::Conflict(_))), "{again:?}");
}

#[tokio::test]
async fn a_broker_that_dies_keeps_what_it_has_answered() {
    let mut servers = Servers::start(Which::Kine).await;
    let backend = process(&options(&servers)).await;
    let (first, second) = (Birth::number(1), Birth::number(2));
    let mut run = Sample::born(&first);
    store(&backend, &run).await;
    let tenant = Tenant::default();
    let expires = Timestamp::MAX;
    let revision = backend.keys.create(&tenant, "k", b"v", expires).await;
    let revision = revision.expect("it is new");
    let before = backend.jobs.queue("default").await.expect("a queue");
    let seen = backend.journal.new_runs(Shard(0), 0, 10).await;
    let seen = seen.expect("there is one");

    servers.nats.process().kill().expect("it runs");
    servers.nats.start_again().await.expect("it starts");

    run.start();
    let (record, events) = run.last();
    let appended = backend.journal.append(record, events).await;
    assert_eq!(appended, Ok(()));
    assert_eq!(
        backend
            .journal
            .read(&run.key, 0)
            .await
            .expect("it reads")
            .len(),
        2
    );
    let key = backend
        .keys
        .get(&tenant, "k", Timestamp::from_millis(0))
        .await;
    assert_eq!(
        key.expect("it reads").map(|key| key.revision),
        Some(revision)
    );
    let after = backend.jobs.queue("default").await.expect("a queue");
    assert_ne!(after.epoch, before.epoch, "what was queued is lost");
    let follows = backend.journal.new_runs(Shard(0), seen[0].sequence, 10);
    let born = Sample::born(&second);
    let (follows, ()) = join!(follows, store(&backend, &born));
    let follows = follows.expect("there is another");
    assert_eq!(follows[0].first.record.key, born.key);
}

/// All that lists show.
async fn rows(backend: &Backend) -> (Vec<RunRow>, Vec<ApprovalRow>) {
    let (tenant, page) = (
        Tenant::default(),
        Page {
            limit: 1_000,
            after: None,
        },
    );
    loop {
        let runs = backend
            .views
            .runs(&tenant, &RunFilter::default(), &page)
            .await;
        let runs = runs.expect("a list");
        let filter = ApprovalFilter::default();
        let approvals = backend.views.approvals(&tenant, &filter, &page).await;
        let approvals = approvals.expect("a list");
        if !runs.incomplete && !approvals.incomplete {
            return (runs.items, approvals.items);
        }
    }
}

#[tokio::test]
async fn lists_that_are_made_again_are_the_same() {
    let servers = Servers::start(Which::Kine).await;
    let folder = TempDir::new().expect("a folder");
    let mut options = options(&servers);
    options.lists = Some(folder.path().join("lists.db"));
    let along = process(&options).await;
    let mut keys = Vec::new();
    for number in 0..40 {
        let mut run = Sample::born(&Birth::number(number));
        match number % 4 {
            0 => {}
            1 => drop(run.start()),
            2 => drop(run.next(RunStatus::Parked, Vec::new())),
            _ => drop(run.start().end(None)),
        }
        store(&along, &run).await;
        if number % 4 == 3 {
            keys.push(run.key);
        }
    }
    rows(&along).await;
    along.archive.archive(&keys[..6]).await.expect("archived");
    along.archive.remove(&keys[..2]).await.expect("removed");
    let damaged = Sample::born(&Birth::number(0)).key;
    let noted = along.views.note_damaged(&damaged, "as if").await;
    noted.expect("it is noted");
    let followed = rows(&along).await;
    assert_eq!(followed.0.len(), 38);

    drop(along);
    let reopened = rows(&process(&options).await).await;
    assert_eq!(reopened, followed, "the file as it was left");
    options.lists = Some(folder.path().join("again.db"));
    let again = rows(&process(&options).await).await;
    assert_eq!(again, followed, "another file");
}

#[tokio::test]
async fn lists_of_other_streams_begin_anew() {
    let folder = TempDir::new().expect("a folder");
    for number in 0..2 {
        // The same file and the same name, and each time other servers.
        let servers = Servers::start(Which::Kine).await;
        let mut options = options(&servers);
        options.lists = Some(folder.path().join("lists.db"));
        let backend = process(&options).await;
        let run = Sample::born(&Birth::number(number));
        store(&backend, &run).await;
        let (shown, _) = rows(&backend).await;
        let ids: Vec<_> = shown.iter().map(|row| row.id).collect();
        assert_eq!(ids, [run.key.run]);
    }
}
