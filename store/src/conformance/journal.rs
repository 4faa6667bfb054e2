//! Promises of the journals.

use std::collections::BTreeSet;

use engine::event::RunStatus;
use engine::id::{Nonce, RunKey, Shard, Tenant};
use engine::record::Encoded;
use futures::future::join_all;

use super::sample::{Birth, Sample};
use super::{Verdict, World, cases, must, none, numbers, refused, same, soon, store};
use crate::Error;
use crate::port::Entry;

cases![
    what_was_appended_is_read_back,
    a_run_is_created_once,
    an_append_needs_the_next_number,
    an_append_needs_the_hash_of_the_last,
    a_refused_append_changes_nothing,
    a_refused_append_takes_no_other_along,
    of_two_appends_at_the_same_place_one_wins,
    a_read_begins_after_a_number,
    a_run_is_read_by_its_tenant_only,
    a_lost_answer_is_found_by_its_nonce,
    journals_survive_a_restart,
    open_runs_are_all_that_have_not_ended,
    open_runs_tell_the_last_record,
    open_runs_are_those_of_the_shard,
    following_new_runs_misses_none,
    new_runs_are_those_of_the_shard,
    new_runs_come_in_parts,
    new_runs_wake_who_waits,
    new_runs_are_found_from_far_behind,
    open_runs_and_new_runs_together_have_every_run,
];

async fn what_was_appended_is_read_back(world: World) -> Verdict {
    let run = Sample::whole(&Birth::number(1));
    let mut expected = Vec::new();
    for (record, events) in &run.records {
        world.backend.journal.append(record, events).await?;
        let (record, hash) = (record.clone().into_record(), record.hash());
        expected.push(Entry { record, hash });
    }
    same!(world.backend.journal.read(&run.key, 0).await?, expected);
    Ok(())
}

async fn a_run_is_created_once(world: World) -> Verdict {
    let journal = &world.backend.journal;
    let run = Sample::born(&Birth::number(1));
    let (record, events) = run.last();
    journal.append(record, events).await?;
    refused!(Conflict, journal.append(record, events).await);
    let mut other = record.clone().into_record();
    other.nonce = Nonce([9; 16]);
    let other = Encoded::of(other);
    refused!(Conflict, journal.append(&other, events).await);
    Ok(())
}

async fn an_append_needs_the_next_number(world: World) -> Verdict {
    let journal = &world.backend.journal;
    let run = Sample::whole(&Birth::number(1));
    let [(first, born), (second, started), (third, ended)] = &run.records[..] else {
        return Ok(());
    };
    refused!(Conflict, journal.append(second, started).await);
    journal.append(first, born).await?;
    refused!(Conflict, journal.append(third, ended).await);
    journal.append(second, started).await?;
    refused!(Conflict, journal.append(second, started).await);
    journal.append(third, ended).await?;
    Ok(())
}

async fn an_append_needs_the_hash_of_the_last(world: World) -> Verdict {
    let mut run = Sample::born(&Birth::number(1));
    store(&world.backend, &run).await?;
    run.start();
    let (record, events) = run.last();
    let mut other = record.clone().into_record();
    other.prev_hash = engine::digest::Digest::of(b"another history");
    let other = Encoded::of(other);
    refused!(Conflict, world.backend.journal.append(&other, events).await);
    Ok(())
}

async fn a_refused_append_changes_nothing(world: World) -> Verdict {
    let journal = &world.backend.journal;
    let mut run = Sample::born(&Birth::number(1));
    store(&world.backend, &run).await?;
    let before = journal.read(&run.key, 0).await?;
    run.start();
    let mut other = run.last().0.clone().into_record();
    other.n = 3;
    let other = Encoded::of(other);
    refused!(Conflict, journal.append(&other, run.last().1).await);
    same!(journal.read(&run.key, 0).await?, before);
    journal.append(run.last().0, run.last().1).await?;
    Ok(())
}

async fn a_refused_append_takes_no_other_along(world: World) -> Verdict {
    let journal = &world.backend.journal;
    let twice = Sample::born(&Birth::number(0));
    store(&world.backend, &twice).await?;
    let runs: Vec<Sample> = (1..=40).map(|n| Sample::born(&Birth::number(n))).collect();
    let with_refused = runs.iter().flat_map(|run| [run, &twice]);
    let appends = with_refused.map(|run| journal.append(run.last().0, run.last().1));
    for (place, outcome) in join_all(appends).await.into_iter().enumerate() {
        must!(
            outcome.is_ok() == (place % 2 == 0),
            "append {place} was answered {outcome:?}"
        );
    }
    // And who comes once it is known that one was refused.
    let again = journal.append(twice.last().0, twice.last().1).await;
    must!(again.is_err(), "it was answered {again:?}");
    store(&world.backend, &Sample::born(&Birth::number(41))).await?;
    for run in &runs {
        same!(numbers(&journal.read(&run.key, 0).await?), [1]);
    }
    Ok(())
}

async fn of_two_appends_at_the_same_place_one_wins(world: World) -> Verdict {
    let journal = &world.backend.journal;
    let mut run = Sample::born(&Birth::number(1));
    store(&world.backend, &run).await?;
    run.start();
    let (record, events) = run.last();
    let rivals: Vec<_> = (0..8)
        .map(|n| {
            let mut rival = record.clone().into_record();
            rival.nonce = Nonce([n; 16]);
            Encoded::of(rival)
        })
        .collect();
    let outcomes = join_all(rivals.iter().map(|rival| journal.append(rival, events))).await;
    let winners: Vec<usize> = (0..8).filter(|n| outcomes[*n].is_ok()).collect();
    must!(winners.len() == 1, "{winners:?} won");
    let stored = journal.read(&run.key, 1).await?;
    same!(stored[0].record.nonce, rivals[winners[0]].nonce);
    Ok(())
}

async fn a_read_begins_after_a_number(world: World) -> Verdict {
    let run = Sample::whole(&Birth::number(1));
    store(&world.backend, &run).await?;
    for (after, expected) in [
        (0, vec![1, 2, 3]),
        (1, vec![2, 3]),
        (2, vec![3]),
        (3, vec![]),
    ] {
        same!(
            numbers(&world.backend.journal.read(&run.key, after).await?),
            expected
        );
    }
    Ok(())
}

async fn a_run_is_read_by_its_tenant_only(world: World) -> Verdict {
    let run = Sample::whole(&Birth::number(1));
    store(&world.backend, &run).await?;
    let Some(tenant) = Tenant::new("other") else {
        return Ok(());
    };
    let foreign = RunKey {
        tenant,
        run: run.key.run,
    };
    none!(numbers(&world.backend.journal.read(&foreign, 0).await?));
    let nobody = Sample::whole(&Birth::number(2));
    none!(numbers(&world.backend.journal.read(&nobody.key, 0).await?));
    Ok(())
}

async fn a_lost_answer_is_found_by_its_nonce(world: World) -> Verdict {
    let journal = &world.backend.journal;
    let mut run = Sample::born(&Birth::number(1));
    store(&world.backend, &run).await?;
    run.start();
    let (record, events) = run.last();
    // The answer is lost: whoever asked knows nothing, asks again, and reads back.
    let _ = journal.append(record, events).await;
    refused!(Conflict, journal.append(record, events).await);
    let last = journal.read(&run.key, 1).await?;
    same!(
        last.last().map(|entry| entry.record.nonce),
        Some(record.nonce)
    );
    Ok(())
}

async fn journals_survive_a_restart(mut world: World) -> Verdict {
    let (ended, mut open) = (
        Sample::whole(&Birth::number(1)),
        Sample::born(&Birth::number(2)),
    );
    store(&world.backend, &ended).await?;
    store(&world.backend, &open).await?;
    world.restart().await;
    let journal = &world.backend.journal;
    same!(numbers(&journal.read(&ended.key, 0).await?), [1, 2, 3]);
    open.start();
    journal.append(open.last().0, open.last().1).await?;
    same!(numbers(&journal.read(&open.key, 0).await?), [1, 2]);
    refused!(
        Conflict,
        journal
            .append(&ended.records[0].0, &ended.records[0].1)
            .await
    );
    Ok(())
}

async fn open_runs_are_all_that_have_not_ended(mut world: World) -> Verdict {
    let mut expected = Vec::new();
    for number in 0..20 {
        let mut run = Sample::born(&Birth::number(number));
        match number % 4 {
            0 => {}
            1 => drop(run.start()),
            2 => drop(run.next(RunStatus::Parked, Vec::new())),
            _ => drop(run.start().end(None)),
        }
        store(&world.backend, &run).await?;
        if number % 4 != 3 {
            expected.push(run.key);
        }
    }
    for _ in 0..2 {
        let open = world.backend.journal.open_runs(Shard(0)).await?;
        let mut keys: Vec<RunKey> = open.runs.into_iter().map(|run| run.key).collect();
        keys.sort();
        same!(keys, expected);
        world.restart().await;
    }
    Ok(())
}

async fn open_runs_tell_the_last_record(mut world: World) -> Verdict {
    let mut run = Sample::born(&Birth::number(1));
    run.start().next(RunStatus::Waiting, Vec::new());
    store(&world.backend, &run).await?;
    world.restart().await;
    let open = world.backend.journal.open_runs(Shard(0)).await?;
    must!(open.runs.len() == 1, "{open:?}");
    same!(open.runs[0].n, 3);
    same!(open.runs[0].summary, Ok(run.last().0.summary));
    Ok(())
}

async fn open_runs_are_those_of_the_shard(world: World) -> Verdict {
    let runs = two_shards(&world).await?;
    for (shard, expected) in runs.iter().enumerate() {
        let shard = Shard(u16::try_from(shard).unwrap_or(0));
        let open = world.backend.journal.open_runs(shard).await?;
        let keys: Vec<&RunKey> = open.runs.iter().map(|run| &run.key).collect();
        same!(keys, [expected]);
    }
    Ok(())
}

async fn two_shards(world: &World) -> Result<[RunKey; 2], Error> {
    let mut keys = Vec::new();
    for shard in [Shard(0), Shard(1)] {
        let birth = Birth {
            shard,
            ..Birth::number(u64::from(shard.0))
        };
        let run = Sample::born(&birth);
        store(&world.backend, &run).await?;
        keys.push(run.key);
    }
    Ok([keys[0].clone(), keys[1].clone()])
}

async fn following_new_runs_misses_none(world: World) -> Verdict {
    let journal = &world.backend.journal;
    let mut sequence = journal.open_runs(Shard(0)).await?.sequence;
    let mut seen = Vec::new();
    let mut expected = Vec::new();
    for number in 0..30 {
        let run = Sample::born(&Birth::number(number));
        store(&world.backend, &run).await?;
        expected.push((run.key.clone(), run.hash()));
        while number % 3 == 2 && seen.len() < expected.len() {
            for new in soon("new runs", journal.new_runs(Shard(0), sequence, 100)).await?? {
                must!(new.sequence > sequence, "{} after {sequence}", new.sequence);
                sequence = new.sequence;
                seen.push((new.first.record.key, new.first.hash));
            }
        }
    }
    same!(seen, expected);
    Ok(())
}

async fn new_runs_are_those_of_the_shard(world: World) -> Verdict {
    let runs = two_shards(&world).await?;
    let found = soon("a new run", world.backend.journal.new_runs(Shard(1), 0, 10)).await??;
    let keys: Vec<&RunKey> = found.iter().map(|new| &new.first.record.key).collect();
    same!(keys, [&runs[1]]);
    Ok(())
}

async fn new_runs_come_in_parts(world: World) -> Verdict {
    for number in 0..5 {
        store(&world.backend, &Sample::born(&Birth::number(number))).await?;
    }
    let journal = &world.backend.journal;
    let first = soon("a part", journal.new_runs(Shard(0), 0, 3)).await??;
    same!(first.len(), 3);
    let rest = soon("the rest", journal.new_runs(Shard(0), first[2].sequence, 3)).await??;
    same!(rest.len(), 2);
    same!(
        rest[0].first.record.key,
        Sample::born(&Birth::number(3)).key
    );
    Ok(())
}

async fn new_runs_wake_who_waits(world: World) -> Verdict {
    let journal = &world.backend.journal;
    let sequence = journal.open_runs(Shard(0)).await?.sequence;
    let mut waits = Box::pin(journal.new_runs(Shard(0), sequence, 10));
    must!(futures::poll!(&mut waits).is_pending(), "it did not wait");
    store(&world.backend, &Sample::born(&Birth::number(1))).await?;
    same!(soon("the new run", waits).await??.len(), 1);
    Ok(())
}

/// More than any memory of the last creations holds.
const MANY: u64 = 5_000;

async fn new_runs_are_found_from_far_behind(world: World) -> Verdict {
    let journal = &world.backend.journal;
    for part in 0..MANY / 100 {
        let runs: Vec<Sample> = (0..100)
            .map(|n| Sample::born(&Birth::number(100 * part + n)))
            .collect();
        let appends = runs
            .iter()
            .map(|run| journal.append(run.last().0, run.last().1));
        for outcome in join_all(appends).await {
            outcome?;
        }
    }
    let mut sequence = 0;
    let mut seen = BTreeSet::new();
    while seen.len() < usize::try_from(MANY).unwrap_or(0) {
        let found = soon("more runs", journal.new_runs(Shard(0), sequence, 700)).await??;
        must!(found.len() <= 700, "{} at once", found.len());
        for new in found {
            let rises = new.sequence > sequence;
            must!(
                rises && seen.insert(new.first.record.key),
                "{} after {sequence}",
                new.sequence
            );
            sequence = new.sequence;
        }
    }
    Ok(())
}

async fn open_runs_and_new_runs_together_have_every_run(mut world: World) -> Verdict {
    for number in 0..3 {
        store(&world.backend, &Sample::born(&Birth::number(number))).await?;
    }
    world.restart().await;
    let journal = &world.backend.journal;
    let open = journal.open_runs(Shard(0)).await?;
    store(&world.backend, &Sample::born(&Birth::number(3))).await?;
    let new = soon("the new run", journal.new_runs(Shard(0), open.sequence, 10)).await??;
    same!((open.runs.len(), new.len()), (3, 1));
    same!(new[0].first.record.key, Sample::born(&Birth::number(3)).key);
    Ok(())
}
