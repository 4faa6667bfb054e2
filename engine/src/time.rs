//! Points in time. The engine reads no clock: every time is an argument.

use std::fmt;
use std::str::FromStr;

use minicbor::{CborLen, Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::duration::Duration;

/// A point in time in milliseconds since 1970-01-01T00:00:00Z. Prints as RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, CborLen, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] u64);

impl Timestamp {
    /// The last one that prints: 9999-12-30T22:00:00.999Z.
    /// (Less a margin: the printing library keeps its own distance from the end of the year.)
    pub const MAX: Self = Self(253_402_207_200_999);

    /// From milliseconds since the epoch; later than [`Self::MAX`] becomes `MAX`.
    #[must_use]
    pub fn from_millis(ms: u64) -> Self {
        Self(ms.min(Self::MAX.0))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn millis(self) -> u64 {
        self.0
    }

    /// `duration` later, at most [`Self::MAX`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(duration.millis()))
    }

    /// Milliseconds from `earlier` to here, 0 when it is later.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of milliseconds, jiff takes none of the last second of its range.
        let ms = i128::from(self.0);
        let time = jiff::Timestamp::from_nanosecond(ms * 1_000_000).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{time:.3}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no time between 1970 and 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: write RFC 3339, such as 2026-01-31T08:00:00Z")]
pub struct BadTimestamp;

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let time: jiff::Timestamp = text.parse().map_err(|_| BadTimestamp)?;
        let ms = u64::try_from(time.as_millisecond()).map_err(|_| BadTimestamp)?;
        Ok(Self::from_millis(ms))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
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
    fn a_time_prints_as_rfc_3339_and_reads_back() {
        let time = Timestamp::from_millis(1_763_683_200_120);
        assert_eq!(time.to_string(), "2025-11-21T00:00:00.120Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T22:00:00.999Z");
        assert_eq!(
            "1969-12-31T23:59:59Z".parse::<Timestamp>(),
            Err(BadTimestamp)
        );
        let last = "9999-12-30T22:00:00.990Z";
        assert_eq!(
            last.parse().map(|time: Timestamp| time.to_string()),
            Ok(last.to_owned())
        );
    }
}
