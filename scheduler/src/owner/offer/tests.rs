//! Which jobs are offered to which workers.

use engine::event::Event;
use engine::id::Tenant;
use engine::manifest::Manifest;
use engine::registry::{Agent, Kind, encode};
use engine::time::Timestamp;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::json;
use store::port::{Change, Item};

use super::super::sample::{granted, owner, run_number};
use super::*;
use crate::detector::Counts;
use crate::pools::News;

/// More than an owner offers to workers of which it knows nothing.
const RUNS: u64 = 70;
const OFFERED: usize = 64;

/// That the registry says which pool has the agent.
fn demo_is_in(pool: &str, revision: u64) -> News {
    let manifest =
        json!({ "name": "demo", "version": "1", "description": "", "actions": [], "settings": [] });
    let agent = Agent {
        manifest: serde_json::from_value::<Manifest>(manifest).expect("a manifest"),
        form: "native".to_owned(),
        pool: Pool::new(pool).expect("a name"),
        executable: None,
        read_at: Timestamp::from_millis(0),
        unauthenticated: false,
        metadata_unavailable: None,
    };
    News::Changes(vec![Change::Put(Item {
        key: Kind::Agents.key(&Tenant::default(), "demo"),
        value: encode(&agent),
        revision,
    })])
}

/// Runs whose first step has been dispatched.
fn owe(owner: &mut Owner) {
    let now = owner.backend.clock.now();
    let mut events = granted(now);
    assert!(matches!(events.pop(), Some(Event::AttemptGranted { .. })));
    for n in 0..RUNS {
        let run = run_number(n, now, &events);
        let key = run.key().clone();
        let mut slot = Box::<Slot>::default();
        slot.run = Some(run);
        owner.sync(&key, &slot, true);
        owner.slots.put(&key, slot);
    }
}

fn pump(owner: &mut Owner) {
    owner.pump();
    while let Some(Some(input)) = owner.inputs.next().now_or_never() {
        owner.take(input).expect("it goes on");
    }
}

async fn queued(owner: &Owner) -> [u64; 3] {
    let mut lengths = [0; 3];
    for (length, pool) in lengths.iter_mut().zip(["default", "far", "near"]) {
        *length = owner
            .backend
            .jobs
            .queue(pool)
            .await
            .expect("it answers")
            .length;
    }
    lengths
}

fn counts(owner: &Owner, pool: &str) -> (usize, usize) {
    let pool = Pool::new(pool).expect("a name");
    let Counts {
        backlog, queued, ..
    } = owner
        .detector
        .counts()
        .get(&pool)
        .copied()
        .unwrap_or_default();
    (backlog, queued)
}

#[tokio::test]
async fn a_job_goes_to_the_pool_that_has_its_agent() {
    let mut owner = owner(false);
    assert!(
        owner
            .pools
            .learn(demo_is_in("far", 1))
            .contains(&Pool::default())
    );
    owe(&mut owner);
    pump(&mut owner);
    assert_eq!(queued(&owner).await, [0, 64, 0]);
    assert_eq!(counts(&owner, "far"), (6, OFFERED));
    assert_eq!(counts(&owner, "default"), (0, 0));
}

/// The workers of the old pool may be gone for ever.
#[tokio::test]
async fn jobs_follow_an_agent_to_another_pool() {
    let mut owner = owner(false);
    owner.pools.learn(demo_is_in("far", 1));
    owe(&mut owner);
    pump(&mut owner);
    owner
        .agents_seen(Ok(demo_is_in("near", 2)))
        .expect("it goes on");
    pump(&mut owner);
    assert_eq!(queued(&owner).await, [0, 64, 64]);
    assert_eq!(counts(&owner, "near"), (6, OFFERED));
    assert_eq!(counts(&owner, "far"), (0, 0));
}

/// The answer to an offer comes when the agent has left already.
#[tokio::test]
async fn a_job_on_its_way_to_the_old_pool_follows_too() {
    let mut owner = owner(false);
    owner.pools.learn(demo_is_in("far", 1));
    owe(&mut owner);
    owner.pump();
    owner
        .agents_seen(Ok(demo_is_in("near", 2)))
        .expect("it goes on");
    pump(&mut owner);
    assert_eq!(queued(&owner).await, [0, 64, 64]);
    assert_eq!(counts(&owner, "near"), (6, OFFERED));
    assert_eq!(counts(&owner, "far"), (0, 0));
    // Places of the old queue mean nothing in the new one.
    let near = Pool::new("near").expect("a name");
    let queue = owner.backend.jobs.queue("near").await;
    owner.queue_seen(&near, queue).expect("it goes on");
    assert_eq!(counts(&owner, "near"), (6, OFFERED));
}

#[tokio::test]
async fn each_pool_has_room_for_what_its_own_workers_can_take() {
    let mut owner = owner(false);
    owner.pools.learn(demo_is_in("far", 1));
    let now = Instant::now();
    let [far, near] = ["far", "near"].map(|name| Pool::new(name).expect("a name"));
    owner.desks.of(&far).free_slots("w1", 33, now);
    owner.desks.of(&near).free_slots("w2", 500, now);
    owe(&mut owner);
    pump(&mut owner);
    assert_eq!(queued(&owner).await, [0, 66, 0]);
}
