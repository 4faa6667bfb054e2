//! The same request twice is one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use engine::digest::Digest;
use engine::duration::Duration;
use engine::id::{RunKey, Tenant};
use engine::key::KeyState;
use engine::time::Timestamp;
use serde_json::{Value, json};
use store::clock::SystemRandom;
use store::embedded::{Embedded, Options, Place};
use store::port::Blobs;
use store::{Backend, Error};

use crate::support::owner::key_of;
use crate::support::{Answer, READS, TestClock, WAITS, World, config};

async fn start(world: &World, key: &str, body: &Value) -> Answer {
    let ask = world.operator.post("/api/v1/workflows/reads/runs");
    ask.header("idempotency-key", key).json(body).await
}

#[tokio::test]
async fn a_repeated_submit_is_one_run() {
    let world = World::start().await;
    world.save(READS).await;
    let body = json!({"inputs": {"value": "v"}});
    let first = start(&world, "k", &body).await;
    assert_eq!(
        (first.status, first.header("idempotency-replayed")),
        (202, "")
    );
    let again = start(&world, "k", &body).await;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (202, "true")
    );
    assert_eq!(again.json, first.json);
    let other = start(&world, "k", &json!({"inputs": {"value": "w"}})).await;
    assert_eq!(other.code(422), "idempotency_mismatch");
    let ask = world
        .engineer
        .post("/api/v1/workflows/reads/runs")
        .header("idempotency-key", "k");
    let somebody_else = ask.json(&body).await;
    assert_ne!(
        somebody_else.json["id"], first.json["id"],
        "keys are per principal"
    );
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 2);
}

#[tokio::test]
async fn many_at_once_are_one_run_too() {
    let world = World::start().await;
    world.save(READS).await;
    let body = json!({"inputs": {"value": "v"}});
    let all = futures::future::join_all((0..16).map(|_| start(&world, "k", &body))).await;
    let ids: std::collections::BTreeSet<String> = all.iter().map(|a| a.text("id")).collect();
    assert_eq!(ids.len(), 1);
    let first = all
        .iter()
        .filter(|a| a.header("idempotency-replayed").is_empty())
        .count();
    assert_eq!(first, 1);
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 1);
}

#[tokio::test]
async fn a_repetition_is_answered_also_when_the_workflow_would_refuse_it_now() {
    let world = World::start().await;
    world.save(READS).await;
    let body = json!({"inputs": {"value": "v"}});
    let first = start(&world, "k", &body).await;
    world
        .save(&READS.replace("inputs:\n", "inputs:\n  more: { type: string }\n"))
        .await;
    let again = start(&world, "k", &body).await;
    assert_eq!(again.json["id"], first.json["id"]);
    assert_eq!(start(&world, "new", &body).await.code(422), "invalid");
    assert_eq!(
        world
            .engineer
            .delete("/api/v1/workflows/reads")
            .empty()
            .await
            .status,
        204
    );
    assert_eq!(start(&world, "k", &body).await.json["id"], first.json["id"]);
}

/// What the only key of an installation with one keyed run is called.
async fn key_name(world: &World, run: &str) -> String {
    let entries = world
        .backend
        .journal
        .read(&key_of(run), 0)
        .await
        .expect("in memory");
    let events = entries[0].record.events().expect("events");
    let engine::event::Event::RunCreated(created) = &events[0] else {
        panic!("the first event is another");
    };
    created.keys[0].clone()
}

#[tokio::test]
async fn a_run_that_is_gone_is_not_made_again() {
    let world = World::start().await;
    world.save(READS).await;
    let body = json!({"inputs": {"value": "v"}});
    let run = start(&world, "k", &body).await.text("id");
    let name = key_name(&world, &run).await;
    let (tenant, keys) = (Tenant::default(), &world.backend.keys);
    let now = world.backend.clock.now();
    let kept = keys
        .get(&tenant, &name, now)
        .await
        .expect("in memory")
        .expect("kept");
    let mut state = KeyState::decode(&kept.value).expect("a state");
    assert!(state.mark_gone(run.parse().expect("an id")));
    keys.put(&tenant, &name, &kept, &state.encode(), kept.expires)
        .await
        .expect("nobody else");
    assert_eq!(start(&world, "k", &body).await.code(409), "run_expired");
}

#[tokio::test]
async fn a_key_whose_run_was_never_made_makes_it_also_late() {
    for (late, same) in [(false, true), (true, false)] {
        let world = World::start().await;
        world.save(READS).await;
        let body = json!({"inputs": {"value": "v"}});
        let who = engine::principal::Principal::Key("otto".to_owned());
        let name = engine::key::idempotency_key(&who, "/api/v1/workflows/reads/runs", "k");
        let planned = engine::id::RunId::new(world.backend.clock.now(), engine::id::Shard(0), 9);
        let state = KeyState::Submit {
            body: engine::digest::Digest::of(body.to_string().as_bytes()),
            run: engine::key::PlannedRun::new("reads", planned),
        };
        let expires = world.backend.clock.now().plus(Duration::from_secs(86_400));
        let (tenant, state) = (Tenant::default(), state.encode());
        let create = world.backend.keys.create(&tenant, &name, &state, expires);
        create.await.expect("it is new");
        if late {
            world.clock.advance(Duration::from_secs(6 * 60));
        }
        let run = start(&world, "k", &body).await.text("id");
        assert_eq!(run == planned.to_string(), same, "late: {late}");
        assert_eq!(start(&world, "k", &body).await.text("id"), run);
    }
}

#[tokio::test]
async fn a_repeated_command_has_the_first_answer() {
    let world = World::start().await;
    world.save(WAITS).await;
    let id = world.run("waits", json!({})).await;
    let cancel = |body: Value| {
        let ask = world.operator.post(&format!("/api/v1/runs/{id}/cancel"));
        let ask = ask.header("idempotency-key", "c");
        async move { ask.json(&body).await }
    };
    let first = cancel(json!({"reason": "a"})).await;
    let again = cancel(json!({"reason": "a"})).await;
    assert_eq!((again.status, &again.json), (200, &first.json));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(
        cancel(json!({"reason": "b"})).await.code(422),
        "idempotency_mismatch"
    );
}

#[tokio::test]
async fn a_key_must_be_plain_text_of_255_characters() {
    let world = World::start().await;
    world.save(READS).await;
    let body = json!({"inputs": {"value": "v"}});
    assert_eq!(start(&world, &"k".repeat(255), &body).await.status, 202);
    assert_eq!(
        start(&world, &"k".repeat(256), &body).await.code(400),
        "malformed"
    );
    assert_eq!(start(&world, "", &body).await.code(400), "malformed");
}

/// Values that take as long to be stored as a run may be created after its claim.
struct Slow {
    blobs: Arc<dyn Blobs>,
    clock: Arc<TestClock>,
    slow: AtomicBool,
}

#[async_trait]
impl Blobs for Slow {
    async fn put(&self, key: &RunKey, digest: Digest, bytes: &[u8]) -> Result<(), Error> {
        if self.slow.swap(false, Ordering::Relaxed) {
            self.clock.advance(Duration::from_secs(301));
        }
        self.blobs.put(key, digest, bytes).await
    }

    async fn get(&self, key: &RunKey, digest: Digest) -> Result<Option<Vec<u8>>, Error> {
        self.blobs.get(key, digest).await
    }

    async fn sweep(&self, before: Timestamp, max: usize) -> Result<usize, Error> {
        self.blobs.sweep(before, max).await
    }
}

/// Whoever repeats the request may have made a run of another id by then.
#[tokio::test]
async fn a_run_that_comes_too_late_for_its_id_is_not_created() {
    let clock = Arc::new(TestClock::start());
    let options = Options::new(clock.clone(), Arc::new(SystemRandom));
    let (backend, _handle) = Embedded::inline(Place::Memory, options).expect("in memory");
    let blobs = Arc::new(Slow {
        blobs: backend.blobs.clone(),
        clock: clock.clone(),
        slow: AtomicBool::new(true),
    });
    let backend = Backend { blobs, ..backend };
    let world = World::over(config(), backend, clock).await;
    world.save(READS).await;
    let body = json!({"inputs": {"value": "x".repeat(20_000)}});
    let late = start(&world, "k", &body).await;
    assert_eq!(late.code(503), "unavailable");
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 0);
    assert_eq!(start(&world, "k", &body).await.status, 202);
    assert_eq!(world.operator.get("/api/v1/runs").await.items().len(), 1);
}
