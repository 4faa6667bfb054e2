//! Promises of what may be lost.

use std::time::Duration;

use super::{Verdict, World, cases, must, same, soon};

cases![
    memory_holds_what_was_put,
    memory_forgets_after_its_time,
    memory_drops_what_is_removed,
    memory_never_tells_another_value,
];

const LONG: Duration = Duration::from_secs(3_600);

async fn memory_holds_what_was_put(world: World) -> Verdict {
    let memory = &world.backend.memory;
    same!(memory.get("k").await?, None);
    memory.put("k", b"one", LONG).await?;
    memory.put("k", b"two", LONG).await?;
    memory.put("other", b"three", LONG).await?;
    same!(memory.get("k").await?, Some(b"two".to_vec()));
    Ok(())
}

async fn memory_forgets_after_its_time(world: World) -> Verdict {
    let memory = &world.backend.memory;
    memory.put("k", b"x", Duration::from_millis(500)).await?;
    memory.put("later", b"y", LONG).await?;
    world.clock.pass(500);
    // A server's clock is its own.
    let forgotten = async {
        while memory.get("k").await?.is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<_, crate::Error>(())
    };
    soon("the end of its time", forgotten).await??;
    must!(memory.get("later").await?.is_some(), "forgotten too early");
    Ok(())
}

async fn memory_drops_what_is_removed(world: World) -> Verdict {
    let memory = &world.backend.memory;
    memory.put("k", b"x", LONG).await?;
    memory.put("l", b"y", LONG).await?;
    memory.remove("k").await?;
    memory.remove("k").await?;
    same!(memory.get("k").await?, None);
    must!(memory.get("l").await?.is_some(), "another key was dropped");
    Ok(())
}

/// It may be lost by a restart, or rewound, and is never something else.
async fn memory_never_tells_another_value(mut world: World) -> Verdict {
    world.backend.memory.put("k", b"one", LONG).await?;
    world.backend.memory.put("k", b"two", LONG).await?;
    world.restart().await;
    let found = world.backend.memory.get("k").await?;
    let allowed = [None, Some(b"one".to_vec()), Some(b"two".to_vec())];
    must!(allowed.contains(&found), "{found:?}");
    Ok(())
}
