//! Promises of the lists of deliveries.

use std::collections::BTreeMap;

use engine::event::{Event, RunStatus};
use engine::id::{RunId, Shard, Tenant};

use super::super::sample::{Birth, Sample, failure};
use super::super::{Broken, Verdict, World, cases, first, must, none, same, store};
use crate::port::{Delivery, DeliveryOutcome, Page};

cases![
    a_delivery_shows_the_runs_that_it_made,
    a_delivery_that_could_not_be_used_says_why,
    deliveries_without_runs_are_remembered,
    deliveries_are_listed_newest_first_in_parts,
    deliveries_are_those_of_the_hook,
    deliveries_with_runs_survive_a_restart,
];

/// The id of delivery `number`: a UUIDv7, as a run's is.
fn id(number: u64) -> RunId {
    RunId::new(Birth::number(number).at, Shard(9), number)
}

/// Run `number`, made by a delivery.
fn by(number: u64, delivery: u64) -> Birth {
    Birth {
        hook: Some(("alerts", id(delivery).to_string())),
        ..Birth::number(number)
    }
}

fn delivery(number: u64, outcome: DeliveryOutcome, runs: Vec<RunId>) -> Delivery {
    Delivery {
        id: id(number).to_string(),
        hook: "alerts".to_owned(),
        at: id(number).created_at(),
        outcome,
        runs,
        error: None,
        headers: BTreeMap::new(),
        body: None,
    }
}

fn unmatched(number: u64) -> Delivery {
    Delivery {
        headers: BTreeMap::from([("user-agent".to_owned(), "Alertmanager".to_owned())]),
        body: Some("{}".to_owned()),
        ..delivery(number, DeliveryOutcome::Unmatched, Vec::new())
    }
}

async fn list(world: &World, hook: &str) -> Result<Vec<Delivery>, Broken> {
    let views = &world.backend.views;
    Ok(views
        .deliveries(&Tenant::default(), hook, &first(100))
        .await?
        .items)
}

async fn a_delivery_shows_the_runs_that_it_made(world: World) -> Verdict {
    let runs: Vec<Sample> = (1..=3).map(|number| Sample::born(&by(number, 1))).collect();
    for run in &runs {
        store(&world.backend, run).await?;
    }
    let made = runs.iter().map(|run| run.key.run).collect();
    same!(
        list(&world, "alerts").await?,
        [delivery(1, DeliveryOutcome::Accepted, made)]
    );
    Ok(())
}

async fn a_delivery_that_could_not_be_used_says_why(world: World) -> Verdict {
    let ended = Event::RunEnded {
        status: RunStatus::Failed,
        outputs: BTreeMap::new(),
        failure: Some(failure("trigger_error")),
    };
    let run = Sample::born_with(&by(1, 1), RunStatus::Failed, vec![ended]);
    store(&world.backend, &run).await?;
    let mut expected = delivery(1, DeliveryOutcome::Error, vec![run.key.run]);
    expected.error = Some("it failed: trigger_error".to_owned());
    same!(list(&world, "alerts").await?, [expected]);
    Ok(())
}

async fn deliveries_without_runs_are_remembered(world: World) -> Verdict {
    let views = &world.backend.views;
    views
        .note_delivery(&Tenant::default(), &unmatched(1))
        .await?;
    views
        .note_delivery(&Tenant::default(), &unmatched(1))
        .await?;
    same!(list(&world, "alerts").await?, [unmatched(1)]);
    Ok(())
}

async fn deliveries_are_listed_newest_first_in_parts(world: World) -> Verdict {
    let mut expected = Vec::new();
    for number in 0..20 {
        if number % 3 == 0 {
            world
                .backend
                .views
                .note_delivery(&Tenant::default(), &unmatched(number))
                .await?;
            expected.push(unmatched(number));
            continue;
        }
        let mut runs = Vec::new();
        for of in 0..2 {
            let run = Sample::born(&by(2 * number + of, number));
            store(&world.backend, &run).await?;
            runs.push(run.key.run);
        }
        expected.push(delivery(number, DeliveryOutcome::Accepted, runs));
    }
    expected.reverse();
    for limit in [1, 3, 20] {
        let mut page = first(limit);
        let mut all = Vec::new();
        loop {
            let views = &world.backend.views;
            let part = views
                .deliveries(&Tenant::default(), "alerts", &page)
                .await?;
            must!(
                part.items.len() <= limit && all.len() <= 40,
                "the parts do not end"
            );
            all.extend(part.items);
            let Some(next) = part.next else { break };
            page = Page {
                limit,
                after: Some(next),
            };
        }
        same!(all, expected);
    }
    Ok(())
}

async fn deliveries_are_those_of_the_hook(world: World) -> Verdict {
    store(&world.backend, &Sample::born(&by(1, 1))).await?;
    world
        .backend
        .views
        .note_delivery(&Tenant::default(), &unmatched(2))
        .await?;
    none!(list(&world, "other").await?);
    let Some(tenant) = Tenant::new("other") else {
        return Ok(());
    };
    let theirs = world
        .backend
        .views
        .deliveries(&tenant, "alerts", &first(10))
        .await?;
    none!(theirs.items);
    same!(list(&world, "alerts").await?.len(), 2);
    Ok(())
}

async fn deliveries_with_runs_survive_a_restart(mut world: World) -> Verdict {
    let run = Sample::born(&by(1, 1));
    store(&world.backend, &run).await?;
    world.restart().await;
    let found = list(&world, "alerts").await?;
    must!(
        found.contains(&delivery(1, DeliveryOutcome::Accepted, vec![run.key.run])),
        "{found:?}"
    );
    Ok(())
}
