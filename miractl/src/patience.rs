//! How long things are tried, and how soon again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// How long a request is repeated after its first lost answer: longer than a broker needs to find
/// a new leader.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a connection may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// The pauses between repetitions: from 0.2 s to 5 s, with jitter, so that many clients of one
/// server that comes back do not come back together.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_jitter()
        .without_max_times()
        .build()
}
