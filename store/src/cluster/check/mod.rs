//! Whether the servers are as they must be: what is read there, and what is to be said of it.
//!
//! Each server has a reading and a judgement of it. Reading changes nothing, but that one key of the registry is made and
//! removed.

mod nats;
mod registry;
mod valkey;

use std::cmp::Ordering;

use super::Options;

/// What was looked at, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What, as `nats.sync`.
    pub name: &'static str,
    /// What is there.
    pub is: String,
    /// What is to be said of it.
    pub verdict: Verdict,
}

/// What is to be said of it, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it must be.
    Good,
    /// It works, and not for long, or not if something else breaks.
    Weak(String),
    /// Something can be lost, or let in.
    Unsafe(String),
}

impl Finding {
    /// It is as it must be, or unsafe.
    pub fn of(name: &'static str, good: bool, is: impl Into<String>, mend: &str) -> Self {
        let verdict = match good {
            true => Verdict::Good,
            false => Verdict::Unsafe(mend.to_owned()),
        };
        let is = is.into();
        Self { name, is, verdict }
    }

    fn good(name: &'static str, is: impl Into<String>) -> Self {
        Self::of(name, true, is, "")
    }

    fn bad(name: &'static str, is: impl Into<String>, mend: &str) -> Self {
        Self::of(name, false, is, mend)
    }

    /// Not unsafe, but weak, where it is not as it must be.
    fn weak(self) -> Self {
        let verdict = match self.verdict {
            Verdict::Unsafe(mend) => Verdict::Weak(mend),
            verdict @ (Verdict::Good | Verdict::Weak(_)) => verdict,
        };
        Self { verdict, ..self }
    }
}

#[cfg(test)]
type Named = Vec<&'static str>;

/// The names of what is unsafe, and of what is weak.
#[cfg(test)]
fn names(judged: Vec<Finding>) -> (Named, Named) {
    let (mut weak, mut unsafe_ones) = (Vec::new(), Vec::new());
    for finding in judged {
        match finding.verdict {
            Verdict::Good => {}
            Verdict::Weak(_) => weak.push(finding.name),
            Verdict::Unsafe(_) => unsafe_ones.push(finding.name),
        }
    }
    (unsafe_ones, weak)
}

/// Looks at all servers of an installation.
pub async fn check(options: &Options) -> Vec<Finding> {
    let clock = options.clock.as_ref();
    let (nats, registry, valkey) = tokio::join!(
        Box::pin(nats::check(&options.broker, clock)),
        Box::pin(registry::check(&options.registry, options.random.nonce())),
        Box::pin(valkey::check(&options.memory)),
    );
    let mut all = nats;
    all.extend(registry);
    all.extend(valkey);
    all
}

/// Addresses without who asks.
fn without_users(addresses: &[String]) -> String {
    let each = addresses.iter().map(|one| match one.rsplit_once('@') {
        Some((_, host)) => host,
        None => one,
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Whether a version is at least that one. What cannot be read is not.
fn is_at_least(version: &str, least: [u64; 3]) -> bool {
    numbers(version).is_some_and(|is| is.cmp(&least) != Ordering::Less)
}

fn numbers(version: &str) -> Option<[u64; 3]> {
    let plain = version.split(['-', '+']).next()?;
    let mut parts = plain.trim_start_matches('v').split('.');
    let mut next = || parts.next().unwrap_or("0").parse().ok();
    Some([next()?, next()?, next()?])
}

/// Bytes, as people read them.
fn bytes(number: i64) -> String {
    let mut number = number;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if number < 10 * 1024 {
            return format!("{number} {unit}");
        }
        number /= 1024;
    }
    format!("{number} TiB")
}

/// Whether less than four fifths of the room are taken. Less than none is any.
fn has_room(taken: i64, room: i64) -> bool {
    room <= 0 || taken.saturating_mul(5) < room.saturating_mul(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (version, is_enough) in [
            ("2.14.4", true),
            ("2.14.3", false),
            ("2.15.0-preview.1", true),
            ("v3.0", true),
            ("2.9.99", false),
            ("10.0.0", true),
            ("new", false),
            ("", false),
        ] {
            assert_eq!(is_at_least(version, [2, 14, 4]), is_enough, "{version}");
        }
    }

    #[test]
    fn an_address_is_shown_without_who_asks() {
        let addresses = ["nats://a:secret@h:1", "nats://h:2"].map(str::to_owned);
        assert_eq!(without_users(&addresses), "h:1, nats://h:2");
    }

    #[test]
    fn room_is_there_up_to_four_fifths() {
        assert!(has_room(79, 100) && !has_room(80, 100) && has_room(i64::MAX, -1));
        assert_eq!(
            (bytes(10_239).as_str(), bytes(10_240).as_str()),
            ("10239 bytes", "10 KiB")
        );
    }
}
