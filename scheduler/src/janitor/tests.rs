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

#[tokio::test(start_paused = true)]
async fn many_runs_are_archived_and_removed_in_steps_that_let_others_in_between() {
    let clock: Arc<HandClock> = Arc::default();
    let options = Options::new(Arc::<HandClock>::clone(&clock), Arc::new(SystemRandom));
    let (mut backend, _handle) = Embedded::inline(Place::Memory, options).expect("in memory");
    for number in 0..RUNS {
        let run = Sample::whole(&Birth::number(number));
        for (record, events) in &run.records {
            backend
                .journal
                .append(record, events)
                .await
                .expect("it follows");
        }
    }
    let watched = Arc::new(Watched {
        inner: backend.archive.clone(),
        work: Mutex::default(),
    });
    backend.archive = Arc::<Watched>::clone(&watched);
    clock.set(Timestamp::from_millis(
        Birth::number(RUNS).at.millis() + 3_600_000,
    ));
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
