//! The long form of the judge: many kills of the whole process around real work. `make chaos KILLS=200` runs it, and
//! `cargo test --workspace` does not, for it takes minutes.
//!
//! ```text
//! MIRASTACK_CHAOS_KILLS=500 MIRASTACK_CHAOS_SEED=7 cargo test -p mirastack-tests --test chaos -- --nocapture
//! ```

use mirastack_tests::judge::judge;

/// So many kills unless `MIRASTACK_CHAOS_KILLS` says otherwise.
const KILLS: usize = 200;

/// The seed unless `MIRASTACK_CHAOS_SEED` names another.
const SEED: u64 = 2;

fn number<N: std::str::FromStr>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{name}={text} is no number")))
}

#[tokio::test]
async fn whatever_dies_however_often_nothing_accepted_is_lost_and_nothing_is_done_twice() {
    let kills = number("MIRASTACK_CHAOS_KILLS").unwrap_or(KILLS);
    let seed = number("MIRASTACK_CHAOS_SEED").unwrap_or(SEED);
    judge(kills, seed).await;
}
