//! Settings with which somebody else reads along or gets in: they stop the start, unless that is asked for.

use std::net::SocketAddr;

use anyhow::bail;
use gateway::{Component, ComponentState};

use crate::args::Dev;
use crate::log::Form;
use crate::{bootstrap, doors, log};

/// How many settings in force are unsafe.
pub(crate) struct Unsafe(usize);

impl Unsafe {
    /// What is unsafe, where that is asked for.
    ///
    /// # Errors
    /// Something is, and nobody asked for it: all of it, with what to do.
    pub(crate) fn accept(dev: &Dev) -> anyhow::Result<Self> {
        let found = found(dev, bootstrap::known_root_key(dev.data.as_deref()));
        if !found.is_empty() && !dev.allow_unsafe {
            bail!(
                "these settings are unsafe, and nothing was started:\n  - {}\n\
                 --allow-unsafe starts all the same, says so in the log and shows in /healthz how many there are",
                found.join("\n  - ")
            );
        }
        for what in &found {
            tracing::warn!(what, "an unsafe setting is in force (--allow-unsafe)");
        }
        if !found.is_empty() {
            let told = found.join("\n  - ");
            let told = format!("UNSAFE, because of --allow-unsafe:\n  - {told}");
            log::tell(Form::of(dev), &told);
        }
        Ok(Self(found.len()))
    }
}

/// What is to be said of these settings before anything is started with them, in lines.
pub(crate) fn said(dev: &Dev) -> Vec<String> {
    let unsafe_ones = found(dev, bootstrap::known_root_key(dev.data.as_deref()));
    let word = match dev.allow_unsafe {
        true => "unsafe, and allowed",
        false => "this stops the start",
    };
    let unsafe_ones = unsafe_ones.iter().map(|what| format!("{word}: {what}"));
    let half = doors::files(dev).err();
    let half = half.map(|error| format!("this stops the start: {error:#}"));
    unsafe_ones.chain(half).collect()
}

/// A root key, and where it is from.
type RootKey = (String, String);

fn found(dev: &Dev, root_key: Option<RootKey>) -> Vec<String> {
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
    if let Some((key, place)) = root_key
        && is_guessed(&key)
    {
        found.push(format!(
            "{place} is a pattern that anybody guesses: make one with `openssl rand -hex 32`, or, before there are \
             data, leave it out, and one is made"
        ));
    }
    found
}

fn is_elsewhere(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

/// Keys of examples repeat themselves or count: `0000…`, `0123…`, `deadbeef…`, `000102…`.
fn is_guessed(key: &str) -> bool {
    let digits = key.trim().as_bytes();
    let repeats = |n: usize| digits.iter().zip(&digits[n..]).all(|(a, b)| a == b);
    let mut lengths = 1..=digits.len() / 2;
    lengths.any(repeats) || counts(digits)
}

/// Whether each byte is as far from the one before.
fn counts(digits: &[u8]) -> bool {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let bytes = bytes.unwrap_or_default();
    let mut steps = bytes.windows(2).map(|two| two[1].wrapping_sub(two[0]));
    steps
        .next()
        .is_some_and(|first| steps.all(|step| step == first))
}

/// What is unsafe, for whoever looks how the program is.
#[async_trait::async_trait]
impl Component for Unsafe {
    fn name(&self) -> &str {
        "settings"
    }

    async fn state(&self) -> ComponentState {
        // Whoever reaches the server sees this, and is not told where to press.
        let detail = match self.0 {
            0 => String::new(),
            n => format!("{n} unsafe, as it was asked for: the log of the start says which"),
        };
        ComponentState { ok: true, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Verb};
    use crate::config::ROOT_KEY;
    use clap::Parser;

    fn found_in(words: &[&str], root_key: Option<&str>) -> Vec<String> {
        let words = ["mirastack", "dev"].iter().chain(words);
        let Verb::Dev(dev) = Args::parse_from(words).verb else {
            panic!("another verb")
        };
        found(
            &dev,
            root_key.map(|key| (key.to_owned(), ROOT_KEY.to_owned())),
        )
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
        let half = "9f86d081884c7d659a2feaa0c55ad015";
        let up: String = (0..32).map(|n| format!("{n:02x}")).collect();
        let down: String = (0..32).map(|n| format!("{:02x}", 255 - 3 * n)).collect();
        for key in ["00", "01234567", "deadbeef", "ab", half, &up, &down] {
            let key = key.repeat(64 / key.len());
            assert_eq!(found_in(&[], Some(&key)).len(), 1, "{key}");
        }
        let good = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        assert!(found_in(&[], Some(good)).is_empty());
    }

    #[tokio::test]
    async fn strangers_are_told_how_many_and_not_which() {
        let state = Unsafe(2).state().await;
        let told = "2 unsafe, as it was asked for: the log of the start says which";
        assert_eq!((state.ok, state.detail.as_str()), (true, told));
        assert_eq!(Unsafe(0).state().await.detail, "");
    }
}
