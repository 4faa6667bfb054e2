//! Another life of the data, out of a backup: it gets a name, and its runs are parked before anybody owns them.

use engine::id::{RunKey, Shard};
use engine::record::Cause;
use engine::registry::INCARNATION;
use engine::run::{Run, Stamp};
use engine::time::Timestamp;
use futures::{StreamExt, TryStreamExt, stream};
use store::port::Expect;
use store::{Backend, Error};

/// Runs that are parked at the same time: the journals of so many are in memory, and none is longer than 32 MiB.
const AT_ONCE: usize = 8;

/// Gives this life of the data a name, parks every open run of these shards, and answers how many they are. `backup` is
/// when the backup was made that the store was restored from. A damaged run is left to its owner, who parks it for that.
///
/// # Errors
/// The store's; it may be called again then.
pub async fn begin_life(
    backend: &Backend,
    shards: &[Shard],
    backup: Timestamp,
) -> Result<usize, Error> {
    name_life(backend).await?;
    park_restored(backend, shards, backup).await
}

/// When the life of this name began. The first has no name, and began with the data.
#[must_use]
pub fn life_began(name: &str) -> Option<Timestamp> {
    let (_, began) = name.split_once('-')?;
    began.parse().ok().map(Timestamp::from_millis)
}

async fn name_life(backend: &Backend) -> Result<(), Error> {
    let before = backend.registry.get(INCARNATION).await?;
    let expect = before.map_or(Expect::Absent, |item| Expect::Revision(item.revision));
    let now = backend.clock.now().millis();
    let name = format!("{}-{now}", backend.random.nonce());
    let named = backend.registry.put(INCARNATION, name.as_bytes(), expect);
    named.await.map(drop)
}

async fn park_restored(
    backend: &Backend,
    shards: &[Shard],
    backup: Timestamp,
) -> Result<usize, Error> {
    let mut parked = 0;
    for shard in shards {
        let open = backend.journal.open_runs(*shard).await?.runs;
        let whole = open.into_iter().filter(|run| run.summary.is_ok());
        let parking = stream::iter(whole).map(|run| park(backend, run.key, backup));
        let counts: Vec<usize> = parking.buffer_unordered(AT_ONCE).try_collect().await?;
        parked += counts.into_iter().sum::<usize>();
    }
    Ok(parked)
}

async fn park(backend: &Backend, key: RunKey, backup: Timestamp) -> Result<usize, Error> {
    let entries = match backend.journal.read(&key, 0).await {
        Ok(entries) => entries,
        Err(Error::Corrupt(_)) => return Ok(0),
        Err(error @ (Error::Conflict(_) | Error::Unavailable(_))) => return Err(error),
    };
    let Ok(mut run) = Run::fold(entries.into_iter().map(|e| (e.record, e.hash))) else {
        return Ok(0);
    };
    let events = run.restored(backup);
    if events.is_empty() {
        return Ok(0);
    }
    let id = backend.random.nonce();
    let stamp = Stamp {
        at: backend.clock.now(),
        nonce: backend.random.nonce(),
        cause: Cause {
            id,
            command: "Restore".to_owned(),
        },
    };
    let record = run.commit(&events, stamp);
    backend.journal.append(&record, &events).await?;
    Ok(1)
}
