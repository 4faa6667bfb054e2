//! Labelled values, referred to by digest.
//!
//! A value is JSON in one canonical spelling: keys sorted, no spaces, integers without a point, doubles with one.
//! So the type that a schema gave it (`number` is double, also when whole) survives being stored.

use std::collections::BTreeSet;

use minicbor::bytes::ByteVec;
use minicbor::{CborLen, Decode, Encode};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::digest::Digest;

/// Up to this many bytes a value stands in the event itself.
pub const INLINE_BYTES_MAX: usize = 8 * 1024;
/// The same for a run whose journal has passed [`LONG_JOURNAL_BYTES`].
pub const INLINE_BYTES_MAX_LONG: usize = 512;
/// From here on a journal counts as long, and keeps only small values inline.
pub const LONG_JOURNAL_BYTES: u64 = 4 * 1024 * 1024;
/// No value is larger.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// More sources than this become `source=many`; trust is never dropped.
const SOURCES_MAX: usize = 32;

/// Where a value came from and how far it is trusted: a sorted set of `key=value`, joined by union.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CborLen, Encode, Decode)]
#[serde(transparent)]
#[cbor(transparent)]
pub struct Labels(#[n(0)] BTreeSet<String>);

/// How far a value is trusted, by who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Somebody with a name typed it.
    Person,
    /// It stands in a definition or a setting.
    Config,
    /// A plugin answered it.
    Plugin,
    /// An event from outside carried it.
    Outside,
    /// A language model wrote it.
    Model,
}

impl Trust {
    fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Config => "config",
            Self::Plugin => "plugin",
            Self::Outside => "outside",
            Self::Model => "model",
        }
    }
}

impl Labels {
    /// The labels of a value of that trust from that source (`input:NAME`, `hook:NAME`, `step:ID`, `var:NAME`).
    #[must_use]
    pub fn new(trust: Trust, source: &str, tenant: &str) -> Self {
        Self(BTreeSet::from([
            format!("source={source}"),
            format!("tenant={tenant}"),
            format!("trust={}", trust.as_str()),
        ]))
    }

    /// Everything that `other` carries, too.
    pub fn join(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
        let sources = self.0.iter().filter(|l| l.starts_with("source=")).count();
        if sources > SOURCES_MAX || self.0.contains("source=many") {
            self.0.retain(|l| !l.starts_with("source="));
            self.0.insert("source=many".to_owned());
        }
    }

    /// The labels, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether it carries no label at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A value, named by its digest; small ones carry their bytes.
#[derive(Clone, Debug, PartialEq, Eq, CborLen, Encode, Decode)]
pub struct Value {
    /// SHA-256 of the canonical bytes.
    #[n(0)]
    pub digest: Digest,
    /// Length of the canonical bytes.
    #[n(1)]
    pub size: u32,
    /// Where it came from.
    #[n(2)]
    pub labels: Labels,
    /// The canonical bytes, unless they are in `Blobs` under the digest.
    #[n(3)]
    pub inline: Option<ByteVec>,
}

/// The value is larger than [`VALUE_BYTES_MAX`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value of {size} bytes is over the limit of {VALUE_BYTES_MAX} bytes (4 MiB)")]
pub struct TooLarge {
    /// Its canonical length in bytes.
    pub size: usize,
}

/// A value together with the bytes that must be put into `Blobs` before an event may name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// What the event carries.
    pub value: Value,
    /// The bytes, when they are too large to stand in the event.
    pub blob: Option<Vec<u8>>,
}

impl Value {
    /// `json` in its canonical form, inline up to `inline_max` bytes.
    ///
    /// # Errors
    /// [`TooLarge`] above 4 MiB.
    pub fn make(
        json: &serde_json::Value,
        labels: Labels,
        inline_max: usize,
    ) -> Result<Made, TooLarge> {
        let bytes = canonical(json);
        let size = bytes.len();
        if size > VALUE_BYTES_MAX {
            return Err(TooLarge { size });
        }
        let digest = Digest::of(&bytes);
        let fits = size <= inline_max;
        let (inline, blob) = if fits {
            (Some(bytes.into()), None)
        } else {
            (None, Some(bytes))
        };
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        Ok(Made {
            value: Self {
                digest,
                size,
                labels,
                inline,
            },
            blob,
        })
    }

    /// The JSON of an inline value; `None` when it is in `Blobs`.
    #[must_use]
    pub fn inline_json(&self) -> Option<serde_json::Value> {
        self.inline
            .as_ref()
            .and_then(|bytes| serde_json::from_slice(bytes).ok())
    }
}

/// The one spelling of a JSON value (the map of `serde_json` is sorted; a test holds that).
#[must_use]
pub fn canonical(json: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(json).expect("a JSON value always prints: its keys are strings")
}

impl Serialize for Value {
    /// `{digest, size, labels, value?}`: the value itself only when it is inline.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("digest", &self.digest)?;
        map.serialize_entry("size", &self.size)?;
        map.serialize_entry("labels", &self.labels)?;
        let text = self
            .inline
            .as_ref()
            .and_then(|b| std::str::from_utf8(b).ok());
        if let Some(raw) = text.and_then(|t| serde_json::from_str::<&RawValue>(t).ok()) {
            map.serialize_entry("value", raw)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_value_has_one_spelling_and_keeps_its_number_type() {
        let value: serde_json::Value = serde_json::from_str(r#"{"b": 3.0, "a": 3}"#).expect("JSON");
        assert_eq!(canonical(&value), br#"{"a":3,"b":3.0}"#);
    }

    #[test]
    fn a_large_value_goes_by_reference() {
        let json = json!("x".repeat(INLINE_BYTES_MAX));
        let made = Value::make(&json, Labels::default(), INLINE_BYTES_MAX).expect("under 4 MiB");
        assert_eq!(made.value.inline, None);
        assert_eq!(made.blob.map(|b| Digest::of(&b)), Some(made.value.digest));
        let huge = json!("x".repeat(VALUE_BYTES_MAX));
        let error =
            Value::make(&huge, Labels::default(), INLINE_BYTES_MAX).expect_err("over 4 MiB");
        assert_eq!(error.size, VALUE_BYTES_MAX + 2);
    }

    #[test]
    fn many_sources_become_many_and_trust_stays() {
        let mut labels = Labels::new(Trust::Outside, "input:a", "default");
        for n in 0..40 {
            labels.join(&Labels::new(Trust::Config, &format!("var:v{n}"), "default"));
        }
        let all: Vec<&str> = labels.iter().collect();
        assert_eq!(
            all,
            [
                "source=many",
                "tenant=default",
                "trust=config",
                "trust=outside"
            ]
        );
    }
}
