//! What is damaged is told as damaged, and harms nothing else.

use engine::digest::Digest;
use engine::id::Shard;
use engine::time::Timestamp;

use super::sample::{Birth, Sample};
use super::{Damage, Verdict, World, cases, must, numbers, refused, same, store};
use crate::port::Retention;

cases![
    a_damaged_record_is_not_read,
    a_missing_record_is_noticed,
    a_missing_record_is_noticed_at_the_start,
    a_damaged_head_is_noticed_at_the_start,
    damage_harms_no_other_run,
    a_damaged_ended_run_keeps_no_other_from_the_archive,
    a_damaged_archived_run_is_not_read,
    a_damaged_blob_is_not_read,
];

/// A run that has not ended, with three records.
async fn open(world: &World, number: u64) -> Result<Sample, crate::Error> {
    let mut run = Sample::born(&Birth::number(number));
    run.start()
        .next(engine::event::RunStatus::Waiting, Vec::new());
    store(&world.backend, &run).await?;
    Ok(run)
}

async fn a_damaged_record_is_not_read(mut world: World) -> Verdict {
    for n in 1..=3 {
        let run = open(&world, n).await?;
        if world.damage(&Damage::Record(run.key.clone(), n)) {
            refused!(Corrupt, world.backend.journal.read(&run.key, 0).await);
        }
    }
    Ok(())
}

async fn a_missing_record_is_noticed(mut world: World) -> Verdict {
    for n in 1..=3 {
        let run = open(&world, n).await?;
        if world.damage(&Damage::NoRecord(run.key.clone(), n)) {
            refused!(Corrupt, world.backend.journal.read(&run.key, 0).await);
        }
    }
    Ok(())
}

async fn a_missing_record_is_noticed_at_the_start(mut world: World) -> Verdict {
    for n in 1..=3 {
        let run = open(&world, n).await?;
        if world.damage(&Damage::NoRecord(run.key.clone(), n)) {
            must_be_damaged(&mut world, &run).await?;
        }
    }
    Ok(())
}

async fn a_damaged_head_is_noticed_at_the_start(mut world: World) -> Verdict {
    let run = open(&world, 1).await?;
    if world.damage(&Damage::Head(run.key.clone())) {
        must_be_damaged(&mut world, &run).await?;
        refused!(Corrupt, world.backend.journal.read(&run.key, 0).await);
        let mut next = run.clone();
        next.start();
        refused!(
            Corrupt,
            world
                .backend
                .journal
                .append(next.last().0, next.last().1)
                .await
        );
    }
    Ok(())
}

async fn must_be_damaged(world: &mut World, run: &Sample) -> Verdict {
    world.restart().await;
    let open = world.backend.journal.open_runs(Shard(0)).await?.runs;
    let found: Vec<_> = open.iter().filter(|open| open.key == run.key).collect();
    must!(
        found.len() == 1,
        "{} times among the open runs",
        found.len()
    );
    must!(found[0].summary.is_err(), "it is shown as whole");
    Ok(())
}

async fn damage_harms_no_other_run(mut world: World) -> Verdict {
    let (sick, mut well) = (open(&world, 1).await?, open(&world, 2).await?);
    let done = world.damage(&Damage::Record(sick.key.clone(), 2))
        && world.damage(&Damage::Head(sick.key.clone()));
    if !done {
        return Ok(());
    }
    world.restart().await;
    let journal = &world.backend.journal;
    let open = journal.open_runs(Shard(0)).await?.runs;
    let whole: Vec<_> = open.iter().filter(|run| run.summary.is_ok()).collect();
    must!(whole.len() == 1 && whole[0].key == well.key, "{open:?}");
    well.start();
    journal.append(well.last().0, well.last().1).await?;
    same!(numbers(&journal.read(&well.key, 0).await?), [1, 2, 3, 4]);
    Ok(())
}

async fn a_damaged_ended_run_keeps_no_other_from_the_archive(mut world: World) -> Verdict {
    let runs = [1, 2].map(|number| Sample::whole(&Birth::number(number)));
    for run in &runs {
        store(&world.backend, run).await?;
    }
    let [sick, well] = runs.map(|run| run.key);
    if !world.damage(&Damage::Head(sick.clone())) {
        return Ok(());
    }
    let archive = &world.backend.archive;
    let ended = archive.ended(Timestamp::MAX, 1).await?;
    same!(ended, std::slice::from_ref(&well));
    archive.archive(&[sick, well.clone()]).await?;
    let all = Retention {
        before: Timestamp::MAX,
        number: 0,
    };
    same!(archive.expired(all, 10).await?, [well]);
    Ok(())
}

async fn a_damaged_archived_run_is_not_read(mut world: World) -> Verdict {
    let run = Sample::whole(&Birth::number(1));
    store(&world.backend, &run).await?;
    world
        .backend
        .archive
        .archive(std::slice::from_ref(&run.key))
        .await?;
    if world.damage(&Damage::Archived(run.key.clone())) {
        refused!(Corrupt, world.backend.journal.read(&run.key, 0).await);
    }
    Ok(())
}

async fn a_damaged_blob_is_not_read(mut world: World) -> Verdict {
    let run = open(&world, 1).await?;
    let digest = Digest::of(b"large");
    world.backend.blobs.put(&run.key, digest, b"large").await?;
    if world.damage(&Damage::Blob(run.key.clone(), digest)) {
        refused!(Corrupt, world.backend.blobs.get(&run.key, digest).await);
    }
    Ok(())
}
