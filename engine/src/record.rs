//! The record: the events of one decision, appended together and chained by hash to the one before.
//!
//! `docs/journal.md` writes the form down. A record is CBOR (RFC 8949), deterministic: fields in the order of their
//! numbers, shortest heads, definite lengths. Its hash is the SHA-256 of exactly these bytes, as they are stored.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::digest::Digest;
use crate::event::{Event, RunStatus};
use crate::id::{CommandId, Nonce, RunKey};
use crate::time::Timestamp;

/// The format that this version writes, and the highest that it reads.
pub const FORMAT: u16 = 1;
/// No record is longer; a decision that would be emits less and wakes again.
pub const RECORD_BYTES_MAX: usize = 512 * 1024;
/// What stands around the events of a record is rarely longer, in bytes.
const AROUND_BYTES: usize = 256;
/// The events of a record are rarely longer, in bytes.
const USUAL_BYTES: usize = 512;
/// The events of a record are no longer, so that there is room for what stands around them.
pub(crate) const EVENT_BYTES_MAX: usize = RECORD_BYTES_MAX - 4 * 1024;
/// No journal is longer, in bytes.
pub const JOURNAL_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// No journal holds more events.
pub const JOURNAL_EVENTS_MAX: u64 = 200_000;

/// One record of a run's journal.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Record {
    /// The format of envelope and events.
    #[n(0)]
    pub format: u16,
    /// The key that the payload is sealed with; `None`: not sealed.
    #[n(1)]
    pub key_id: Option<String>,
    /// How the payload is written: 0 is CBOR.
    #[n(2)]
    pub codec: u8,
    /// Whose run, which run.
    #[n(3)]
    pub key: RunKey,
    /// Its number in the journal, from 1 without gaps.
    #[n(4)]
    pub n: u64,
    /// The hash of record `n - 1`; zeros for the first.
    #[n(5)]
    pub prev_hash: Digest,
    /// When it was decided.
    #[n(6)]
    pub at: Timestamp,
    /// Tells this writing from another one of the same number.
    #[n(7)]
    pub nonce: Nonce,
    /// The command that it answers.
    #[n(8)]
    pub cause: Cause,
    /// What can be known without the payload.
    #[n(9)]
    pub summary: Summary,
    /// The events, encoded.
    #[n(10)]
    pub payload: ByteVec,
}

/// The command that a record answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Encode, Decode)]
pub struct Cause {
    /// The command's id.
    #[n(0)]
    pub id: CommandId,
    /// Its name, such as `Report`.
    #[n(1)]
    pub command: String,
}

/// What a loading owner and a list need to know of a run without its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Encode, Decode)]
pub struct Summary {
    /// The run's status after this record.
    #[n(0)]
    pub status: RunStatus,
    /// When the owner must look at it again.
    #[n(1)]
    pub due: Option<Timestamp>,
    /// Whether something is owed at once: jobs to workers.
    #[n(2)]
    pub owes: bool,
}

/// A record with the bytes that are stored of it and their hash, made once.
#[derive(Clone, Debug, PartialEq)]
pub struct Encoded {
    record: Record,
    bytes: Vec<u8>,
    hash: Digest,
}

impl Encoded {
    /// Encodes the record.
    #[must_use]
    pub fn of(record: Record) -> Self {
        let bytes = record.encode();
        let hash = Digest::of(&bytes);
        Self {
            record,
            bytes,
            hash,
        }
    }

    /// The bytes that are stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Their hash, which the next record names.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }

    /// The record alone.
    #[must_use]
    pub fn into_record(self) -> Record {
        self.record
    }
}

impl std::ops::Deref for Encoded {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

/// A record could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// The bytes are no record, or its events are none.
    #[error("the record cannot be read: {0}")]
    Garbage(String),
    /// A newer version wrote it.
    #[error(
        "the record has format {0}, and this version reads up to {FORMAT}: run the version that wrote it"
    )]
    Newer(u16),
    /// It is not the one that belongs here.
    #[error("record {n} does not follow the one before it: {what}")]
    Chain {
        /// Its number.
        n: u64,
        /// What does not fit.
        what: &'static str,
    },
}

impl Record {
    /// The bytes that are stored and hashed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.payload.len() + AROUND_BYTES);
        minicbor::encode(self, &mut bytes).expect("writing to memory cannot fail");
        bytes
    }

    /// A record from its stored bytes.
    ///
    /// # Errors
    /// [`BadRecord`] when they are no record of a format that is read here.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadRecord> {
        let record: Self =
            minicbor::decode(bytes).map_err(|e| BadRecord::Garbage(e.to_string()))?;
        if record.format > FORMAT {
            return Err(BadRecord::Newer(record.format));
        }
        Ok(record)
    }

    /// The events inside.
    ///
    /// # Errors
    /// [`BadRecord::Garbage`] when the payload is no list of events.
    pub fn events(&self) -> Result<Vec<Event>, BadRecord> {
        minicbor::decode(&self.payload).map_err(|e| BadRecord::Garbage(e.to_string()))
    }
}

/// The payload for `events`.
#[must_use]
pub fn encode_events(events: &[Event]) -> ByteVec {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    minicbor::encode(events, &mut bytes).expect("writing to memory cannot fail");
    bytes.into()
}

/// Checks that `record` is what comes after `(n, hash)` of the same run.
///
/// # Errors
/// [`BadRecord::Chain`] with what does not fit.
pub fn check_chain(record: &Record, key: &RunKey, n: u64, hash: Digest) -> Result<(), BadRecord> {
    let bad = |what| Err(BadRecord::Chain { n: record.n, what });
    if record.key != *key {
        return bad("it belongs to another run");
    }
    if record.n != n + 1 {
        return bad("a record is missing");
    }
    if record.prev_hash != hash {
        return bad("its prev_hash is not the hash of the record before");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
