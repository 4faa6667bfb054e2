//! What is told: a table for people, JSON for programs.

use std::fmt::Write as _;

use anyhow::Context as _;
use serde::Serialize;

use crate::drive::Tally;
use crate::plan::Scenario;

/// The figures of all scenarios.
#[derive(Default, Serialize)]
pub(crate) struct Report {
    scenarios: Vec<Figures>,
    /// The server's own process, where we started it; its agents are not counted.
    pub(crate) memory: Option<Memory>,
    failures: Vec<String>,
}

/// The resident memory of the server, in KiB.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Memory {
    /// Before the first run.
    pub(crate) idle_kib: u64,
    /// After the last.
    pub(crate) after_kib: u64,
    /// The most at any time.
    pub(crate) peak_kib: u64,
}

#[derive(Serialize)]
struct Figures {
    workflow: &'static str,
    by: &'static str,
    until: &'static str,
    /// How many runs were in flight, or how many came in a second ("N/s").
    pace: String,
    runs: u64,
    failed: usize,
    seconds: f64,
    runs_per_s: f64,
    /// Null where the end of the runs is off the clock.
    steps_per_s: Option<f64>,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl Report {
    /// Adds what a scenario showed.
    pub(crate) fn add(&mut self, scenario: &Scenario, tally: Tally) {
        self.scenarios.push(figures(scenario, &tally));
        let title = scenario.title();
        let failures = tally.failures.into_iter().map(|f| format!("{title}: {f}"));
        self.failures.extend(failures);
    }

    /// Adds what is wrong with all of it.
    pub(crate) fn fail(&mut self, failure: String) {
        self.failures.push(failure);
    }

    /// Whether every request was answered and every run succeeded.
    pub(crate) fn is_lossless(&self) -> bool {
        self.failures.is_empty()
    }

    /// What went wrong, a line each.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// All of it as one JSON object.
    ///
    /// # Errors
    /// None that is known of.
    pub(crate) fn json(&self) -> anyhow::Result<String> {
        serde_json::to_string_pretty(self).context("the figures as JSON")
    }

    /// All of it for people, with the units in the header.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:<17} {:<8} {:<9} {:>9} {:>8} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9}\n",
            "workflow",
            "by",
            "until",
            "in flight",
            "runs",
            "failed",
            "runs/s",
            "steps/s",
            "p50 ms",
            "p99 ms",
            "max ms"
        );
        for f in &self.scenarios {
            let steps = f.steps_per_s.map_or("-".to_owned(), |s| format!("{s:.0}"));
            writeln!(
                text,
                "{:<17} {:<8} {:<9} {:>9} {:>8} {:>6} {:>9.0} {steps:>9} {:>9.2} {:>9.2} {:>9.2}",
                f.workflow,
                f.by,
                f.until,
                f.pace,
                f.runs,
                f.failed,
                f.runs_per_s,
                f.p50_ms,
                f.p99_ms,
                f.max_ms
            )
            .expect("writing to text does not fail");
        }
        if let Some(memory) = self.memory {
            text.push_str(&format!(
                "server memory: {:.1} MiB idle, {:.1} MiB at the peak, {:.1} MiB after the load\n",
                mib(memory.idle_kib),
                mib(memory.peak_kib),
                mib(memory.after_kib)
            ));
        }
        text
    }
}

/// How many runs were made in a second.
pub(crate) fn per_second(tally: &Tally) -> f64 {
    let seconds = tally.elapsed.as_secs_f64();
    if seconds > 0.0 {
        tally.micros.len() as f64 / seconds
    } else {
        0.0
    }
}

fn figures(scenario: &Scenario, tally: &Tally) -> Figures {
    let runs = tally.micros.len();
    let runs_per_s = per_second(tally);
    let done = scenario.until != crate::plan::Until::Accepted;
    let at = |quantile: f64| tally.micros.value_at_quantile(quantile) as f64 / 1000.0;
    Figures {
        workflow: scenario.workflow.name,
        by: scenario.by.word(),
        until: scenario.until.word(),
        pace: scenario.pace.word(),
        runs,
        failed: tally.failures.len(),
        seconds: tally.elapsed.as_secs_f64(),
        runs_per_s,
        steps_per_s: done.then(|| runs_per_s * f64::from(scenario.workflow.shape.calls())),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        max_ms: at(1.0),
    }
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[cfg(test)]
mod tests {
    use super::{Memory, Report, figures};
    use crate::drive::{Tally, histogram};
    use crate::plan::{By, Scenario, Until};
    use std::time::Duration;

    /// 100 runs of 1 to 100 ms in two seconds.
    fn tally(failures: &[&str]) -> Tally {
        let mut micros = histogram();
        for ms in 1..=100 {
            micros += ms * 1000;
        }
        Tally {
            micros,
            elapsed: Duration::from_secs(2),
            runs: Vec::new(),
            failures: failures.iter().map(|&f| f.to_owned()).collect(),
        }
    }

    fn ten(until: Until) -> Scenario {
        Scenario {
            workflow: crate::workflows::TEN,
            by: By::Api,
            until,
            pace: crate::plan::Pace::InFlight(64),
        }
    }

    #[test]
    fn percentiles_are_within_a_thousandth_of_what_was_seen() {
        let figures = figures(&ten(Until::Done), &tally(&[]));
        let close = |seen: f64, expected: f64| (seen - expected).abs() <= expected / 1000.0;
        assert!(close(figures.p50_ms, 50.0), "{}", figures.p50_ms);
        assert!(close(figures.p99_ms, 99.0), "{}", figures.p99_ms);
        assert!(close(figures.max_ms, 100.0), "{}", figures.max_ms);
    }

    #[test]
    fn steps_are_counted_only_where_their_end_is_on_the_clock() {
        let done = figures(&ten(Until::Done), &tally(&[]));
        assert_eq!((done.runs_per_s, done.steps_per_s), (50.0, Some(500.0)));
        assert_eq!(
            figures(&ten(Until::Accepted), &tally(&[])).steps_per_s,
            None
        );
    }

    #[test]
    fn one_failure_is_a_loss_and_names_its_scenario() {
        let mut report = Report::default();
        report.add(&ten(Until::Done), tally(&[]));
        assert!(report.is_lossless());
        report.add(&ten(Until::Done), tally(&["run a is failed"]));
        assert!(!report.is_lossless());
        assert_eq!(
            report.failures(),
            ["loadtest-ten by api until done, 64 in flight: run a is failed"]
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_scenario_and_one_for_the_memory() {
        let mut report = Report::default();
        report.add(&ten(Until::Done), tally(&[]));
        report.memory = Some(Memory {
            idle_kib: 1024,
            after_kib: 2048,
            peak_kib: 3072,
        });
        let table = report.table();
        let lines: Vec<Vec<&str>> = table
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        let row = &lines[1];
        assert_eq!(
            row[..8],
            ["loadtest-ten", "api", "done", "64", "100", "0", "50", "500"]
        );
        assert_eq!(
            lines[2].join(" "),
            "server memory: 1.0 MiB idle, 3.0 MiB at the peak, 2.0 MiB after the load"
        );
    }
}
