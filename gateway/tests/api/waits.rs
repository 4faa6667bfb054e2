//! Runs that are waited for and followed: what that costs, and what it says when something is missing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use engine::event::Event;
use engine::id::{RunKey, Shard};
use engine::record::Encoded;
use futures::StreamExt;
use gateway::Gateway;
use serde_json::json;
use store::port::{Entry, Journal, NewRun, News, OpenRuns, Topic};
use store::{Backend, Error};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::support::owner::key_of;
use crate::support::{Client, READS, WAITS, World, config, parts};

/// A journal that counts how often it is read, and can be read so often.
struct Counted {
    journal: Arc<dyn Journal>,
    reads: watch::Sender<usize>,
    most: usize,
}

/// Another gateway over the same store, with such a journal.
struct Beside {
    counted: Arc<Counted>,
    operator: Client,
    _tasks: JoinSet<()>,
}

impl Beside {
    async fn new(world: &World, most: usize) -> Self {
        let counted = Arc::new(Counted {
            journal: world.backend.journal.clone(),
            reads: watch::Sender::new(0),
            most,
        });
        let backend = Backend {
            journal: counted.clone(),
            ..world.backend.clone()
        };
        let gateway = Gateway::new(config(), backend, parts());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut tasks = JoinSet::new();
        let serving = gateway.clone();
        tasks.spawn(async move { serving.serve(listener, CancellationToken::new()).await });
        gateway.ready().await;
        Self {
            counted,
            operator: Client::new(address).with_token(&world.operator.token()),
            _tasks: tasks,
        }
    }

    fn reads(&self) -> usize {
        *self.counted.reads.borrow()
    }

    /// Waits until somebody has looked.
    async fn looked(&self) {
        let mut reads = self.counted.reads.subscribe();
        let looked = reads.wait_for(|n| *n > 0).await;
        looked.expect("the test holds it");
    }
}

#[async_trait]
impl Journal for Counted {
    async fn append(&self, record: &Encoded, events: &[Event]) -> Result<(), Error> {
        self.journal.append(record, events).await
    }

    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error> {
        self.reads.send_modify(|n| *n += 1);
        if *self.reads.borrow() > self.most {
            return Err(Error::Unavailable("it was read often enough".to_owned()));
        }
        self.journal.read(key, after).await
    }

    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error> {
        self.journal.open_runs(shard).await
    }

    async fn new_runs(&self, shard: Shard, seq: u64, max: usize) -> Result<Vec<NewRun>, Error> {
        self.journal.new_runs(shard, seq, max).await
    }
}

#[tokio::test]
async fn who_waits_for_the_end_reads_the_journal_at_the_end() {
    let world = World::start().await;
    let step = |n: u32| format!("  - id: s{n}\n    uses: demo/read\n    with: {{ value: x }}\n");
    let steps: String = (1..=6).map(step).collect();
    world.save(&format!("workflow: six\nsteps:\n{steps}")).await;
    let id = world.run("six", json!({})).await;
    let beside = Beside::new(&world, usize::MAX).await;
    let operator = &beside.operator;
    let path = format!("/api/v1/runs/{id}?wait=20&until=end");
    let work = async {
        beside.looked().await;
        for n in 1..=6 {
            let step = format!("s{n}");
            world.owner.succeed(&id, &step, json!({"value": "v"})).await;
            // Whoever waits has heard of it by the time that this is answered.
            assert_eq!(operator.get("/api/v1/whoami").await.status, 200);
        }
    };
    let (run, ()) = tokio::join!(biased; operator.get(&path), work);
    assert_eq!(run.json["status"], "succeeded", "{}", run.json);
    let reads = beside.reads();
    assert!(reads <= 4, "{reads} times");
}

/// More words of an agent at once than whoever listens to its run may be behind.
fn chatter(world: &World, id: &str) {
    for n in 0..100 {
        let log = News::Log {
            step: "read".to_owned(),
            level: "info".to_owned(),
            message: format!("line {n}"),
        };
        world.backend.live.publish(Topic::Run(key_of(id)), log);
    }
}

#[tokio::test]
async fn who_waits_for_a_run_that_says_much_does_not_read_it_again_and_again() {
    for until in ["end", "attention"] {
        let world = World::start().await;
        world.save(READS).await;
        let id = world.run("reads", json!({"value": "v"})).await;
        let beside = Beside::new(&world, usize::MAX).await;
        let path = format!("/api/v1/runs/{id}?wait=20&until={until}");
        let begun = Instant::now();
        let work = async {
            beside.looked().await;
            for _ in 0..50 {
                chatter(&world, &id);
                // Whoever waits has heard of it by the time that this is answered.
                let asked = beside.operator.get("/api/v1/whoami").await;
                assert_eq!(asked.status, 200);
            }
            let value = json!({"value": "v"});
            world.owner.succeed(&id, "read", value).await;
        };
        let (run, ()) = tokio::join!(biased; beside.operator.get(&path), work);
        assert_eq!(run.json["status"], "succeeded", "{}", run.json);
        let quarters = begun.elapsed().as_millis() / 250;
        let reads = beside.reads() as u128;
        // At the beginning, at the first gap, and at the end.
        assert!(reads <= quarters + 4, "{until}: {reads} in {quarters}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_run_that_says_much_is_told_at_once() {
    let world = World::start().await;
    world.save(READS).await;
    let id = world.run("reads", json!({"value": "v"})).await;
    let beside = Beside::new(&world, usize::MAX).await;
    let path = format!("/api/v1/runs/{id}?wait=20");
    let work = async {
        beside.looked().await;
        for _ in 0..3 {
            chatter(&world, &id);
            let asked = beside.operator.get("/api/v1/whoami").await;
            assert_eq!(asked.status, 200);
        }
        let begun = Instant::now();
        chatter(&world, &id);
        let value = json!({"value": "v"});
        world.owner.succeed(&id, "read", value).await;
        begun
    };
    let (run, begun) = tokio::join!(biased; beside.operator.get(&path), work);
    assert_eq!(run.json["status"], "succeeded", "{}", run.json);
    // The clock goes on only where everybody waits for it.
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn a_large_run_is_waited_for_without_keeping_it() {
    let world = World::start().await;
    let steps: String = (0..40)
        .map(|n| format!("  - id: s{n}\n    uses: demo/read\n    with: {{ value: x }}\n"))
        .collect();
    world
        .save(&format!("workflow: large\nsteps:\n{steps}"))
        .await;
    let started = world
        .operator
        .post("/api/v1/workflows/large/runs")
        .header("prefer", "wait=30");
    let work = async {
        let id = loop {
            let list = world.operator.get("/api/v1/runs").await;
            if let [run] = list.items() {
                break run["id"].as_str().expect("an id").to_owned();
            }
        };
        for n in 0..40 {
            let value = json!({"value": "v".repeat(4_096)});
            world.owner.succeed(&id, &format!("s{n}"), value).await;
        }
    };
    let nothing = json!({});
    let (run, ()) = tokio::join!(biased; started.json(&nothing), work);
    assert_eq!(
        (run.status, &run.json["status"]),
        (200, &json!("succeeded"))
    );
    assert_eq!(run.json["steps"].as_array().map(Vec::len), Some(40));
}

#[tokio::test]
async fn a_run_that_was_accepted_is_not_refused_when_waiting_for_it_fails() {
    let world = World::start().await;
    world.save(WAITS).await;
    // Its key is looked up, and then nothing can be read any more.
    let beside = Beside::new(&world, 1).await;
    let start = |wait: &'static str| {
        let ask = beside.operator.post("/api/v1/workflows/waits/runs");
        let ask = ask.header("idempotency-key", "k").header("prefer", wait);
        async move { ask.json(&json!({})).await }
    };
    let first = start("wait=0").await;
    assert_eq!(first.status, 202, "{}", first.body);
    let again = start("wait=5").await;
    assert_eq!(again.status, 202, "{}", again.body);
    assert_eq!(again.json, first.json);
    assert_eq!(beside.reads(), 2, "it was waited for");
}

#[tokio::test]
async fn who_follows_a_run_is_told_where_lines_may_be_missing() {
    let world = World::start().await;
    world.save(WAITS).await;
    let id = world.run("waits", json!({})).await;
    let path = format!("/api/v1/runs/{id}/events");
    let mut parts = world.operator.open(&path, &[]).await.bytes_stream();
    let (mut text, mut told) = (String::new(), 0);
    while !text.contains("event: gap\n") {
        // The next beat comes after 15 s.
        let part = timeout(Duration::from_secs(10), parts.next()).await;
        let part = part
            .expect("it is told")
            .expect("it goes on")
            .expect("a part");
        text.push_str(std::str::from_utf8(&part).expect("text"));
        if told < 3 && text.contains("event: record\n") {
            // It may hear of the first ones while it still reads the journal.
            chatter(&world, &id);
            told += 1;
        }
    }
    assert_eq!(text.matches("id: 1\n").count(), 1, "{text}");
}
