//! Promises of the keys.

use engine::id::Tenant;
use engine::time::Timestamp;
use futures::future::join_all;

use super::{Verdict, World, cases, must, refused, same};
use crate::Error;
use crate::clock::Clock;
use crate::port::KeyValue;

cases![
    a_key_is_created_once,
    of_many_creations_one_wins,
    a_key_holds_what_was_put,
    a_put_needs_the_key_as_it_was,
    a_put_needs_the_key_to_exist,
    an_expired_key_is_gone,
    an_expired_key_is_created_anew,
    a_revision_is_never_used_twice,
    a_sweep_takes_expired_keys_only,
    a_key_is_its_tenants,
    keys_survive_a_restart,
];

fn tenant() -> Tenant {
    Tenant::default()
}

async fn create(world: &World, name: &str, value: &[u8], ms: u64) -> Result<u64, Error> {
    let expires = world.clock.in_ms(ms);
    world
        .backend
        .keys
        .create(&tenant(), name, value, expires)
        .await
}

async fn get(world: &World, name: &str) -> Result<Option<KeyValue>, Error> {
    world
        .backend
        .keys
        .get(&tenant(), name, world.clock.now())
        .await
}

async fn there(world: &World, name: &str) -> Result<KeyValue, Error> {
    let found = get(world, name).await?;
    found.ok_or_else(|| Error::Corrupt(format!("the key {name} is not there")))
}

async fn a_key_is_created_once(world: World) -> Verdict {
    create(&world, "k", b"first", 1_000).await?;
    refused!(Conflict, create(&world, "k", b"second", 1_000).await);
    same!(there(&world, "k").await?.value, b"first");
    Ok(())
}

async fn of_many_creations_one_wins(world: World) -> Verdict {
    let values: Vec<[u8; 1]> = (0..20).map(|n| [n]).collect();
    let all = values.iter().map(|value| create(&world, "k", value, 1_000));
    let outcomes = join_all(all).await;
    let winners: Vec<usize> = (0..20).filter(|n| outcomes[*n].is_ok()).collect();
    must!(winners.len() == 1, "{winners:?} won");
    same!(there(&world, "k").await?.value, values[winners[0]]);
    Ok(())
}

async fn a_key_holds_what_was_put(world: World) -> Verdict {
    let expires = world.clock.in_ms(5_000);
    let revision = create(&world, "k", b"one", 5_000).await?;
    let old = there(&world, "k").await?;
    same!(
        old,
        KeyValue {
            value: b"one".to_vec(),
            revision,
            expires
        }
    );
    let later = world.clock.in_ms(9_000);
    let revision = world
        .backend
        .keys
        .put(&tenant(), "k", &old, b"two", later)
        .await?;
    let new = KeyValue {
        value: b"two".to_vec(),
        revision,
        expires: later,
    };
    same!(there(&world, "k").await?, new);
    same!(get(&world, "other").await?, None);
    Ok(())
}

async fn a_put_needs_the_key_as_it_was(world: World) -> Verdict {
    create(&world, "k", b"one", 9_000).await?;
    let old = there(&world, "k").await?;
    let tenant = tenant();
    let keys = &world.backend.keys;
    let revision = keys.put(&tenant, "k", &old, b"two", old.expires).await?;
    must!(revision != old.revision, "the revision stayed {revision}");
    refused!(
        Conflict,
        keys.put(&tenant, "k", &old, b"three", old.expires).await
    );
    same!(there(&world, "k").await?.value, b"two");
    Ok(())
}

async fn a_put_needs_the_key_to_exist(world: World) -> Verdict {
    let old = KeyValue {
        value: Vec::new(),
        revision: 1,
        expires: Timestamp::MAX,
    };
    let put = world
        .backend
        .keys
        .put(&tenant(), "k", &old, b"x", old.expires)
        .await;
    refused!(Conflict, put);
    same!(get(&world, "k").await?, None);
    Ok(())
}

async fn an_expired_key_is_gone(world: World) -> Verdict {
    create(&world, "k", b"x", 1_000).await?;
    world.clock.pass(999);
    there(&world, "k").await?;
    world.clock.pass(1);
    same!(get(&world, "k").await?, None);
    Ok(())
}

async fn an_expired_key_is_created_anew(world: World) -> Verdict {
    create(&world, "k", b"old", 1_000).await?;
    world.clock.pass(1_000);
    create(&world, "k", b"new", 1_000).await?;
    same!(there(&world, "k").await?.value, b"new");
    Ok(())
}

async fn a_revision_is_never_used_twice(mut world: World) -> Verdict {
    create(&world, "k", b"old", 1_000).await?;
    let old = there(&world, "k").await?;
    world.clock.pass(1_000);
    world.backend.keys.sweep(world.clock.now(), 10).await?;
    world.restart().await;
    create(&world, "k", b"new", 1_000).await?;
    let put = world
        .backend
        .keys
        .put(&tenant(), "k", &old, b"late", Timestamp::MAX)
        .await;
    refused!(Conflict, put);
    Ok(())
}

async fn a_sweep_takes_expired_keys_only(world: World) -> Verdict {
    for n in 0..5 {
        create(&world, &format!("old{n}"), b"x", 1_000).await?;
    }
    create(&world, "young", b"x", 9_000).await?;
    world.clock.pass(1_000);
    let keys = &world.backend.keys;
    let mut swept = 0;
    loop {
        let some = keys.sweep(world.clock.now(), 3).await?;
        must!(some <= 3, "{some} at once");
        swept += some;
        if some == 0 {
            break;
        }
    }
    // Where the server forgets expired keys by itself, it is none.
    must!(swept == 5 || swept == 0, "{swept} of 5");
    there(&world, "young").await?;
    Ok(())
}

async fn a_key_is_its_tenants(world: World) -> Verdict {
    create(&world, "k", b"mine", 1_000).await?;
    let Some(other) = Tenant::new("other") else {
        return Ok(());
    };
    let keys = &world.backend.keys;
    same!(keys.get(&other, "k", world.clock.now()).await?, None);
    keys.create(&other, "k", b"theirs", world.clock.in_ms(1_000))
        .await?;
    same!(there(&world, "k").await?.value, b"mine");
    Ok(())
}

async fn keys_survive_a_restart(mut world: World) -> Verdict {
    create(&world, "k", b"x", 9_000).await?;
    let before = there(&world, "k").await?;
    world.restart().await;
    same!(there(&world, "k").await?, before);
    refused!(Conflict, create(&world, "k", b"y", 9_000).await);
    world
        .backend
        .keys
        .put(&tenant(), "k", &before, b"z", before.expires)
        .await?;
    Ok(())
}
