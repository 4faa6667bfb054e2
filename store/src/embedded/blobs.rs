//! Large values, a row each.

use std::sync::Arc;

use async_trait::async_trait;
use engine::digest::Digest;
use engine::id::{RunId, RunKey};
use engine::time::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::commit::Writer;
use super::core::Core;
use crate::Error;
use crate::port::Blobs;
use crate::sqlite::fault::Fault;

pub(super) struct Values(pub(super) Arc<Core>);

#[async_trait]
impl Blobs for Values {
    async fn put(&self, key: &RunKey, digest: Digest, bytes: &[u8]) -> Result<(), Error> {
        if Digest::of(bytes) != digest {
            let what = format!("the bytes of run {} are not those of {digest}", key.run);
            return Err(Error::Corrupt(what));
        }
        let (key, bytes) = (key.clone(), bytes.to_vec());
        let work = move |writer: &mut Writer| {
            // Damaged bytes under this digest are made good: the same value is put again when a decision is repeated.
            let sql = "INSERT INTO blob (tenant, id, digest, bytes) VALUES (?1, ?2, ?3, ?4)
                ON CONFLICT (tenant, id, digest) DO UPDATE SET bytes = excluded.bytes
                WHERE bytes <> excluded.bytes";
            let row = (
                key.tenant.as_str(),
                key.run.as_bytes(),
                digest.as_bytes(),
                &bytes,
            );
            writer.conn.prepare_cached(sql)?.execute(row)?;
            Ok(())
        };
        self.0.write(work, |()| ()).await
    }

    async fn get(&self, key: &RunKey, digest: Digest) -> Result<Option<Vec<u8>>, Error> {
        let key = key.clone();
        self.0.read(move |conn| get(conn, &key, digest)).await
    }

    async fn sweep(&self, before: Timestamp, max: usize) -> Result<usize, Error> {
        let orphans = self
            .0
            .read(move |conn| Ok(orphans(conn, before, max)?))
            .await?;
        if orphans.is_empty() {
            return Ok(0);
        }
        let work = move |writer: &mut Writer| {
            let mut dropped = 0;
            for seq in &orphans {
                let sql = format!("DELETE FROM blob WHERE seq = ?1 AND {ORPHAN}");
                dropped += writer.conn.prepare_cached(&sql)?.execute([seq])?;
            }
            Ok(dropped)
        };
        self.0.write(work, |_| ()).await
    }
}

/// That no record of the blob's run exists.
const ORPHAN: &str = "NOT EXISTS (SELECT 1 FROM run WHERE run.tenant = blob.tenant AND run.id = blob.id)
    AND NOT EXISTS (SELECT 1 FROM archive WHERE archive.tenant = blob.tenant AND archive.id = blob.id)";

fn orphans(conn: &Connection, before: Timestamp, max: usize) -> rusqlite::Result<Vec<u64>> {
    let sql = format!("SELECT seq FROM blob WHERE id < ?1 AND {ORPHAN} ORDER BY seq LIMIT ?2");
    let oldest_kept = RunId::new(before, engine::id::Shard(0), 0);
    let mut statement = conn.prepare_cached(&sql)?;
    let rows = statement.query_map((oldest_kept.as_bytes(), max), |row| row.get(0))?;
    rows.collect()
}

/// The bytes, checked against their digest.
pub(super) fn get(
    conn: &Connection,
    key: &RunKey,
    digest: Digest,
) -> Result<Option<Vec<u8>>, Fault> {
    let sql = "SELECT bytes FROM blob WHERE tenant = ?1 AND id = ?2 AND digest = ?3";
    let named = (key.tenant.as_str(), key.run.as_bytes(), digest.as_bytes());
    let bytes: Option<Vec<u8>> = conn
        .prepare_cached(sql)?
        .query_row(named, |row| row.get(0))
        .optional()?;
    match bytes {
        Some(bytes) if Digest::of(&bytes) != digest => {
            let what = format!(
                "the bytes of the value {digest} of run {} are damaged",
                key.run
            );
            Err(Error::Corrupt(what).into())
        }
        found => Ok(found),
    }
}

/// Drops all values of a run.
pub(super) fn remove(conn: &Connection, key: &RunKey) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM blob WHERE tenant = ?1 AND id = ?2")?
        .execute((key.tenant.as_str(), key.run.as_bytes()))?;
    Ok(())
}
