//! Ended runs that are removed: what somebody notices of it who asks for new ones meanwhile.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{bail, ensure};
use tokio::time::{Instant, sleep};

use crate::args::Retention;
use crate::drive::{Budget, Tally};
use crate::load::Load;
use crate::own::{self, Kind, Own};
use crate::plan::{By, Pace, Scenario, Until, scenario};
use crate::workflows::ONE;

/// Ended runs are made by so many clients.
const MAKING: Scenario = scenario(ONE, By::Api, Until::Done, 64);
/// What the server has archived and removed since its start.
const ARCHIVED: &str = "mirastack_janitor_runs_archived_total";
const REMOVED: &str = "mirastack_janitor_runs_removed_total";
/// It is looked whether runs were archived, or are removed by now, so often.
const LOOK: Duration = Duration::from_millis(100);
/// While runs are removed it is measured in pieces of this length, until there is none left.
const PIECE: Budget = Budget::Time(Duration::from_secs(5));
/// How long all of them may take to be archived, and to be removed.
const PATIENCE: Duration = Duration::from_secs(3_600);
const NO_WARM_UP: Budget = Budget::Runs(0);

/// Makes runs that end, has all but some of them removed, and answers the table of what requests took.
///
/// # Errors
/// A server cannot be started, a request or a run fails, or runs are not removed in an hour.
pub(crate) async fn retention(told: &Retention) -> anyhow::Result<String> {
    ensure!(
        told.keep_runs < told.runs,
        "--keep-runs is not less than --runs: nothing would be removed"
    );
    let asked = Scenario {
        pace: Pace::PerSecond(told.rate),
        ..scenario(ONE, By::Api, Until::Accepted, 1)
    };
    let some = Budget::Time(Duration::from_secs(told.seconds));
    let folder = own::folder(told.folder.as_deref())?;
    let server = Own::start(Kind::Dev(&told.dev), folder).await?;
    let mut load = Load::prepare(&server.http, server.key()?, None).await?;
    eprintln!("loadtest: {} runs …", told.runs);
    measured(&mut load, &MAKING, Budget::Runs(told.runs)).await?;
    eprintln!("loadtest: they are archived ten minutes after their end …");
    reached(&load, ARCHIVED, told.runs).await?;
    eprintln!("loadtest: {} …", asked.title());
    let before = measured(&mut load, &asked, some).await?;

    let folder = server.stop().await?;
    let server = Own::start(Kind::Keeping(&told.dev, told.keep_runs), folder).await?;
    let mut load = Load::prepare(&server.http, server.key()?, None).await?;
    // What a start costs is not what removing costs. The first round of removing is ten seconds after it.
    measured(&mut load, &asked, PIECE).await?;
    reached(&load, REMOVED, 1).await?;
    eprintln!("loadtest: the same, while runs are removed …");
    let begin = Instant::now();
    let mut during = measured(&mut load, &asked, PIECE).await?;
    let mut removed = load.counted(REMOVED).await?;
    while removed < told.runs - told.keep_runs {
        ensure!(begin.elapsed() < PATIENCE, "{removed} runs were removed");
        let more = measured(&mut load, &asked, PIECE).await?;
        during.micros += more.micros;
        removed = load.counted(REMOVED).await?;
    }
    let seconds = begin.elapsed().as_secs();
    eprintln!("loadtest: the same, when they are gone …");
    let after = measured(&mut load, &asked, some).await?;
    server.stop().await?;
    Ok(table(&[
        ("before", &before),
        (
            &format!("while {removed} runs were removed, in {seconds} s"),
            &during,
        ),
        ("after", &after),
    ]))
}

async fn measured(load: &mut Load, scenario: &Scenario, much: Budget) -> anyhow::Result<Tally> {
    let tally = load.measure(scenario, NO_WARM_UP, much).await?;
    if let Some(failure) = tally.failures.first() {
        bail!("{}: {failure}", scenario.title());
    }
    Ok(tally)
}

/// Waits until the server has counted so many.
async fn reached(load: &Load, name: &str, many: u64) -> anyhow::Result<()> {
    let begin = Instant::now();
    while load.counted(name).await? < many {
        ensure!(
            begin.elapsed() < PATIENCE,
            "{name} is below {many} after {PATIENCE:?}"
        );
        sleep(LOOK).await;
    }
    Ok(())
}

fn table(rows: &[(&str, &Tally)]) -> String {
    let mut text = format!(
        "{:<44} {:>8} {:>9} {:>9} {:>9} {:>9}\n",
        "until accepted", "requests", "p50 ms", "p99 ms", "p99.9 ms", "max ms"
    );
    for (what, tally) in rows {
        let at = |quantile: f64| tally.micros.value_at_quantile(quantile) as f64 / 1000.0;
        let many = tally.micros.len();
        let (p50, p99, p999, most) = (at(0.5), at(0.99), at(0.999), at(1.0));
        writeln!(
            text,
            "{what:<44} {many:>8} {p50:>9.1} {p99:>9.1} {p999:>9.1} {most:>9.1}"
        )
        .expect("writing to text does not fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Tally, table};
    use crate::drive::histogram;
    use std::time::Duration;

    #[test]
    fn the_table_has_a_line_for_each_time_it_was_measured() {
        let mut micros = histogram();
        for ms in 1..=1_000 {
            micros += ms * 1_000;
        }
        let tally = Tally {
            micros,
            elapsed: Duration::from_secs(50),
            runs: Vec::new(),
            failures: Vec::new(),
        };
        let table = table(&[("before", &tally), ("after", &tally)]);
        let lines: Vec<&str> = table.lines().collect();
        let row: Vec<&str> = lines[2].split_whitespace().collect();
        assert_eq!((lines.len(), row[..2].join(" ")), (3, "after 1000".into()));
        let close = |seen: &str, expected: f64| {
            let seen: f64 = seen.parse().expect("a number");
            (seen - expected).abs() <= expected / 1000.0 + 0.05
        };
        let seen = row[2..].iter().zip([500.0, 990.0, 999.0, 1000.0]);
        assert!(seen.clone().all(|(seen, expected)| close(seen, expected)));
    }
}
