//! The long form of the test that the server answers what its description says: `make schemathesis`, some minutes.

use mirastack_tests::schemathesis::try_all;

/// Requests of each operation, besides those that cover its parameters one by one.
const REQUESTS: usize = 25;
/// So many in all, at least.
const LEAST: usize = 2_000;

/// The seed unless `MIRASTACK_SCHEMATHESIS_SEED` names another.
const SEED: u64 = 2;

#[tokio::test]
async fn what_is_answered_is_what_the_description_says() {
    let seed = match std::env::var("MIRASTACK_SCHEMATHESIS_SEED") {
        Ok(text) => text.parse().expect("a number"),
        Err(_) => SEED,
    };
    let tried = try_all(REQUESTS, seed).await;
    let tried = tried.expect("no check fails");
    assert!(tried >= LEAST, "{tried} requests");
}
