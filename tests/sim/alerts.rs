//! Alerts: two Alertmanagers tell of the same one, each until it is answered, again and again, and at last that it is
//! over.

use std::sync::Arc;
use std::time::Duration;

use engine::id::Tenant;
use engine::time::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::judge::Moment;
use crate::world::World;

/// An Alertmanager gives up after so many tries.
const TRIES_MAX: u32 = 60;
const HOOK: &str = "alerts";

/// One alert with one beginning and one end.
pub(crate) struct Alert {
    name: String,
    /// When it began, as this one of the pair sees it.
    starts_at: Timestamp,
    /// How long after that it is told of, told of again, and over.
    told_ms: [u64; 3],
}

impl Alert {
    /// An alert that begins now.
    pub(crate) fn begun(world: &World) -> Self {
        Self {
            name: "0".to_owned(),
            starts_at: world.now(),
            told_ms: [0; 3],
        }
    }
}

/// What a request of an alert is called.
pub(crate) fn name(fingerprint: &str) -> String {
    format!("alert {fingerprint}")
}

/// An alert, and the pair that tells of it.
pub(crate) fn alert(world: &Arc<World>, number: u64, tasks: &mut JoinSet<()>) {
    // A start is held against the last delivery: whose clock falls behind theirs takes one alert for two.
    world.clock.go_forward();
    let begin = world.throw(|dice| dice.between(4_000, 40_000));
    let end = world.throw(|dice| dice.between(10_000, 40_000));
    for _ in 0..2 {
        let (earlier, late, again) = world.throw(|dice| {
            let late = if dice.chance(500_000) {
                0
            } else {
                dice.between(0, 2_000)
            };
            (dice.between(0, 3_000), late, dice.between(2_000, 9_000))
        });
        let starts_at = Timestamp::from_millis(world.now().millis() + begin - earlier);
        let alert = Alert {
            name: format!("{number}"),
            starts_at,
            told_ms: [begin + late, again, end],
        };
        tasks.spawn(tell(world.clone(), alert));
    }
}

async fn tell(world: Arc<World>, alert: Alert) {
    let [first, again, end] = alert.told_ms;
    for (ms, firing) in [(first, true), (again, true), (end, false), (again, true)] {
        sleep(Duration::from_millis(ms)).await;
        deliver(&world, &alert, firing).await;
    }
}

/// Tells of it, until there is an answer.
pub(crate) async fn deliver(world: &Arc<World>, alert: &Alert, firing: bool) {
    let ends_at = if firing {
        "0001-01-01T00:00:00Z".to_owned()
    } else {
        world.now().to_string()
    };
    let body = json!({ "alerts": [{
        "status": if firing { "firing" } else { "resolved" },
        "labels": { "instance": alert.name },
        "startsAt": alert.starts_at.to_string(),
        "endsAt": ends_at,
        "fingerprint": alert.name,
    }] });
    let body = body.to_string();
    for _ in 0..TRIES_MAX {
        let door = world.door();
        let tenant = Tenant::default();
        let telling = door
            .gateway
            .deliver(&tenant, HOOK, &world.saved.alarm, body.as_bytes());
        match door.life.ask(Box::pin(telling)).await {
            Some(Ok(runs)) => {
                let request = &name(&alert.name);
                world.note(format_args!("{request}, firing: {firing}, has {runs:?}"));
                for run in &runs {
                    world.see(&Moment::Accepted { request, run });
                }
                return;
            }
            Some(Err(why)) => world.note(format_args!("alert {}: {why}", alert.name)),
            None => {}
        }
        let ms = world.throw(|dice| dice.between(50, 2_000));
        sleep(Duration::from_millis(ms)).await;
    }
}
