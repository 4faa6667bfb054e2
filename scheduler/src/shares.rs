//! Which scheduler owns which shard: a pure function of who lives, that each of them computes for itself.
//!
//! Each shard ranks the schedulers by a hash of both names, so that who comes or goes moves few shards; and none gets
//! more than its share, so that the shares of any two differ by one at most.

use std::collections::{BTreeMap, BTreeSet};

use engine::digest::Digest;
use engine::id::Shard;

/// A scheduler that lives: its name, and the shards that it cannot own.
pub(crate) type Living = BTreeMap<String, BTreeSet<Shard>>;

/// The shards of each scheduler. A shard that nobody can own is nobody's.
pub(crate) fn shares(shards: u16, living: &Living) -> BTreeMap<Shard, String> {
    let all = (0..shards).map(Shard);
    let mut pairs: Vec<(Digest, Shard, &str)> = all
        .flat_map(|shard| {
            let able = living
                .iter()
                .filter(move |(_, cannot)| !cannot.contains(&shard));
            able.map(move |(name, _)| (rank(shard, name), shard, name.as_str()))
        })
        .collect();
    pairs.sort_unstable();
    let most = usize::from(shards).div_ceil(living.len().max(1));
    let least = usize::from(shards) / living.len().max(1);
    let mut owners: BTreeMap<Shard, String> = BTreeMap::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    // First everybody's equal part, then what is left; then, where somebody cannot own its part, whoever can.
    for most in [least, most, usize::from(shards)] {
        for (_, shard, name) in &pairs {
            let count = counts.entry(name).or_default();
            if *count < most && !owners.contains_key(shard) {
                *count += 1;
                owners.insert(*shard, (*name).to_owned());
            }
        }
    }
    owners
}

fn rank(shard: Shard, name: &str) -> Digest {
    Digest::of(format!("{}/{name}", shard.0).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn living(names: &[&str]) -> Living {
        names
            .iter()
            .map(|name| ((*name).to_owned(), BTreeSet::new()))
            .collect()
    }

    fn sizes(owners: &BTreeMap<Shard, String>, living: &Living) -> Vec<usize> {
        let of = |name: &String| owners.values().filter(|owner| *owner == name).count();
        living.keys().map(of).collect()
    }

    const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];

    #[test]
    fn every_shard_has_an_owner_and_shares_differ_by_one_at_most() {
        for shards in [1, 4, 16, 64] {
            for count in 1..=NAMES.len() {
                let living = living(&NAMES[..count]);
                let owners = shares(shards, &living);
                assert_eq!(owners.len(), usize::from(shards));
                let sizes = sizes(&owners, &living);
                let (least, most) = (sizes.iter().min(), sizes.iter().max());
                let apart = most.zip(least).map(|(most, least)| most - least);
                assert!(apart <= Some(1), "{shards} shards: {sizes:?}");
            }
        }
    }

    #[test]
    fn who_comes_takes_little_from_the_others() {
        for count in 1..NAMES.len() {
            let before = shares(64, &living(&NAMES[..count]));
            let after = shares(64, &living(&NAMES[..=count]));
            let moved = before.iter().filter(|(shard, name)| after[shard] != **name);
            let moved = moved.count();
            // At the least its own share; some more, because no share may be larger than another by two.
            assert!(
                moved <= 2 * 64 / (count + 1),
                "{moved} of 64 moved to {}",
                count + 1
            );
        }
    }

    #[test]
    fn a_shard_is_given_to_one_that_can_own_it() {
        let mut living = living(&["a", "b"]);
        living.insert("b".to_owned(), (0..4).map(Shard).collect());
        let owners = shares(4, &living);
        assert_eq!(sizes(&owners, &living), [4, 0]);
        living.insert("a".to_owned(), BTreeSet::from([Shard(1)]));
        let owners = shares(4, &living);
        assert_eq!(owners.len(), 3);
        assert_eq!(owners.get(&Shard(1)), None);
    }

    #[test]
    fn without_anybody_nothing_is_owned() {
        assert!(shares(16, &Living::new()).is_empty());
    }
}
