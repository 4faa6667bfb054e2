//! Promises of large values.

use engine::digest::Digest;
use engine::id::{RunKey, Tenant};
use engine::time::Timestamp;

use super::sample::{Birth, Sample};
use super::{Verdict, World, cases, refused, same, store};

cases![
    a_blob_holds_what_was_put,
    a_blob_is_its_runs,
    a_blob_is_what_its_digest_says,
    blobs_survive_a_restart,
    a_sweep_drops_blobs_without_a_run,
    a_sweep_leaves_blobs_of_runs,
    a_sweep_leaves_young_blobs,
];

fn key(number: u64) -> RunKey {
    Sample::born(&Birth::number(number)).key
}

async fn put(world: &World, key: &RunKey, bytes: &[u8]) -> Result<Digest, crate::Error> {
    let digest = Digest::of(bytes);
    world.backend.blobs.put(key, digest, bytes).await?;
    Ok(digest)
}

async fn a_blob_holds_what_was_put(world: World) -> Verdict {
    let large = vec![7; 3 * 1024 * 1024];
    for bytes in [&b""[..], b"small", &large] {
        let digest = put(&world, &key(1), bytes).await?;
        put(&world, &key(1), bytes).await?;
        same!(
            world.backend.blobs.get(&key(1), digest).await?.as_deref(),
            Some(bytes)
        );
    }
    same!(
        world
            .backend
            .blobs
            .get(&key(1), Digest::of(b"nothing"))
            .await?,
        None
    );
    Ok(())
}

async fn a_blob_is_its_runs(world: World) -> Verdict {
    let digest = put(&world, &key(1), b"x").await?;
    same!(world.backend.blobs.get(&key(2), digest).await?, None);
    let Some(tenant) = Tenant::new("other") else {
        return Ok(());
    };
    let foreign = RunKey {
        tenant,
        run: key(1).run,
    };
    same!(world.backend.blobs.get(&foreign, digest).await?, None);
    Ok(())
}

async fn a_blob_is_what_its_digest_says(world: World) -> Verdict {
    let digest = Digest::of(b"this");
    refused!(
        Corrupt,
        world.backend.blobs.put(&key(1), digest, b"that").await
    );
    same!(world.backend.blobs.get(&key(1), digest).await?, None);
    Ok(())
}

async fn blobs_survive_a_restart(mut world: World) -> Verdict {
    let digest = put(&world, &key(1), b"x").await?;
    world.restart().await;
    same!(
        world.backend.blobs.get(&key(1), digest).await?,
        Some(b"x".to_vec())
    );
    Ok(())
}

async fn a_sweep_drops_blobs_without_a_run(world: World) -> Verdict {
    let blobs = &world.backend.blobs;
    let mut digests = Vec::new();
    for number in 1..=3 {
        digests.push(put(&world, &key(number), &[1]).await?);
    }
    same!(blobs.sweep(Timestamp::MAX, 2).await?, 2);
    same!(blobs.sweep(Timestamp::MAX, 2).await?, 1);
    same!(blobs.sweep(Timestamp::MAX, 2).await?, 0);
    same!(blobs.get(&key(1), digests[0]).await?, None);
    Ok(())
}

async fn a_sweep_leaves_blobs_of_runs(world: World) -> Verdict {
    let (open, ended) = (
        Sample::born(&Birth::number(1)),
        Sample::whole(&Birth::number(2)),
    );
    store(&world.backend, &open).await?;
    store(&world.backend, &ended).await?;
    let digest = put(&world, &open.key, b"x").await?;
    put(&world, &ended.key, b"x").await?;
    world
        .backend
        .archive
        .archive(std::slice::from_ref(&ended.key))
        .await?;
    same!(world.backend.blobs.sweep(Timestamp::MAX, 10).await?, 0);
    same!(
        world.backend.blobs.get(&open.key, digest).await?,
        Some(b"x".to_vec())
    );
    same!(
        world.backend.blobs.get(&ended.key, digest).await?,
        Some(b"x".to_vec())
    );
    Ok(())
}

async fn a_sweep_leaves_young_blobs(world: World) -> Verdict {
    let digest = put(&world, &key(5), b"x").await?;
    same!(world.backend.blobs.sweep(Birth::number(5).at, 10).await?, 0);
    same!(
        world.backend.blobs.get(&key(5), digest).await?,
        Some(b"x".to_vec())
    );
    let later = Timestamp::from_millis(Birth::number(5).at.millis() + 1);
    same!(world.backend.blobs.sweep(later, 10).await?, 1);
    Ok(())
}
