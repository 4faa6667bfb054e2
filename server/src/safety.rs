//! Settings with which somebody else reads along or gets in: they stop the start, unless that is asked for.

use std::net::{IpAddr, SocketAddr};

use anyhow::bail;
use gateway::{Component, ComponentState};
use hyper::Uri;
use store::cluster::{Finding, Verdict};

use crate::args::Dev;
use crate::log::Form;
use crate::settings::{Agents, Place, Servers, Telling, Tls, Web};
use crate::{bootstrap, doors, log};

/// How many settings in force are unsafe.
pub(crate) struct Unsafe(usize);

impl Unsafe {
    /// What is unsafe, where that is asked for.
    ///
    /// # Errors
    /// Something is, and nobody asked for it: all of it, with what to do.
    pub(crate) fn accept(telling: &Telling, found: &[Finding]) -> anyhow::Result<Self> {
        let (unsafe_ones, weak) = sorted(found);
        for what in &weak {
            tracing::warn!(what, "a weak spot");
        }
        if unsafe_ones.is_empty() {
            return Ok(Self(0));
        }
        let all = unsafe_ones.join("\n  - ");
        if !telling.allow_unsafe {
            bail!(
                "this is unsafe, and nothing was started:\n  - {all}\n\
                 --allow-unsafe starts all the same, says so in the log and shows in /healthz how many there are"
            );
        }
        for what in &unsafe_ones {
            tracing::warn!(what, "an unsafe setting is in force (--allow-unsafe)");
        }
        let told = format!("UNSAFE, because of --allow-unsafe:\n  - {all}");
        log::tell(Form::of(telling), &told);
        Ok(Self(unsafe_ones.len()))
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

/// What is unsafe, and what is weak, in words.
fn sorted(found: &[Finding]) -> (Vec<String>, Vec<String>) {
    let (mut unsafe_ones, mut weak) = (Vec::new(), Vec::new());
    for Finding { name, is, verdict } in found {
        match verdict {
            Verdict::Good => {}
            Verdict::Weak(mend) => weak.push(format!("{name}: {is}: {mend}")),
            Verdict::Unsafe(mend) => unsafe_ones.push(format!("{name}: {is}: {mend}")),
        }
    }
    (unsafe_ones, weak)
}

/// What is to be said of these settings before anything is started with them, in lines.
pub(crate) fn said(dev: &Dev) -> Vec<String> {
    let judged = Exposed::of(&dev.place)
        .web(&dev.web, &dev.tls)
        .agents(&dev.agents, &dev.tls)
        .judged();
    let (unsafe_ones, _) = sorted(&judged);
    let word = match dev.telling.allow_unsafe {
        true => "unsafe, and allowed",
        false => "this stops the start",
    };
    let unsafe_ones = unsafe_ones.iter().map(|what| format!("{word}: {what}"));
    let half = doors::files(&dev.tls).err();
    let half = half.map(|error| format!("this stops the start: {error:#}"));
    unsafe_ones.chain(half).collect()
}

/// A root key, and where it is from.
type RootKey = (String, String);

/// Where others reach this process, and with what it keeps its secrets.
#[derive(Default)]
pub(crate) struct Exposed {
    /// Where people and other systems do, without TLS.
    http: Option<SocketAddr>,
    /// Where agents do, without TLS and without that their networks are named.
    grpc: Option<SocketAddr>,
    /// Servers that all roles share.
    servers: Option<Vec<String>>,
    root_key: Option<RootKey>,
}

impl Exposed {
    pub(crate) fn of(place: &Place) -> Self {
        Self {
            root_key: bootstrap::known_root_key(place.data.as_deref()),
            ..Self::default()
        }
    }

    pub(crate) fn web(self, web: &Web, tls: &Tls) -> Self {
        let http = tls.tls_cert.is_none().then_some(web.http);
        Self { http, ..self }
    }

    pub(crate) fn agents(self, agents: &Agents, tls: &Tls) -> Self {
        // Networks that are named are asked for, with what that means.
        let plain = tls.tls_cert.is_none() && agents.agent_networks.is_empty();
        let grpc = plain.then_some(agents.grpc);
        Self { grpc, ..self }
    }

    /// Who can speak with those servers can do everything, and what is said on the way there is read along.
    pub(crate) fn servers(mut self, servers: &Servers) -> Self {
        let all = servers.nats.iter().chain(&servers.registry);
        let all = all.chain([&servers.valkey]);
        self.servers = Some(all.cloned().collect());
        self
    }

    /// Each thing of these that is there, safe or not.
    pub(crate) fn judged(&self) -> Vec<Finding> {
        let mut all = Vec::new();
        if let Some(servers) = &self.servers {
            let plain: Vec<_> = servers
                .iter()
                .filter_map(|s| is_plain_elsewhere(s))
                .collect();
            let is = match plain.as_slice() {
                [] => "on this machine, or encrypted on the way".to_owned(),
                plain => plain.join(", "),
            };
            let mend = "it is on another machine, and what is said on the way there is not encrypted: name it with \
                        tls://, https:// or rediss://";
            all.push(Finding::of("servers.tls", plain.is_empty(), is, mend));
        }
        if let Some(http) = self.http {
            let mend = format!(
                "others than this machine reach it, and what they say, tokens included, is not encrypted: set \
                 --tls-cert and --tls-key, or --http 127.0.0.1:{}",
                http.port()
            );
            all.push(Finding::of(
                "http.tls",
                !is_elsewhere(http),
                http.to_string(),
                &mend,
            ));
        }
        if let Some(grpc) = self.grpc {
            let mend = format!(
                "others than this machine reach it, nothing on the way is encrypted, and no agent of theirs is let in: \
                 set --tls-cert and --tls-key, name their networks with --agent-networks, or set --grpc 127.0.0.1:{}",
                grpc.port()
            );
            all.push(Finding::of(
                "grpc.tls",
                !is_elsewhere(grpc),
                grpc.to_string(),
                &mend,
            ));
        }
        if let Some((key, place)) = &self.root_key {
            let mend = "it is a pattern that anybody guesses: make one with `openssl rand -hex 32`, or, before there are \
                        data, leave it out, and one is made";
            all.push(Finding::of(
                "root_key",
                !is_guessed(key),
                place.as_str(),
                mend,
            ));
        }
        all
    }
}

/// The server, without its password, where it is on another machine and nothing on the way there is encrypted.
fn is_plain_elsewhere(url: &str) -> Option<String> {
    let parsed: Uri = url.parse().ok()?;
    let is_plain = !matches!(parsed.scheme_str(), Some("tls" | "https" | "rediss"));
    let host = parsed.host()?.trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    (is_plain && !is_here).then(|| {
        let scheme = parsed.scheme_str().unwrap_or_default();
        format!("{scheme}://{host}")
    })
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
        let exposed = Exposed {
            root_key: root_key.map(|key| (key.to_owned(), ROOT_KEY.to_owned())),
            ..Exposed::default()
        };
        let exposed = exposed
            .web(&dev.web, &dev.tls)
            .agents(&dev.agents, &dev.tls)
            .judged();
        sorted(&exposed).0
    }

    #[test]
    fn what_others_can_read_along_is_unsafe_and_every_one_is_named() {
        let tls = ["--tls-cert", "c.pem", "--tls-key", "k.pem"];
        let open = ["--http", "0.0.0.0:80", "--grpc", "[::]:81"];
        let both = found_in(&open, None);
        assert_eq!(both.len(), 2, "{both:?}");
        assert!(
            both[0].starts_with("http.tls: 0.0.0.0:80") && both[1].starts_with("grpc.tls: [::]:81")
        );
        assert!(found_in(&[&open[..], &tls].concat(), None).is_empty());
        assert!(found_in(&[], None).is_empty());
        assert!(found_in(&["--http", "[::1]:0", "--grpc", "127.8.9.1:0"], None).is_empty());
        let named = ["--grpc", "10.1.0.1:81", "--agent-networks", "10.1.0.0/16"];
        assert!(found_in(&named, None).is_empty());
    }

    #[test]
    fn servers_on_other_machines_without_tls_are_unsafe_and_no_password_is_told() {
        for (url, told) in [
            ("nats://127.0.0.1:4222", None),
            ("nats://localhost:4222", None),
            ("redis://[::1]:6379", None),
            ("nats://a:canary@10.0.0.7:4222", Some("nats://10.0.0.7")),
            ("http://kine:2379", Some("http://kine")),
            ("https://etcd.example:2379", None),
            ("rediss://valkey:6379", None),
            ("tls://nats:4222", None),
        ] {
            assert_eq!(is_plain_elsewhere(url).as_deref(), told, "{url}");
        }
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
