//! Thirty blows around real work, and a few power cuts. `make chaos` and `make powercuts` are the long forms.

use mirastack_tests::judge::{Kind, SIGNALS, Site, judge, plan};

/// Any seed does; this one stays, so that a failure is seen again.
const SEED: u64 = 1;

#[tokio::test]
async fn whatever_dies_or_stands_still_nothing_accepted_is_lost_and_nothing_is_done_twice() {
    judge(&plan(30, SEED, &SIGNALS, &(200..=2_000)), &Site::default()).await;
}

#[tokio::test]
async fn a_server_that_stood_still_for_longer_than_a_worker_may_be_silent_goes_on_as_if_it_had_not()
{
    let still = plan(1, SEED, &[Kind::ServerStopped], &(15_000..=15_000));
    judge(&still, &Site::default()).await;
}

#[tokio::test]
async fn power_cuts_lose_nothing_accepted_and_nothing_is_done_twice() {
    let site = Site {
        disk: true,
        server: None,
    };
    judge(&plan(3, SEED, &[Kind::PowerCut], &(0..=0)), &site).await;
}

#[tokio::test]
async fn a_full_disk_turns_clients_away_and_loses_nothing_accepted() {
    let site = Site {
        disk: true,
        server: None,
    };
    let kinds = [Kind::DiskFull, Kind::ServerKilled];
    judge(&plan(4, SEED, &kinds, &(200..=3_000)), &site).await;
}
