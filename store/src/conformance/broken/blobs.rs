//! Blobs that break a promise.

use std::sync::Arc;

use async_trait::async_trait;
use engine::digest::Digest;
use engine::id::{RunId, RunKey, Shard, Tenant};
use engine::time::Timestamp;

use super::{Seen, defects};
use crate::port::Blobs;
use crate::{Backend, Error};

defects![
    a_blob_holds_what_was_put: CutsValues,
    a_blob_is_its_runs: SharesBlobs,
    a_blob_is_what_its_digest_says: TakesAnyBytes,
    blobs_survive_a_restart: ForgetsAtRestart,
    a_sweep_drops_blobs_without_a_run: SweepsNothing,
    a_sweep_leaves_blobs_of_runs: SweepsBlobsOfRuns,
    a_sweep_leaves_young_blobs: SweepsYoungBlobs,
    a_damaged_blob_is_not_read: ReadsOverDamage,
    a_removed_run_is_gone: KeepsBlobsOfRemovedRuns,
];

struct Wrapper {
    inner: Arc<dyn Blobs>,
    how: How,
    seen: Seen<(RunKey, Digest)>,
    swept: Seen<()>,
}

fn wrap(backend: Backend, how: How) -> Backend {
    let blobs = Arc::new(Wrapper {
        inner: Arc::clone(&backend.blobs),
        how,
        seen: Seen::new(),
        swept: Seen::new(),
    });
    Backend { blobs, ..backend }
}

impl Wrapper {
    fn key(&self, key: &RunKey) -> RunKey {
        let one = RunKey {
            tenant: Tenant::default(),
            run: RunId::new(Timestamp::from_millis(1), Shard(0), 1),
        };
        if self.how == How::SharesBlobs {
            one
        } else {
            key.clone()
        }
    }
}

#[async_trait]
impl Blobs for Wrapper {
    async fn put(&self, key: &RunKey, digest: Digest, bytes: &[u8]) -> Result<(), Error> {
        self.seen.add((key.clone(), digest));
        let put = self.inner.put(&self.key(key), digest, bytes).await;
        if self.how == How::TakesAnyBytes {
            Ok(())
        } else {
            put
        }
    }

    async fn get(&self, key: &RunKey, digest: Digest) -> Result<Option<Vec<u8>>, Error> {
        let swept = self.swept.has(&()) && self.how == How::SweepsBlobsOfRuns;
        let seen = self.seen.has(&(key.clone(), digest));
        if swept || (self.how == How::ForgetsAtRestart && !seen) {
            return Ok(None);
        }
        let found = self.inner.get(&self.key(key), digest).await;
        match self.how {
            How::CutsValues => {
                found.map(|found| found.map(|bytes| bytes.get(1..).unwrap_or_default().to_vec()))
            }
            How::ReadsOverDamage if found.is_err() => Ok(None),
            How::KeepsBlobsOfRemovedRuns if seen => Ok(Some(b"large".to_vec())),
            _ => found,
        }
    }

    async fn sweep(&self, before: Timestamp, max: usize) -> Result<usize, Error> {
        self.swept.add(());
        match self.how {
            How::SweepsNothing => Ok(0),
            How::SweepsYoungBlobs => self.inner.sweep(Timestamp::MAX, max).await,
            _ => self.inner.sweep(before, max).await,
        }
    }
}
