mod damaged;

use std::sync::Mutex;

use async_trait::async_trait;
use engine::id::RunKey;
use store::clock::SystemRandom;
use store::conformance::HandClock;
use store::conformance::sample::{Birth, Sample};
use store::port::Archive;
use store::{Embedded, Options, Place};

use super::*;

const RUNS: u64 = 1_000;
const BATCH: usize = 50;

/// The archive, and when it was asked to move or remove how many runs.
struct Watched {
    inner: Arc<dyn Archive>,
    work: Mutex<Vec<(Instant, usize)>>,
}

impl Watched {
    fn see(&self, runs: usize) {
        let mut work = self.work.lock().expect("nobody panics with it");
        work.push((Instant::now(), runs));
    }

    /// What was asked for, and that nobody had to wait for more than one batch of it.
    fn must_be_in_steps(&self, expected: u64) {
        let work = std::mem::take(&mut *self.work.lock().expect("nobody panics with it"));
        let sum: usize = work.iter().map(|(_, runs)| runs).sum();
        assert_eq!(sum as u64, expected);
        assert!(work.iter().all(|(_, runs)| *runs <= BATCH), "{work:?}");
        for pair in work.windows(2) {
            assert!(
                pair[1].0 - pair[0].0 >= REST_MIN,
                "no rest between two batches"
            );
        }
    }
}

#[async_trait]
impl Archive for Watched {
    async fn ended(&self, before: Timestamp, max: usize) -> Result<Vec<RunKey>, Error> {
        self.inner.ended(before, max).await
    }

    async fn archive(&self, runs: &[RunKey]) -> Result<(), Error> {
        self.see(runs.len());
        self.inner.archive(runs).await
    }

    async fn expired(&self, retention: Retention, max: usize) -> Result<Vec<RunKey>, Error> {
        self.inner.expired(retention, max).await
    }

    async fn remove(&self, runs: &[RunKey]) -> Result<(), Error> {
        self.see(runs.len());
        self.inner.remove(runs).await
    }
}

/// A store in which so many runs have ended an hour ago.
async fn ended(runs: u64) -> (Backend, store::Handle) {
    let clock: Arc<HandClock> = Arc::default();
    let options = Options::new(Arc::<HandClock>::clone(&clock), Arc::new(SystemRandom));
    let (backend, handle) = Embedded::inline(Place::Memory, options).expect("in memory");
    for number in 0..runs {
        let run = Sample::whole(&Birth::number(number));
        for (record, events) in &run.records {
            backend
                .journal
                .append(record, events)
                .await
                .expect("it follows");
        }
    }
    clock.set(Timestamp::from_millis(
        Birth::number(runs).at.millis() + 3_600_000,
    ));
    (backend, handle)
}

#[tokio::test(start_paused = true)]
async fn many_runs_are_archived_and_removed_in_steps_that_let_others_in_between() {
    let (mut backend, _handle) = ended(RUNS).await;
    let watched = Arc::new(Watched {
        inner: backend.archive.clone(),
        work: Mutex::default(),
    });
    backend.archive = Arc::<Watched>::clone(&watched);
    let config = Config {
        janitor_batch: BATCH,
        keep_runs: 100,
        ..Config::default()
    };
    let janitor = Janitor::new(config, backend);
    janitor.archive().await.expect("it answers");
    watched.must_be_in_steps(RUNS);
    janitor.remove_expired().await.expect("it answers");
    watched.must_be_in_steps(RUNS - 100);
}

#[tokio::test(start_paused = true)]
async fn runs_that_end_as_fast_as_they_are_archived_do_not_keep_the_others_from_being_removed() {
    let more_than_a_turn = TURN as u64 + 10;
    let (backend, _handle) = ended(more_than_a_turn).await;
    let archive = backend.archive.clone();
    let config = Config {
        janitor_batch: 1,
        keep_runs: 0,
        ..Config::default()
    };
    let janitor = Janitor::new(config, backend);
    let now = janitor.backend.clock.now();
    assert_eq!(janitor.round().await, Progress::More);
    let left = archive.ended(now, RUNS as usize).await.expect("it answers");
    assert_eq!(left.len(), 10, "one turn");
    let all = Retention {
        before: now,
        number: 0,
    };
    let kept = archive
        .expired(all, RUNS as usize)
        .await
        .expect("it answers");
    assert_eq!(kept, [], "what was archived was removed in the same round");
    assert_eq!(janitor.round().await, Progress::Done);
    let left = archive.ended(now, RUNS as usize).await.expect("it answers");
    assert_eq!(left, [], "the next round has done the rest");
}
