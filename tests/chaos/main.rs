//! The long forms of the judge: hundreds of signals, and power cuts, around real work. `make chaos` and
//! `make powercuts` run them, and `cargo test --workspace` does not, for they take many minutes.
//!
//! ```text
//! MIRASTACK_CHAOS=500 MIRASTACK_CHAOS_SEED=7 cargo test -p mirastack-tests --test chaos signals -- --nocapture
//! ```

use mirastack_tests::judge::{Complaint, Kind, SIGNALS, Site, complaints, judge, plan};
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// So many blows unless `MIRASTACK_CHAOS` says otherwise.
const BLOWS: usize = 500;
const CUTS: usize = 100;
const CUTS_WITHOUT_SYNC: u64 = 20;
const FULLS: usize = 45;

/// The seed unless `MIRASTACK_CHAOS_SEED` names another.
const SEED: u64 = 2;

/// What is stopped stands still for so many milliseconds: also for longer than a worker may be silent.
const LASTS: RangeInclusive<u64> = 500..=15_000;

fn number<N: std::str::FromStr>(name: &str) -> Option<N> {
    let text = std::env::var(name).ok()?;
    let number = text.parse().ok();
    Some(number.unwrap_or_else(|| panic!("{name}={text} is no number")))
}

fn seed() -> u64 {
    number("MIRASTACK_CHAOS_SEED").unwrap_or(SEED)
}

#[tokio::test]
async fn signals_however_many_lose_nothing_accepted_and_nothing_is_done_twice() {
    let blows = number("MIRASTACK_CHAOS").unwrap_or(BLOWS);
    judge(&plan(blows, seed(), &SIGNALS, &LASTS), &Site::default()).await;
}

#[tokio::test]
async fn power_cuts_however_many_lose_nothing_accepted_and_nothing_is_done_twice() {
    let cuts = number("MIRASTACK_CHAOS").unwrap_or(CUTS);
    let site = Site {
        disk: true,
        server: None,
    };
    judge(&plan(cuts, seed(), &[Kind::PowerCut], &LASTS), &site).await;
}

#[tokio::test]
async fn full_disks_however_often_lose_nothing_accepted_and_nothing_is_done_twice() {
    let site = Site {
        disk: true,
        server: None,
    };
    let kinds = [Kind::DiskFull, Kind::ServerKilled, Kind::PowerCut];
    judge(&plan(FULLS, seed(), &kinds, &LASTS), &site).await;
}

/// `MIRASTACK_CHAOS_SERVER` names a server that does not wait for its disk: `scripts/without-sync` builds it.
#[tokio::test]
async fn without_sync_cuts_of_the_power_lose_what_was_accepted_and_that_is_seen() {
    let server = std::env::var_os("MIRASTACK_CHAOS_SERVER");
    let server = server.expect("MIRASTACK_CHAOS_SERVER names the server without sync");
    let cuts = number("MIRASTACK_CHAOS").unwrap_or(CUTS_WITHOUT_SYNC);
    let site = Site {
        disk: true,
        server: Some(PathBuf::from(server)),
    };
    let mut losses = 0;
    for seed in seed()..seed() + cuts {
        let complaints = complaints(&plan(1, seed, &[Kind::PowerCut], &LASTS), &site).await;
        let complaints = complaints.unwrap_or_else(|e| panic!("seed {seed} shows nothing: {e:#}"));
        let told: Vec<String> = complaints.iter().map(Complaint::to_string).collect();
        println!("seed {seed}: {}", told.join("; "));
        // What is lost may have others follow from it, and not the other way round.
        let lost = complaints.iter().any(Complaint::is_loss);
        assert!(
            lost || complaints.is_empty(),
            "seed {seed}: nothing lost, and not well either"
        );
        losses += u64::from(lost);
    }
    println!("{losses} of {cuts} cuts lost what was accepted");
    assert_eq!(losses, cuts, "a cut without sync loses what was accepted");
}
