//! A record as a message: its bytes, and in the headers what is needed to load a shard.

use async_nats::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use engine::digest::Digest;
use engine::id::RunKey;
use engine::record::{BadRecord, Encoded, Record, Summary, check_chain};

use crate::Error;
use crate::port::Entry;

/// Where a record stands in its run.
pub(super) const NUMBER: &str = "Mirastack-Record";
/// When it was decided, in milliseconds.
pub(super) const AT: &str = "Mirastack-At";
/// Its summary, encoded, in base64.
pub(super) const SUMMARY: &str = "Mirastack-Summary";
/// Stands in the place of the records of a run that is removed and whose id is young.
pub(super) const REMOVED: &str = "Mirastack-Removed";
/// The headers of a record.
pub(super) fn headers(record: &Encoded) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(NUMBER, record.n.to_string());
    headers.insert(AT, record.at.millis().to_string());
    headers.insert(SUMMARY, encoded(&record.summary));
    headers
}

/// The record in these bytes.
pub(super) fn decode(key: &RunKey, bytes: &[u8]) -> Result<Record, Error> {
    Record::decode(bytes).map_err(|e| unreadable(key, &e))
}

fn unreadable(key: &RunKey, error: &BadRecord) -> Error {
    let what = format!("a record of run {}: {error}", key.run);
    match error {
        // Not damage: parking the run would be wrong, and this version can do nothing else with it.
        BadRecord::Newer(_) => Error::Unavailable(what),
        BadRecord::Garbage(_) | BadRecord::Chain { .. } => Error::Corrupt(what),
    }
}

/// The records of a run, each checked: that it is one, and that it follows the one before.
pub(super) fn verified(key: &RunKey, records: &[Bytes]) -> Result<Vec<Entry>, Error> {
    let mut entries: Vec<Entry> = Vec::with_capacity(records.len());
    for bytes in records {
        let record = decode(key, bytes)?;
        let hash = Digest::of(bytes);
        let (n, before) = entries
            .last()
            .map_or((0, Digest::ZERO), |last| (last.record.n, last.hash));
        check_chain(&record, key, n, before).map_err(|e| unreadable(key, &e))?;
        entries.push(Entry { record, hash });
    }
    Ok(entries)
}

fn encoded(summary: &Summary) -> String {
    let bytes = minicbor::to_vec(summary).expect("writing to memory cannot fail");
    STANDARD.encode(bytes)
}

/// The summary in its headers, or what is wrong with it.
pub(super) fn summary(headers: &HeaderMap) -> Result<Summary, String> {
    let text = headers.get(SUMMARY).ok_or("it has no summary")?;
    let bytes = STANDARD.decode(text.as_str()).map_err(|e| e.to_string())?;
    minicbor::decode(&bytes).map_err(|e| e.to_string())
}

/// A number in its headers.
pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.as_str().parse().ok()
}
