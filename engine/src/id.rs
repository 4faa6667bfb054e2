//! Names of things: tenants, runs, steps, attempts, commands.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use minicbor::{CborLen, Decode, Decoder, Encode, Encoder, decode, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

/// A tenant's name (`[a-z0-9][a-z0-9-]{0,62}`). It is part of every key, subject and row, and so copying it is cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tenant(Arc<str>);

impl Tenant {
    /// The tenant of an installation that has only one.
    pub const DEFAULT: &'static str = "default";

    /// A tenant by its name, or `None` when the name is not allowed.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        is_name(name).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl<C> Encode<C> for Tenant {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0)?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Tenant {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        let name = d.str()?;
        let planted = crate::planted!("fuzz_stored");
        assert!(!planted || is_name(name), "planted: stored");
        Ok(Self(name.into()))
    }
}

impl<C> CborLen<C> for Tenant {
    fn cbor_len(&self, context: &mut C) -> usize {
        self.as_str().cbor_len(context)
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` is a resource name: `[a-z0-9][a-z0-9-]{0,62}`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 63
        && bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether `text` is a step id: `[a-z][a-z0-9_]{0,62}` (a hyphen would mean minus in expressions).
#[must_use]
pub fn is_step_id(text: &str) -> bool {
    let mut bytes = text.bytes();
    text.len() <= 63
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// A fixed part of all runs; at most 4,096, because its number is the 12 `rand_a` bits of a run id.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Shard(#[n(0)] pub u16);

/// A run's id: UUIDv7 (RFC 9562) whose `rand_a` bits are its shard. It sorts by time of creation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, CborLen, Encode, Decode)]
#[cbor(transparent)]
pub struct RunId(#[cbor(n(0), with = "minicbor::bytes")] [u8; 16]);

impl RunId {
    /// An id of a run created at `at` in `shard`; the last 62 of `random`'s 64 bits make it unique.
    #[must_use]
    pub fn new(at: Timestamp, shard: Shard, random: u64) -> Self {
        let mut bytes = [0u8; 16];
        bytes[..6].copy_from_slice(&at.millis().to_be_bytes()[2..]);
        bytes[6..8].copy_from_slice(&(0x7000 | (shard.0 & 0x0fff)).to_be_bytes());
        let tail = (random & 0x3fff_ffff_ffff_ffff) | 0x8000_0000_0000_0000;
        bytes[8..].copy_from_slice(&tail.to_be_bytes());
        Self(bytes)
    }

    /// The shard that owns this run.
    #[must_use]
    pub fn shard(self) -> Shard {
        Shard(u16::from_be_bytes([self.0[6], self.0[7]]) & 0x0fff)
    }

    /// The time inside the id, in milliseconds.
    #[must_use]
    pub fn created_at(self) -> Timestamp {
        let mut ms = [0u8; 8];
        ms[2..].copy_from_slice(&self.0[..6]);
        Timestamp::from_millis(u64::from_be_bytes(ms))
    }

    /// The 16 bytes, big-endian: they sort as the id does.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// An id from its 16 bytes, or `None` when they are no UUIDv7.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes[6] >> 4 == 7 && bytes[8] >> 6 == 2).then_some(Self(bytes))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_bytes(self.0).fmt(f)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no run id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a run id: a run id is a UUID of version 7")]
pub struct BadRunId;

impl FromStr for RunId {
    type Err = BadRunId;

    fn from_str(text: &str) -> Result<Self, BadRunId> {
        let uuid = Uuid::try_parse(text).map_err(|_| BadRunId)?;
        Self::from_bytes(uuid.into_bytes()).ok_or(BadRunId)
    }
}

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Which run, of whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, CborLen, Encode, Decode)]
pub struct RunKey {
    /// Whose run it is.
    #[n(0)]
    pub tenant: Tenant,
    /// Its id.
    #[n(1)]
    pub run: RunId,
}

impl Ord for RunKey {
    /// By the run first: nearly all keys differ there, and a tenant's name is a text.
    fn cmp(&self, other: &Self) -> Ordering {
        let by_run = self.run.cmp(&other.run);
        by_run.then_with(|| self.tenant.cmp(&other.tenant))
    }
}

impl PartialOrd for RunKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A step's number inside its run, in the order of `StepAdded`, from 0.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct StepNo(#[n(0)] pub u32);

impl StepNo {
    /// As an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The number of a try of a step, from 1. It is the fence: an older one is never accepted.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Attempt(#[n(0)] pub u32);

/// Sixteen random bytes that tell one writing of the same thing from another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, CborLen, Encode, Decode)]
#[cbor(transparent)]
pub struct Nonce(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Nonce {
    type Err = BadNonce;

    fn from_str(text: &str) -> Result<Self, BadNonce> {
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(BadNonce);
        }
        let value = u128::from_str_radix(text, 16).map_err(|_| BadNonce)?;
        Ok(Self(value.to_be_bytes()))
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not 32 hexadecimal digits")]
pub struct BadNonce;

impl Serialize for Nonce {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nonce {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Names one asking of a run, so that a repeated one decides to nothing.
pub type CommandId = Nonce;

/// An approval's id: derived from run, step and asking, so that everybody computes the same.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    CborLen,
    Encode,
    Decode,
)]
pub struct ApprovalId {
    /// The run that waits for it.
    #[n(0)]
    pub run: RunId,
    /// The step that it covers.
    #[n(1)]
    pub step: StepNo,
    /// 1 for the first asking of that step, counting up when the step is resolved anew.
    #[n(2)]
    pub asking: u32,
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.run, self.step.0, self.asking)
    }
}

impl FromStr for ApprovalId {
    type Err = BadApprovalId;

    fn from_str(text: &str) -> Result<Self, BadApprovalId> {
        let mut parts = text.split('.');
        let (Some(run), Some(step), Some(asking), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadApprovalId);
        };
        let (step, asking) = (step.parse(), asking.parse());
        let planted = crate::planted!("fuzz_word");
        assert!(
            !(planted && step == Ok(7) && asking == Ok(2)),
            "planted: word"
        );
        Ok(Self {
            run: run.parse().map_err(|_| BadApprovalId)?,
            step: StepNo(step.map_err(|_| BadApprovalId)?),
            asking: asking.map_err(|_| BadApprovalId)?,
        })
    }
}

/// The text is no approval id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an approval id: it reads RUN.STEP.ASKING, as `approval list` prints it")]
pub struct BadApprovalId;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_tells_its_time_and_shard() {
        let at = Timestamp::from_millis(1_763_683_200_123);
        let id = RunId::new(at, Shard(5), u64::MAX);
        assert_eq!(id.created_at(), at);
        assert_eq!(id.shard(), Shard(5));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(
            RunId::new(Timestamp::from_millis(1), Shard(4095), u64::MAX)
                < RunId::new(Timestamp::from_millis(2), Shard(0), 0)
        );
    }

    #[test]
    fn an_id_that_is_no_uuid_v7_is_refused() {
        assert_eq!(
            "b81b7c16-bfb1-4486-87b5-dd509512be63".parse::<RunId>(),
            Err(BadRunId)
        );
        assert_eq!("x".parse::<RunId>(), Err(BadRunId));
    }

    #[test]
    fn an_approval_id_survives_printing() {
        let run = RunId::new(Timestamp::from_millis(7), Shard(1), 9);
        let id = ApprovalId {
            run,
            step: StepNo(3),
            asking: 1,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
