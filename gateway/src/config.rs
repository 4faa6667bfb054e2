//! What can be configured of a gateway. Every length of time has its unit (`10s`); unknown keys are errors.

use engine::duration::Duration;
use serde::{Deserialize, Serialize};

/// The settings of a gateway. The key files, the address and the store are the server's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// What stands before the path in every address that is shown, such as `https://mirastack.example`;
    /// empty: addresses are shown without a host.
    pub public_url: String,
    /// Over how many shards new runs are spread (1 to 4,096).
    pub shards: u16,
    /// How long a token holds; at most 15 minutes.
    pub token_ttl: Duration,
    /// Which life of the data this is, out of a backup; empty in the first. Tokens and ETags of another mean nothing.
    pub life: String,
    /// How many secrets of API keys are hashed at the same time; each takes a core for some 20 ms.
    pub hashing: usize,
    /// How many more may wait for that before the rest is refused with 429.
    pub hashing_queue: usize,
    /// How many deliveries to hooks are worked on at the same time; the next ones are answered 503.
    pub deliveries: usize,
    /// A request that is not a long poll or a stream is given up after this.
    pub request: Duration,
    /// How long a command (approve, cancel …) is waited for before it is answered with 202.
    pub command: Duration,
    /// How often a command without an answer is sent again.
    pub command_again: Duration,
    /// The longest `wait` of a long poll and of `Prefer: wait`.
    pub wait_max: Duration,
    /// A comment keeps an event stream alive so often.
    pub heartbeat: Duration,
    /// Limits of connections and bodies.
    pub edge: Edge,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            public_url: String::new(),
            shards: 4,
            token_ttl: Duration::from_secs(15 * 60),
            life: String::new(),
            hashing: 1,
            hashing_queue: 64,
            deliveries: 1_024,
            request: Duration::from_secs(30),
            command: Duration::from_secs(5),
            command_again: Duration::from_secs(1),
            wait_max: Duration::from_secs(60),
            heartbeat: Duration::from_secs(15),
            edge: Edge::default(),
        }
    }
}

/// Limits at the edge: what an unknown peer may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// Connections at the same time; the next ones are closed at once.
    pub connections: usize,
    /// The same for one address. Loopback does not count: a proxy on this machine stands for many.
    pub connections_per_ip: usize,
    /// Until the first byte, and until it is clear which version of HTTP is spoken.
    pub first_byte: Duration,
    /// Until all headers are there; also how long an HTTP/1 connection may be idle.
    pub headers: Duration,
    /// Headers of one request, in bytes.
    pub header_bytes: u32,
    /// Headers of one request, in number.
    pub header_fields: usize,
    /// A body, in bytes.
    pub body_bytes: usize,
    /// Between two parts of a body.
    pub body_idle: Duration,
    /// For a whole body.
    pub body_total: Duration,
    /// The same when its sender has proven nothing yet.
    pub body_unproven: Duration,
    /// A peer that takes nothing of an answer for so long is gone.
    pub write_stall: Duration,
    /// An HTTP/2 connection without a request is closed after this.
    pub idle: Duration,
    /// Requests at the same time on one HTTP/2 connection.
    pub streams: u32,
    /// How long a stopping gateway lets requests finish.
    pub drain: Duration,
}

impl Default for Edge {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_ip: 256,
            first_byte: Duration::from_secs(5),
            headers: Duration::from_secs(10),
            header_bytes: 16 * 1024,
            header_fields: 64,
            body_bytes: 1024 * 1024,
            body_idle: Duration::from_secs(10),
            body_total: Duration::from_secs(30),
            body_unproven: Duration::from_secs(5),
            write_stall: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            streams: 64,
            drain: Duration::from_secs(10),
        }
    }
}

/// A length of time as tokio takes it.
pub(crate) fn std_time(duration: Duration) -> std::time::Duration {
    std::time::Duration::from_millis(duration.millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_and_lengths_of_time_have_units() {
        let read = |text| serde_json::from_str::<Config>(text);
        let config = read(r#"{"token_ttl": "5m", "edge": {"headers": "2s"}}"#).expect("a config");
        assert_eq!(config.token_ttl, Duration::from_secs(300));
        assert_eq!(config.edge.headers, Duration::from_secs(2));
        assert!(read(r#"{"token_tll": "5m"}"#).is_err());
    }
}
