//! Runs that an alert's episode names and that nobody has made: whoever planned them died.

use engine::duration::Duration;
use engine::id::{RunId, Shard, Tenant};
use engine::key::{Episode, KeyState, PlannedRun, episode_key};
use engine::time::Timestamp;
use serde_json::json;

use crate::hooks::{SILENCES, alert, at, deliver, firing, ids, runs, start};
use crate::support::World;

/// An episode of the alert `Down` whose run was planned and never made.
async fn plan(world: &World, ended_at: Option<Timestamp>) -> RunId {
    let now = world.backend.clock.now();
    let run = RunId::new(now, Shard(0), 5);
    let episode = Episode {
        ended_at,
        seen: [at(1).parse().expect("a time")].into(),
        last_seen: now,
        runs: vec![PlannedRun {
            cancel: true,
            ..PlannedRun::new("silences", run)
        }],
        ended_runs: Vec::new(),
    };
    let name = episode_key("alerts", "alert", "f-Down");
    let value = KeyState::Episode(episode).encode();
    let expires = now.plus(Duration::from_secs(86_400));
    let (keys, tenant) = (&world.backend.keys, Tenant::default());
    let made = keys.create(&tenant, &name, &value, expires).await;
    made.expect("it is new");
    run
}

#[tokio::test]
async fn a_planned_run_that_was_never_made_is_made_by_whoever_comes_next() {
    for late in [false, true] {
        let (world, sender) = start().await;
        let planned = plan(&world, None).await;
        if late {
            world.clock.advance(Duration::from_secs(360));
        }
        let status = if late { "resolved" } else { "firing" };
        let answer = deliver(&sender, json!([alert("Down", status, &at(1), &at(9))])).await;
        let found = ids(&answer);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0] == planned.to_string(), !late);
        let run = world
            .operator
            .get(&format!(
                "/api/v1/runs/{}?wait=20&until=attention",
                found[0]
            ))
            .await
            .json;
        assert_eq!(run["status"], if late { "cancelled" } else { "waiting" });
        assert_eq!(runs(&world).await, 1);
    }
}

/// One of a pair of Alertmanagers told the start and the other the end, and whoever took them died before the run was
/// made: the repetition of the start must not name a run that is not there.
#[tokio::test]
async fn a_run_that_was_planned_before_the_end_is_made_when_its_start_is_repeated() {
    let (world, sender) = start().await;
    let ended = at(9).parse().expect("a time");
    let planned = plan(&world, Some(ended)).await;

    let answer = deliver(&sender, json!([firing("Down", &at(1))])).await;
    assert_eq!(ids(&answer), [planned.to_string()]);
    let path = format!("/api/v1/runs/{planned}?wait=20&until=end");
    let run = world.operator.get(&path).await.json;
    assert_eq!(run["status"], "cancelled", "{run}");
    assert_eq!(runs(&world).await, 1);
}

#[tokio::test]
async fn a_planned_run_that_nobody_wants_any_more_is_not_named() {
    let (world, sender) = start().await;
    plan(&world, None).await;
    world.save(&SILENCES.replace("'page'", "'other'")).await;
    let answer = deliver(&sender, json!([firing("Down", &at(1))])).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    assert!(ids(&answer).is_empty(), "{}", answer.json);
    assert_eq!(runs(&world).await, 0);
}
