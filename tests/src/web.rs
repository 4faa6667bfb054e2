//! The HTTP client of the harness.

use std::sync::LazyLock;
use std::time::Duration;

/// Longer than the longest long poll of the API.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Goes straight to loopback whatever proxy the machine has, and keeps no connection: each test has a runtime of its
/// own, and a connection dies with the runtime that opened it.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    let client = reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .timeout(TIMEOUT);
    client.build().expect("its settings are constants")
});

pub(crate) fn client() -> &'static reqwest::Client {
    &CLIENT
}
