//! The long form of the siege: every kind of bad input for seconds. `make siege SECONDS=5` runs it, and
//! `cargo test --workspace` does not, for it takes minutes.

use mirastack_tests::siege::{Order, beside_an_agent, siege};
use std::time::Duration;

/// How long each case takes unless `MIRASTACK_SIEGE_SECONDS` says otherwise.
const SECONDS: u64 = 5;

fn seconds() -> Duration {
    Duration::from_secs(match std::env::var("MIRASTACK_SIEGE_SECONDS") {
        Ok(text) => text.parse().expect("a number of seconds"),
        Err(_) => SECONDS,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_in_the_name_of_an_agent_of_elsewhere_takes_little_memory() {
    let only = std::env::var("MIRASTACK_SIEGE_ONLY").unwrap_or_default();
    beside_an_agent(seconds(), &only).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_sent_on_fifty_connections_is_refused_and_nobody_else_notices() {
    let only = std::env::var("MIRASTACK_SIEGE_ONLY").unwrap_or_default();
    siege(seconds(), Order::OneAfterTheOther, &only).await;
}
