//! Promises of the registry.

use super::{Broken, Verdict, World, cases, must, none, refused, same, soon};
use crate::port::{Change, Expect, Item};

cases![
    an_item_holds_what_was_put,
    a_put_that_expects_nothing_finds_nothing,
    a_put_that_expects_a_revision_finds_it,
    a_delete_needs_the_revision,
    revisions_count_up_over_all_keys,
    a_list_is_by_prefix_and_in_order,
    a_list_comes_in_parts,
    changes_are_told_in_order,
    changes_are_told_by_prefix,
    a_deletion_is_told,
    a_change_wakes_who_watches,
    a_history_that_is_not_kept_is_a_gap,
    the_registry_survives_a_restart,
];

async fn put(world: &World, key: &str, value: &[u8]) -> Result<u64, crate::Error> {
    let registry = &world.backend.registry;
    let expect = match registry.get(key).await? {
        Some(item) => Expect::Revision(item.revision),
        None => Expect::Absent,
    };
    registry.put(key, value, expect).await
}

fn item(key: &str, value: &[u8], revision: u64) -> Item {
    let (key, value) = (key.to_owned(), value.to_vec());
    Item {
        key,
        value,
        revision,
    }
}

async fn an_item_holds_what_was_put(world: World) -> Verdict {
    let registry = &world.backend.registry;
    same!(registry.get("hooks/default/a").await?, None);
    let revision = put(&world, "hooks/default/a", b"one").await?;
    let expected = Some(item("hooks/default/a", b"one", revision));
    same!(registry.get("hooks/default/a").await?, expected);
    Ok(())
}

async fn a_put_that_expects_nothing_finds_nothing(world: World) -> Verdict {
    let registry = &world.backend.registry;
    registry.put("k/a", b"one", Expect::Absent).await?;
    refused!(Conflict, registry.put("k/a", b"two", Expect::Absent).await);
    same!(
        registry.get("k/a").await?.map(|item| item.value),
        Some(b"one".to_vec())
    );
    Ok(())
}

async fn a_put_that_expects_a_revision_finds_it(world: World) -> Verdict {
    let registry = &world.backend.registry;
    refused!(
        Conflict,
        registry.put("k/a", b"x", Expect::Revision(1)).await
    );
    let first = registry.put("k/a", b"one", Expect::Absent).await?;
    let second = registry.put("k/a", b"two", Expect::Revision(first)).await?;
    refused!(
        Conflict,
        registry.put("k/a", b"three", Expect::Revision(first)).await
    );
    same!(
        registry.get("k/a").await?,
        Some(item("k/a", b"two", second))
    );
    Ok(())
}

async fn a_delete_needs_the_revision(world: World) -> Verdict {
    let registry = &world.backend.registry;
    let first = put(&world, "k/a", b"one").await?;
    let second = put(&world, "k/a", b"two").await?;
    refused!(Conflict, registry.delete("k/a", first).await);
    must!(registry.get("k/a").await?.is_some(), "it is gone");
    registry.delete("k/a", second).await?;
    same!(registry.get("k/a").await?, None);
    refused!(Conflict, registry.delete("k/a", second).await);
    Ok(())
}

async fn revisions_count_up_over_all_keys(mut world: World) -> Verdict {
    let mut last = 0;
    for round in 0..3 {
        for key in ["k/a", "k/b"] {
            let revision = put(&world, key, &[round]).await?;
            must!(revision > last, "{revision} after {last}");
            last = revision;
        }
        // What was deleted counts, too.
        world.backend.registry.delete("k/b", last).await?;
        world.restart().await;
        let revision = put(&world, "k/c", &[round]).await?;
        must!(
            revision > last + 1,
            "{revision} after the deletion following {last}"
        );
        last = revision;
    }
    Ok(())
}

async fn fill(world: &World) -> Result<(), crate::Error> {
    for key in ["b/2", "a/1", "b/1", "b0", "b/3", "b"] {
        put(world, key, key.as_bytes()).await?;
    }
    Ok(())
}

async fn list(world: &World, prefix: &str, after: &str, max: usize) -> Result<Vec<String>, Broken> {
    let items = world.backend.registry.list(prefix, after, max).await?;
    Ok(items.into_iter().map(|item| item.key).collect())
}

async fn a_list_is_by_prefix_and_in_order(world: World) -> Verdict {
    fill(&world).await?;
    same!(list(&world, "b/", "", 10).await?, ["b/1", "b/2", "b/3"]);
    same!(
        list(&world, "", "", 10).await?,
        ["a/1", "b", "b/1", "b/2", "b/3", "b0"]
    );
    none!(list(&world, "c", "", 10).await?);
    Ok(())
}

async fn a_list_comes_in_parts(world: World) -> Verdict {
    fill(&world).await?;
    same!(list(&world, "b/", "", 2).await?, ["b/1", "b/2"]);
    same!(list(&world, "b/", "b/2", 2).await?, ["b/3"]);
    none!(list(&world, "b/", "b/3", 2).await?);
    Ok(())
}

/// So many changes after a revision, or the gap that is told instead.
async fn watch(
    world: &World,
    prefix: &str,
    mut after: u64,
    count: usize,
) -> Result<Vec<Change>, Broken> {
    let mut all = Vec::new();
    while all.len() < count {
        let told = world.backend.registry.watch(prefix, after);
        let told = soon("a change", told).await??;
        after = match told.last() {
            Some(Change::Put(item)) => item.revision,
            Some(Change::Deleted { revision, .. }) => *revision,
            Some(Change::Gap { .. }) => return Ok(told),
            None => return Err(Broken("told nothing".to_owned())),
        };
        all.extend(told);
    }
    Ok(all)
}

async fn changes_are_told_in_order(world: World) -> Verdict {
    let first = put(&world, "k/a", b"1").await?;
    let second = put(&world, "k/b", b"2").await?;
    let third = put(&world, "k/a", b"3").await?;
    let later = [
        Change::Put(item("k/b", b"2", second)),
        Change::Put(item("k/a", b"3", third)),
    ];
    same!(watch(&world, "k/", first, 2).await?, later);
    same!(watch(&world, "k/", second, 1).await?, later[1..]);
    // Now that both have come, they are told in one.
    same!(watch(&world, "k/", first, 2).await?, later);
    Ok(())
}

async fn changes_are_told_by_prefix(world: World) -> Verdict {
    let before = put(&world, "other/a", b"1").await?;
    put(&world, "other/a", b"2").await?;
    let revision = put(&world, "k/a", b"3").await?;
    put(&world, "other/a", b"4").await?;
    same!(
        watch(&world, "k/", before, 1).await?,
        [Change::Put(item("k/a", b"3", revision))]
    );
    Ok(())
}

async fn a_deletion_is_told(world: World) -> Verdict {
    let revision = put(&world, "k/a", b"1").await?;
    world.backend.registry.delete("k/a", revision).await?;
    let told = watch(&world, "k/", revision, 1).await?;
    let [
        Change::Deleted {
            key,
            revision: deleted,
        },
    ] = &told[..]
    else {
        return Err(Broken(format!("{told:?} is no deletion")));
    };
    must!(key == "k/a" && *deleted > revision, "{told:?}");
    Ok(())
}

async fn a_change_wakes_who_watches(world: World) -> Verdict {
    let revision = put(&world, "k/a", b"1").await?;
    let mut waits = Box::pin(world.backend.registry.watch("k/", revision));
    must!(futures::poll!(&mut waits).is_pending(), "it did not wait");
    put(&world, "other/a", b"2").await?;
    must!(
        futures::poll!(&mut waits).is_pending(),
        "another prefix's change was told"
    );
    let revision = put(&world, "k/a", b"3").await?;
    same!(
        soon("the change", waits).await??,
        [Change::Put(item("k/a", b"3", revision))]
    );
    Ok(())
}

/// Follows from a revision as a cache would, and answers what it knows after `key` was changed to `value`.
async fn a_history_that_is_not_kept_is_a_gap(mut world: World) -> Verdict {
    put(&world, "k/a", b"1").await?;
    put(&world, "k/b", b"2").await?;
    world.restart().await;
    // Whoever followed up to nothing is told the changes, or that they are not known any more.
    let told = watch(&world, "k/", 0, 2).await?;
    let from = match told.last() {
        Some(Change::Gap { revision } | Change::Deleted { revision, .. }) => *revision,
        Some(Change::Put(item)) => item.revision,
        None => return Err(Broken("told nothing".to_owned())),
    };
    let is_gap = told.len() == 1 && matches!(told[0], Change::Gap { .. });
    must!(
        is_gap || told.len() == 2,
        "neither a gap nor all changes: {told:?}"
    );
    let revision = put(&world, "k/a", b"3").await?;
    same!(
        watch(&world, "k/", from, 1).await?,
        [Change::Put(item("k/a", b"3", revision))]
    );
    Ok(())
}

async fn the_registry_survives_a_restart(mut world: World) -> Verdict {
    let revision = put(&world, "k/a", b"1").await?;
    let gone = put(&world, "k/b", b"2").await?;
    world.backend.registry.delete("k/b", gone).await?;
    world.restart().await;
    let registry = &world.backend.registry;
    same!(
        registry.list("", "", 10).await?,
        [item("k/a", b"1", revision)]
    );
    registry
        .put("k/a", b"2", Expect::Revision(revision))
        .await?;
    Ok(())
}
