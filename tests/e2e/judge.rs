//! Thirty kills around real work. `make chaos` is the long form.

use mirastack_tests::judge::judge;

/// Any seed does; this one stays, so that a failure is seen again.
const SEED: u64 = 1;

#[tokio::test]
async fn whatever_dies_nothing_accepted_is_lost_and_nothing_is_done_twice() {
    judge(30, SEED).await;
}
