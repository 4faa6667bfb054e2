//! One damaged run, and all the others.

use async_trait::async_trait;
use engine::id::{Shard, Tenant};
use engine::record::Encoded;
use store::conformance::sample::{Birth, Sample};
use store::conformance::{CountingRandom, HandClock};
use store::embedded::{Embedded, Options, Place};
use store::port::{Archive, Entry, Journal, NewRun, OpenRuns};

use super::*;

/// A store of which one run is damaged; with `stuck`, nothing is archived for it.
struct Damaged {
    inner: Backend,
    run: RunKey,
    stuck: bool,
}

#[async_trait]
impl Journal for Damaged {
    async fn append(&self, record: &Encoded, events: &[Event]) -> Result<(), Error> {
        self.inner.journal.append(record, events).await
    }

    async fn read(&self, key: &RunKey, after: u64) -> Result<Vec<Entry>, Error> {
        if *key == self.run {
            return Err(Error::Corrupt("a bit is flipped".to_owned()));
        }
        self.inner.journal.read(key, after).await
    }

    async fn open_runs(&self, shard: Shard) -> Result<OpenRuns, Error> {
        self.inner.journal.open_runs(shard).await
    }

    async fn new_runs(&self, shard: Shard, seq: u64, max: usize) -> Result<Vec<NewRun>, Error> {
        self.inner.journal.new_runs(shard, seq, max).await
    }
}

#[async_trait]
impl Archive for Damaged {
    async fn ended(&self, before: Timestamp, max: usize) -> Result<Vec<RunKey>, Error> {
        if self.stuck {
            return Err(Error::Corrupt("a bit is flipped".to_owned()));
        }
        self.inner.archive.ended(before, max).await
    }

    async fn archive(&self, runs: &[RunKey]) -> Result<(), Error> {
        self.inner.archive.archive(runs).await
    }

    async fn expired(&self, retention: Retention, max: usize) -> Result<Vec<RunKey>, Error> {
        self.inner.archive.expired(retention, max).await
    }

    async fn remove(&self, runs: &[RunKey]) -> Result<(), Error> {
        self.inner.archive.remove(runs).await
    }
}

/// Three ended runs, of which the oldest is damaged, and a key whose time is over.
async fn janitor(stuck: bool) -> (Janitor, [RunKey; 3]) {
    let clock = Arc::<HandClock>::default();
    let options = Options::new(clock, Arc::<CountingRandom>::default());
    let (inner, _handle) = Embedded::inline(Place::Memory, options).expect("in memory");
    let runs = [1, 2, 3].map(|number| Sample::whole(&Birth::number(number)));
    for run in &runs {
        for (record, events) in &run.records {
            let append = inner.journal.append(record, events);
            append.await.expect("it follows");
        }
    }
    let (tenant, over) = (Tenant::default(), Timestamp::from_millis(1));
    let key = inner.keys.create(&tenant, "k", b"v", over);
    key.await.expect("it is new");
    let runs = runs.map(|run| run.key);
    let damaged = Arc::new(Damaged {
        inner: inner.clone(),
        run: runs[0].clone(),
        stuck,
    });
    let backend = Backend {
        journal: damaged.clone(),
        archive: damaged,
        ..inner
    };
    let config = Config {
        janitor_batch: 2,
        keep_runs: 0,
        ..Config::default()
    };
    (Janitor::new(config, backend), runs)
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_archived_keeps_nothing_from_being_swept() {
    let (janitor, _) = janitor(true).await;
    janitor.round().await;
    let (tenant, begin) = (Tenant::default(), Timestamp::from_millis(0));
    let key = janitor.backend.keys.get(&tenant, "k", begin).await;
    assert_eq!(key.expect("in memory"), None);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_run_keeps_no_other_from_being_removed() {
    let (janitor, [damaged, others @ ..]) = janitor(false).await;
    janitor.round().await;
    for run in others {
        let journal = &janitor.backend.journal;
        assert_eq!(journal.read(&run, 0).await, Ok(Vec::new()), "{}", run.run);
    }
    let all = Retention {
        before: Timestamp::MAX,
        number: 0,
    };
    let kept = janitor.backend.archive.expired(all, 9).await;
    assert_eq!(kept, Ok(vec![damaged]));
}
