//! Promises about the end of a run's life.

use engine::digest::Digest;
use engine::event::RunStatus;
use engine::id::{RunKey, Shard, Tenant};
use engine::time::Timestamp;

use super::sample::{Birth, Sample};
use super::{Verdict, World, cases, first, must, none, numbers, refused, same, store};
use crate::port::{Retention, RunFilter};
use crate::{Backend, Error};

cases![
    ended_runs_are_listed_oldest_first,
    ended_runs_are_listed_up_to_a_time_and_a_number,
    an_archived_run_is_read_as_before,
    an_archived_run_takes_no_append,
    an_open_run_is_not_archived,
    archiving_again_changes_nothing,
    archived_runs_survive_a_restart,
    runs_over_the_age_expire,
    runs_over_the_number_expire,
    expired_runs_come_oldest_first,
    a_removed_run_is_gone,
    a_removed_run_is_never_created_again,
    only_archived_runs_are_removed,
];

/// Stores whole runs of these numbers; a run's end is two seconds after its birth, births a second apart.
async fn ended(backend: &Backend, numbers: &[u64]) -> Result<Vec<RunKey>, Error> {
    let mut keys = Vec::new();
    for number in numbers {
        let run = Sample::whole(&Birth::number(*number));
        store(backend, &run).await?;
        keys.push(run.key);
    }
    Ok(keys)
}

fn end_of(number: u64) -> Timestamp {
    Timestamp::from_millis(Birth::number(number).at.millis() + 2_000)
}

async fn ended_runs_are_listed_oldest_first(world: World) -> Verdict {
    let keys = ended(&world.backend, &[5, 1, 3]).await?;
    store(&world.backend, &Sample::born(&Birth::number(0))).await?;
    let found = world.backend.archive.ended(Timestamp::MAX, 10).await?;
    same!(found, [keys[1].clone(), keys[2].clone(), keys[0].clone()]);
    world.backend.archive.archive(&found[..1]).await?;
    same!(
        world.backend.archive.ended(Timestamp::MAX, 10).await?,
        found[1..]
    );
    Ok(())
}

async fn ended_runs_are_listed_up_to_a_time_and_a_number(world: World) -> Verdict {
    let keys = ended(&world.backend, &[1, 2, 3, 4]).await?;
    let archive = &world.backend.archive;
    same!(archive.ended(end_of(3), 10).await?, keys[..3]);
    let just_before = Timestamp::from_millis(end_of(3).millis() - 1);
    same!(archive.ended(just_before, 10).await?, keys[..2]);
    same!(archive.ended(end_of(4), 2).await?, keys[..2]);
    Ok(())
}

async fn an_archived_run_is_read_as_before(world: World) -> Verdict {
    let keys = ended(&world.backend, &[1, 2]).await?;
    let journal = &world.backend.journal;
    let before = journal.read(&keys[0], 0).await?;
    world.backend.archive.archive(&keys).await?;
    same!(journal.read(&keys[0], 0).await?, before);
    same!(journal.read(&keys[0], 2).await?, before[2..]);
    let Some(tenant) = Tenant::new("other") else {
        return Ok(());
    };
    let foreign = RunKey {
        tenant,
        run: keys[0].run,
    };
    none!(numbers(&journal.read(&foreign, 0).await?));
    Ok(())
}

async fn an_archived_run_takes_no_append(mut world: World) -> Verdict {
    let mut run = Sample::whole(&Birth::number(1));
    store(&world.backend, &run).await?;
    world
        .backend
        .archive
        .archive(std::slice::from_ref(&run.key))
        .await?;
    run.next(RunStatus::Succeeded, Vec::new());
    for _ in 0..2 {
        let journal = &world.backend.journal;
        refused!(Conflict, journal.append(run.last().0, run.last().1).await);
        let (born, events) = &run.records[0];
        refused!(Conflict, journal.append(born, events).await);
        same!(numbers(&journal.read(&run.key, 0).await?), [1, 2, 3]);
        world.restart().await;
    }
    Ok(())
}

async fn an_open_run_is_not_archived(world: World) -> Verdict {
    let mut run = Sample::born(&Birth::number(1));
    store(&world.backend, &run).await?;
    world
        .backend
        .archive
        .archive(std::slice::from_ref(&run.key))
        .await?;
    same!(
        world.backend.journal.open_runs(Shard(0)).await?.runs.len(),
        1
    );
    run.start();
    world
        .backend
        .journal
        .append(run.last().0, run.last().1)
        .await?;
    Ok(())
}

async fn archiving_again_changes_nothing(world: World) -> Verdict {
    let keys = ended(&world.backend, &[1]).await?;
    for _ in 0..2 {
        world.backend.archive.archive(&keys).await?;
        same!(
            numbers(&world.backend.journal.read(&keys[0], 0).await?),
            [1, 2, 3]
        );
    }
    Ok(())
}

async fn archived_runs_survive_a_restart(mut world: World) -> Verdict {
    let keys = ended(&world.backend, &[1]).await?;
    world.backend.archive.archive(&keys).await?;
    world.restart().await;
    same!(
        numbers(&world.backend.journal.read(&keys[0], 0).await?),
        [1, 2, 3]
    );
    let all = Retention {
        before: Timestamp::MAX,
        number: 0,
    };
    same!(world.backend.archive.expired(all, 10).await?, keys);
    Ok(())
}

async fn archived(world: &World, numbers: &[u64]) -> Result<Vec<RunKey>, Error> {
    let keys = ended(&world.backend, numbers).await?;
    world.backend.archive.archive(&keys).await?;
    Ok(keys)
}

async fn runs_over_the_age_expire(world: World) -> Verdict {
    let keys = archived(&world, &[1, 2, 3]).await?;
    let keep = Retention {
        before: end_of(3),
        number: 100,
    };
    same!(world.backend.archive.expired(keep, 10).await?, keys[..2]);
    Ok(())
}

async fn runs_over_the_number_expire(world: World) -> Verdict {
    let keys = archived(&world, &[1, 2, 3, 4]).await?;
    let archive = &world.backend.archive;
    let never = Timestamp::from_millis(0);
    for (number, gone) in [(100, 0), (4, 0), (3, 1), (0, 4)] {
        let keep = Retention {
            before: never,
            number,
        };
        same!(archive.expired(keep, 10).await?, keys[..gone]);
    }
    // One is too old; of the three others two may stay.
    let keep = Retention {
        before: end_of(2),
        number: 2,
    };
    same!(archive.expired(keep, 10).await?, keys[..2]);
    Ok(())
}

async fn expired_runs_come_oldest_first(world: World) -> Verdict {
    let keys = archived(&world, &[3, 1, 2]).await?;
    let none = Retention {
        before: Timestamp::MAX,
        number: 0,
    };
    same!(
        world.backend.archive.expired(none, 2).await?,
        [keys[1].clone(), keys[2].clone()]
    );
    Ok(())
}

async fn a_removed_run_is_gone(mut world: World) -> Verdict {
    let mut birth = Birth::number(1);
    birth.labels = vec![("team", "payments")];
    let run = Sample::whole(&birth);
    store(&world.backend, &run).await?;
    let digest = Digest::of(b"large");
    world.backend.blobs.put(&run.key, digest, b"large").await?;
    let keys = [run.key.clone()];
    world.backend.archive.archive(&keys).await?;
    world.backend.archive.remove(&keys).await?;
    for _ in 0..2 {
        let backend = &world.backend;
        none!(numbers(&backend.journal.read(&run.key, 0).await?));
        same!(backend.blobs.get(&run.key, digest).await?, None);
        let tenant = Tenant::default();
        for labels in [
            vec![],
            vec![("team".to_owned(), vec!["payments".to_owned()])],
        ] {
            let filter = RunFilter {
                labels,
                ..RunFilter::default()
            };
            none!(
                backend
                    .views
                    .runs(&tenant, &filter, &first(10))
                    .await?
                    .items
            );
        }
        let all = Retention {
            before: Timestamp::MAX,
            number: 0,
        };
        none!(backend.archive.expired(all, 10).await?);
        world.restart().await;
    }
    Ok(())
}

async fn a_removed_run_is_never_created_again(mut world: World) -> Verdict {
    let run = Sample::whole(&Birth::number(1));
    // A run id may be created for five minutes after its time; here the end of its life is reached within them.
    world.clock.set(run.last().0.at);
    store(&world.backend, &run).await?;
    let keys = [run.key.clone()];
    world.backend.archive.archive(&keys).await?;
    world.backend.archive.remove(&keys).await?;
    for _ in 0..2 {
        for (record, events) in &run.records {
            refused!(Conflict, world.backend.journal.append(record, events).await);
        }
        must!(
            world.backend.journal.read(&run.key, 0).await?.is_empty(),
            "it lives"
        );
        world.restart().await;
    }
    Ok(())
}

async fn only_archived_runs_are_removed(world: World) -> Verdict {
    let ended = ended(&world.backend, &[1]).await?;
    let open = Sample::born(&Birth::number(2));
    store(&world.backend, &open).await?;
    let both = [ended[0].clone(), open.key.clone()];
    world.backend.archive.remove(&both).await?;
    same!(
        numbers(&world.backend.journal.read(&ended[0], 0).await?),
        [1, 2, 3]
    );
    same!(
        numbers(&world.backend.journal.read(&open.key, 0).await?),
        [1]
    );
    Ok(())
}
