//! The closed loop: as many clients as may be in flight, each of which starts its next run when its last has ended.
//! And the open one: a run whenever one is due, whether the server keeps up or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::bail;
use futures::StreamExt as _;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::api::{Api, Hook};
use crate::plan::{By, Pace, Scenario, Until};
use crate::workflows::alert;

/// How many runs are waited for at once after the clock was stopped.
const DRAIN: usize = 64;
/// How many runs of an open loop may be open at once.
const OPEN_MAX: usize = 10_000;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Budget {
    /// For so long.
    Time(Duration),
    /// So many runs.
    Runs(u64),
}

/// What is loaded.
pub(crate) struct Server {
    /// Its API.
    pub(crate) api: Api,
    /// Where alerts are delivered.
    pub(crate) hook: Hook,
    /// How many alerts there were.
    pub(crate) alerts: AtomicU64,
}

impl Server {
    /// Asks for one run as the scenario wants it, and answers its id when the clock is to be stopped.
    ///
    /// # Errors
    /// A request fails, or the run does not succeed.
    async fn run(&self, scenario: &Scenario) -> anyhow::Result<String> {
        let api = &self.api;
        match (scenario.by, scenario.until) {
            (By::Api, Until::Accepted) => api.accepted(scenario.workflow.name).await,
            (By::Api, Until::Done) => api.done(scenario.workflow.name).await,
            (By::Api, Until::Approved) => api.approved(scenario.workflow.name).await,
            (By::Hook, until) => {
                let number = self.alerts.fetch_add(1, Ordering::Relaxed);
                let id = api.delivered(&self.hook, &alert(number)).await?;
                if until != Until::Accepted {
                    api.ended(&id).await?;
                }
                Ok(id)
            }
        }
    }
}

/// What was measured.
pub(crate) struct Tally {
    /// The time of each run, in microseconds.
    pub(crate) micros: Histogram<u64>,
    /// How long all of it took.
    pub(crate) elapsed: Duration,
    /// The ids of the runs, in no order.
    pub(crate) runs: Vec<String>,
    /// What went wrong. A client stops at its first failure.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// Of nothing.
    pub(crate) fn new() -> Self {
        Self {
            micros: histogram(),
            elapsed: Duration::ZERO,
            runs: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// What is left of a warm-up: the ids of its runs, if nothing failed.
    ///
    /// # Errors
    /// Something failed.
    pub(crate) fn warm(self) -> anyhow::Result<Vec<String>> {
        if let Some(failure) = self.failures.first() {
            bail!("while warming up: {failure}");
        }
        Ok(self.runs)
    }

    fn take(&mut self, client: Client) {
        self.micros += client.micros;
        self.runs.extend(client.runs);
        self.failures.extend(client.failure);
    }
}

/// A histogram of microseconds: three digits, and it grows with what it sees.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are a valid precision")
}

/// What one client saw.
struct Client {
    micros: Histogram<u64>,
    runs: Vec<String>,
    failure: Option<String>,
}

impl Client {
    fn new() -> Self {
        Self {
            micros: histogram(),
            runs: Vec::new(),
            failure: None,
        }
    }

    /// Counts a run that began then.
    fn see(&mut self, begin: Instant, run: anyhow::Result<String>) {
        match run {
            Ok(id) => {
                self.micros += u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.runs.push(id);
            }
            Err(error) => self.failure = Some(format!("{error:#}")),
        }
    }
}

/// Who may start one more run.
struct Gate {
    until: Option<Instant>,
    left: AtomicU64,
}

impl Gate {
    fn new(budget: Budget) -> Self {
        let (until, left) = match budget {
            Budget::Time(time) => (Some(Instant::now() + time), u64::MAX),
            Budget::Runs(runs) => (None, runs),
        };
        Self {
            until,
            left: AtomicU64::new(left),
        }
    }

    fn lets_through(&self) -> bool {
        let in_time = self.until.is_none_or(|until| Instant::now() < until);
        let one_less = |left: u64| left.checked_sub(1);
        in_time
            && self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                .is_ok()
    }
}

/// Loads the server with one scenario, and waits until every run that it took has ended.
pub(crate) async fn drive(server: &Arc<Server>, scenario: &Scenario, budget: Budget) -> Tally {
    let gate = Arc::new(Gate::new(budget));
    let begin = Instant::now();
    let mut tally = Tally::new();
    match scenario.pace {
        Pace::InFlight(clients) => {
            let mut set = JoinSet::new();
            for _ in 0..clients {
                set.spawn(client(server.clone(), *scenario, gate.clone()));
            }
            for client in set.join_all().await {
                tally.take(client);
            }
        }
        Pace::PerSecond(rate) => {
            let run = || {
                let (server, scenario) = (server.clone(), *scenario);
                async move { server.run(&scenario).await }
            };
            open(&gate, rate, &mut tally, run).await;
        }
    }
    tally.elapsed = begin.elapsed();
    if scenario.until == Until::Accepted {
        let failures = drain(&server.api, &tally.runs).await;
        tally.failures.extend(failures);
    }
    tally
}

/// A run's time begins when it was due, also where we are late: else a server that stands still would be asked less,
/// and look fast.
async fn open<F>(gate: &Gate, rate: u32, tally: &mut Tally, run: impl Fn() -> F)
where
    F: Future<Output = anyhow::Result<String>> + Send + 'static,
{
    let begin = Instant::now();
    let mut set = JoinSet::new();
    let mut number = 0_u32;
    while gate.lets_through() {
        let due = begin + Duration::from_secs(1) * number / rate;
        number += 1;
        sleep_until(due).await;
        if set.len() >= OPEN_MAX {
            let told = format!("{OPEN_MAX} runs are open: the server does not keep up");
            tally.failures.push(told);
            break;
        }
        let run = run();
        set.spawn(async move {
            let mut seen = Client::new();
            seen.see(due, run.await);
            seen
        });
        while let Some(Ok(seen)) = set.try_join_next() {
            tally.take(seen);
        }
    }
    for seen in set.join_all().await {
        tally.take(seen);
    }
}

async fn client(server: Arc<Server>, scenario: Scenario, gate: Arc<Gate>) -> Client {
    let mut seen = Client::new();
    while seen.failure.is_none() && gate.lets_through() {
        let begin = Instant::now();
        seen.see(begin, server.run(&scenario).await);
    }
    seen
}

/// Waits for runs, off the clock, and answers what went wrong.
async fn drain(api: &Api, runs: &[String]) -> Vec<String> {
    futures::stream::iter(runs)
        .map(|id| async move { api.ended(id).await.err() })
        .buffer_unordered(DRAIN)
        .filter_map(async |error| error.map(|e| format!("{e:#}")))
        .collect()
        .await
}

#[cfg(test)]
mod tests {
    use super::{Budget, Gate, Tally, open};
    use std::time::Duration;

    #[test]
    fn a_number_of_runs_lets_exactly_so_many_through() {
        let gate = Gate::new(Budget::Runs(3));
        let through = (0..10).filter(|_| gate.lets_through()).count();
        assert_eq!(through, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_lets_runs_through_until_it_is_over() {
        let gate = Gate::new(Budget::Time(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(gate.lets_through());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!gate.lets_through());
    }

    /// Ten runs are due, one every 100 ms. Once the first is made nothing moves for a second, and we neither: each of the
    /// others took what was left of it when it was due.
    #[tokio::test(start_paused = true)]
    async fn in_an_open_loop_a_run_takes_time_from_when_it_was_due() {
        let gate = Gate::new(Budget::Runs(10));
        let mut tally = Tally::new();
        let loaded = open(&gate, 10, &mut tally, async || Ok("a run".to_owned()));
        let stands_still = async {
            tokio::task::yield_now().await;
            tokio::time::advance(Duration::from_secs(1)).await;
        };
        tokio::join!(loaded, stands_still);
        let ms = |quantile| tally.micros.value_at_quantile(quantile) / 1_000;
        assert_eq!((tally.micros.len(), tally.failures.len()), (10, 0));
        assert!((899..=901).contains(&ms(1.0)), "{}", ms(1.0));
        assert!((399..=401).contains(&ms(0.5)), "{}", ms(0.5));
    }
}
