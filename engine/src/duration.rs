//! Lengths of time as people write them: `500ms`, `1h30m`, `7d`.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// A length of time in milliseconds, at most 100 years. Prints as numbers and units, joined: `1h30m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Duration(#[n(0)] u64);

const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

impl Duration {
    /// The longest: 100 years of 365 days.
    pub const MAX: Self = Self(100 * 365 * 86_400_000);

    /// So many milliseconds, at most [`Self::MAX`].
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(if ms > Self::MAX.0 { Self::MAX.0 } else { ms })
    }

    /// So many seconds, at most [`Self::MAX`].
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self::from_millis(seconds.saturating_mul(1_000))
    }

    /// Milliseconds.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, ms) in UNITS {
            if rest >= ms {
                write!(f, "{}{unit}", rest / ms)?;
                rest %= ms;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration: write number and unit, such as 500ms, 90s, 1h30m or 7d (at most 36500d)")]
pub struct BadDuration;

impl FromStr for Duration {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        let mut rest = text;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let number: u64 = rest[..digits].parse().map_err(|_| BadDuration)?;
            rest = &rest[digits..];
            let letters = rest.len()
                - rest
                    .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                    .len();
            let (_, ms) = UNITS
                .iter()
                .find(|(u, _)| *u == &rest[..letters])
                .ok_or(BadDuration)?;
            rest = &rest[letters..];
            total = number
                .checked_mul(*ms)
                .and_then(|n| total.checked_add(n))
                .ok_or(BadDuration)?;
        }
        if text.is_empty() || total > Self::MAX.0 {
            return Err(BadDuration);
        }
        Ok(Self(total))
    }
}

impl Serialize for Duration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_people_write_them() {
        for (text, ms, printed) in [
            ("500ms", 500, "500ms"),
            ("90s", 90_000, "1m30s"),
            ("1h30m", 5_400_000, "1h30m"),
            ("7d", 604_800_000, "7d"),
            ("0s", 0, "0s"),
        ] {
            let duration: Duration = text.parse().expect("a duration");
            assert_eq!(duration.millis(), ms);
            assert_eq!(duration.to_string(), printed);
            assert_eq!(printed.parse(), Ok(duration));
        }
        for text in [
            "",
            "5",
            "m",
            "1.5h",
            "-1s",
            "1 h",
            "99999999999999999999d",
            "36501d",
            "1w",
        ] {
            assert_eq!(text.parse::<Duration>(), Err(BadDuration), "{text}");
        }
    }
}
