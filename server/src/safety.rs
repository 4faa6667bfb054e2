//! Settings with which somebody else reads along or gets in: they stop the start, unless that is asked for.

use std::net::SocketAddr;

use anyhow::bail;
use gateway::{Component, ComponentState};

use crate::args::Dev;
use crate::config::ROOT_KEY;
use crate::log;

/// Which settings in force are unsafe, each with what would mend it.
pub(crate) struct Unsafe(Vec<String>);

impl Unsafe {
    /// What is unsafe, where that is asked for.
    ///
    /// # Errors
    /// Something is, and nobody asked for it: all of it, with what to do.
    pub(crate) fn accept(dev: &Dev) -> anyhow::Result<Self> {
        let root_key = std::env::var(ROOT_KEY).ok();
        let found = found(dev, root_key.as_deref());
        if !found.is_empty() && !dev.allow_unsafe {
            bail!(
                "these settings are unsafe, and nothing was started:\n  - {}\n\
                 --allow-unsafe starts all the same, says so in the log and shows it in /healthz",
                found.join("\n  - ")
            );
        }
        for what in &found {
            tracing::warn!(what, "an unsafe setting is in force (--allow-unsafe)");
        }
        if !found.is_empty() {
            log::tell(&format!(
                "UNSAFE, because of --allow-unsafe:\n  - {}",
                found.join("\n  - ")
            ));
        }
        Ok(Self(found))
    }
}

fn found(dev: &Dev, root_key: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    let plain = dev.tls_cert.is_none();
    if plain && is_elsewhere(dev.http) {
        found.push(format!(
            "http {}: others than this machine reach it, and what they say, tokens included, is not encrypted: \
             set --tls-cert and --tls-key, or --http 127.0.0.1:{}",
            dev.http,
            dev.http.port()
        ));
    }
    // Networks that are named are asked for, with what that means.
    if plain && is_elsewhere(dev.grpc) && dev.agent_networks.is_empty() {
        found.push(format!(
            "grpc {}: others than this machine reach it, nothing on the way is encrypted, and no agent of theirs is \
             let in: set --tls-cert and --tls-key, name their networks with --agent-networks, or set --grpc 127.0.0.1:{}",
            dev.grpc,
            dev.grpc.port()
        ));
    }
    if root_key.is_some_and(is_guessed) {
        found.push(format!(
            "{ROOT_KEY} is a pattern that anybody guesses: make one with `openssl rand -hex 32`, or leave it out, and \
             one is made"
        ));
    }
    found
}

fn is_elsewhere(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// Keys of examples repeat themselves: `0000…`, `0123…`, `deadbeef…`.
fn is_guessed(key: &str) -> bool {
    let bytes = key.trim().as_bytes();
    let repeats = |n: usize| bytes.iter().zip(&bytes[n..]).all(|(a, b)| a == b);
    let lengths = [1, 2, 4, 8, 16];
    lengths
        .into_iter()
        .any(|n| bytes.len() >= 2 * n && repeats(n))
}

/// What is unsafe, for whoever looks how the program is.
#[async_trait::async_trait]
impl Component for Unsafe {
    fn name(&self) -> &str {
        "settings"
    }

    async fn state(&self) -> ComponentState {
        let detail = match self.0.as_slice() {
            [] => String::new(),
            some => format!("unsafe, as it was asked for: {}", some.join("; ")),
        };
        ComponentState { ok: true, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Verb};
    use clap::Parser;

    fn found_in(words: &[&str], root_key: Option<&str>) -> Vec<String> {
        let words = ["mirastack", "dev"].iter().chain(words);
        let Verb::Dev(dev) = Args::parse_from(words).verb else {
            panic!("another verb")
        };
        found(&dev, root_key)
    }

    #[test]
    fn what_others_can_read_along_is_unsafe_and_every_one_is_named() {
        let tls = ["--tls-cert", "c.pem", "--tls-key", "k.pem"];
        let open = ["--http", "0.0.0.0:80", "--grpc", "[::]:81"];
        let both = found_in(&open, None);
        assert_eq!(both.len(), 2, "{both:?}");
        assert!(both[0].starts_with("http 0.0.0.0:80") && both[1].starts_with("grpc [::]:81"));
        assert!(found_in(&[&open[..], &tls].concat(), None).is_empty());
        assert!(found_in(&[], None).is_empty());
        assert!(found_in(&["--http", "[::1]:0", "--grpc", "127.8.9.1:0"], None).is_empty());
        let named = ["--grpc", "10.1.0.1:81", "--agent-networks", "10.1.0.0/16"];
        assert!(found_in(&named, None).is_empty());
    }

    #[test]
    fn a_key_that_everybody_guesses_is_unsafe() {
        for key in ["00", "01234567", "deadbeef", "ab"] {
            let key = key.repeat(64 / key.len());
            assert_eq!(found_in(&[], Some(&key)).len(), 1, "{key}");
        }
        let good = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert!(found_in(&[], Some(good)).is_empty());
    }
}
