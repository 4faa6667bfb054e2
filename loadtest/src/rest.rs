//! Runs that wait: what they cost while nothing happens, and how long a start takes with all of them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::StreamExt as _;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::args::Rest;
use crate::memory;
use crate::own::{self, Kind, Own};
use crate::workflows::{self, WAITING};

/// How many runs are there before memory is looked at: what a server holds anyway is not a cost of the runs.
const BEFORE: u64 = 1_000;
/// How many requests are in flight while runs are made.
const IN_FLIGHT: usize = 32;
/// How long nothing is done before a figure of rest is taken, so that what is cleared away is cleared away.
const SETTLE: Duration = Duration::from_secs(5);
/// How long a processor is watched.
const WATCH: Duration = Duration::from_secs(20);

/// What was seen.
pub(crate) struct AtRest {
    runs: u64,
    idle_kib: u64,
    full_kib: u64,
    cpu: Duration,
    /// From the start of the process to its word that it is ready; nothing, where it was not started again.
    restart: Option<Duration>,
    restarted_kib: Option<u64>,
}

impl AtRest {
    /// What one waiting run takes of memory, in KiB.
    pub(crate) fn kib_per_run(&self) -> f64 {
        self.full_kib.saturating_sub(self.idle_kib) as f64 / self.runs as f64
    }

    /// How much of one processor the server takes, in percent.
    pub(crate) fn cpu_percent(&self) -> f64 {
        100.0 * self.cpu.as_secs_f64() / WATCH.as_secs_f64()
    }

    /// All of it for people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{} waiting runs: {:.2} KiB each ({:.1} MiB before them, {:.1} MiB with them), {:.2} % of a processor\n",
            self.runs,
            self.kib_per_run(),
            mib(self.idle_kib),
            mib(self.full_kib),
            self.cpu_percent()
        );
        if let Some((restart, kib)) = self.restart.zip(self.restarted_kib) {
            text.push_str(&format!(
                "started again with them: ready after {:.2} s, {:.1} MiB\n",
                restart.as_secs_f64(),
                mib(kib)
            ));
        }
        text
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

/// Makes runs that wait, and looks at the server while nothing happens.
///
/// # Errors
/// The server cannot be started, a request fails, or the server lists another number of runs than were made.
pub(crate) async fn rest(rest: &Rest) -> anyhow::Result<AtRest> {
    let folder = own::folder(rest.folder.as_deref())?;
    let dev = Own::start(Kind::Dev(&rest.dev), folder).await?;
    let api = Api::login(&dev.http, dev.key()?).await?;
    for (name, document) in WAITING.into_iter().zip(workflows::waiting()) {
        api.save(name, &document).await?;
    }
    make(&api, BEFORE).await?;
    sleep(SETTLE).await;
    let idle = memory::read(dev.pid())?;
    make(&api, rest.runs).await?;
    let listed = waiting(&api).await?;
    ensure!(
        listed == BEFORE + rest.runs,
        "{} runs were made, and the server lists {listed}",
        BEFORE + rest.runs
    );
    sleep(SETTLE).await;
    let full = memory::read(dev.pid())?;
    let before = memory::cpu(dev.pid())?;
    sleep(WATCH).await;
    let cpu = memory::cpu(dev.pid())?.saturating_sub(before);
    let folder = dev.stop().await?;
    let mut seen = AtRest {
        runs: rest.runs,
        idle_kib: idle.now_kib,
        full_kib: full.now_kib,
        cpu,
        restart: None,
        restarted_kib: None,
    };
    if rest.restart {
        let begin = Instant::now();
        let again = Own::start(Kind::Dev(&rest.dev), folder).await?;
        seen.restart = Some(begin.elapsed());
        let api = Api::login(&again.http, again.key()?).await?;
        let listed = waiting(&api).await?;
        ensure!(
            listed == BEFORE + rest.runs,
            "the server lists {listed} of {} runs after its start",
            BEFORE + rest.runs
        );
        seen.restarted_kib = Some(memory::read(again.pid())?.now_kib);
        again.stop().await?;
    }
    Ok(seen)
}

/// How many runs the server lists.
async fn waiting(api: &Api) -> anyhow::Result<u64> {
    let mut runs = 0;
    for name in WAITING {
        runs += api.count(name).await?;
    }
    Ok(runs)
}

/// Half of them wait for a time, half for a person.
async fn make(api: &Api, runs: u64) -> anyhow::Result<()> {
    let names = WAITING.into_iter().cycle();
    let mut made = futures::stream::iter((0..runs).zip(names))
        .map(|(_, name)| api.accepted(name))
        .buffer_unordered(IN_FLIGHT);
    while let Some(id) = made.next().await {
        id.context("a run that waits")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{AtRest, WATCH};

    #[test]
    fn a_run_costs_what_came_on_top_divided_by_the_runs() {
        let seen = AtRest {
            runs: 1000,
            idle_kib: 50_000,
            full_kib: 51_500,
            cpu: WATCH / 100,
            restart: None,
            restarted_kib: None,
        };
        assert!((seen.kib_per_run() - 1.5).abs() < 1e-9);
        assert!((seen.cpu_percent() - 1.0).abs() < 1e-9);
        assert_eq!(seen.table().lines().count(), 1);
    }
}
