//! The server answers what `/openapi.json` says. `make schemathesis` is the long form.

use mirastack_tests::schemathesis::try_all;

/// Any seed does; this one stays, so that a failure is seen again.
const SEED: u64 = 1;

/// So many requests in all, at least: those that cover the parameters one by one are the same each time.
const LEAST: usize = 1_000;

#[tokio::test]
async fn what_is_answered_is_what_the_description_says() {
    let tried = try_all(1, SEED).await;
    let tried = tried.expect("no check fails");
    assert!(tried >= LEAST, "{tried} requests");
}
