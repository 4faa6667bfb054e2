//! The gate: the product against the floor, in one run, on one machine.
//!
//! Absolute figures say more about the machine than about the product. So every figure stands beside that of the floor
//! under the same generator, taken in turn, and it is the ratio that must hold.

use std::fmt::Write as _;

use anyhow::Context as _;

use crate::args::{Gate, Rest};
use crate::drive::Tally;
use crate::load::Load;
use crate::own::{self, Kind, Own};
use crate::plan::{By, Scenario, Until, scenario};
use crate::report::per_second;
use crate::rest;
use crate::workflows::{HUNDRED, ONE, TEN, THOUSAND};

/// How often the two are measured in turn; the median ratio counts, so that one bad moment of the machine does not.
const ROUNDS: usize = 3;
/// The agent `demo`, as it lies beside the product.
const AGENT: &str = "mirastack-agent-demo";

const ONE_ALONE: Scenario = scenario(ONE, By::Hook, Until::Done, 1);
const ONE_LOADED: Scenario = scenario(ONE, By::Api, Until::Done, 200);
const TEN_LOADED: Scenario = scenario(TEN, By::Api, Until::Done, 64);
const HUNDRED_ALONE: Scenario = scenario(HUNDRED, By::Api, Until::Done, 1);
const THOUSAND_ALONE: Scenario = scenario(THOUSAND, By::Api, Until::Done, 1);

/// One thing that must hold.
#[derive(Debug)]
struct Check {
    what: &'static str,
    unit: &'static str,
    /// What it is compared with.
    against: f64,
    product: f64,
    /// Product by what it is compared with.
    ratio: f64,
    limit: Limit,
}

#[derive(Clone, Copy, Debug)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Check {
    fn holds(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.ratio <= limit,
            Limit::AtLeast(limit) => self.ratio >= limit,
        }
    }

    fn line(&self) -> String {
        let (word, limit) = match self.limit {
            Limit::AtMost(limit) => ("at most", limit),
            Limit::AtLeast(limit) => ("at least", limit),
        };
        format!(
            "{:<4} {:<38} {:>10.2} {:>10.2} {:<8} {:>6.2}  {word} {limit}\n",
            if self.holds() { "ok" } else { "FAIL" },
            self.what,
            self.against,
            self.product,
            self.unit,
            self.ratio,
        )
    }
}

/// Measures, prints, and answers whether all of it holds.
///
/// # Errors
/// A server cannot be started, or a run fails or is lost: then there is nothing to compare.
pub(crate) async fn gate(gate: &Gate) -> anyhow::Result<bool> {
    let mut checks = under_load(gate).await?;
    checks.extend(at_rest(gate).await?);
    print!("{}", table(&checks));
    Ok(checks.iter().all(Check::holds))
}

fn table(checks: &[Check]) -> String {
    let mut text = String::new();
    writeln!(
        text,
        "{:<4} {:<38} {:>10} {:>10} {:<8} {:>6}",
        "", "", "against", "product", "", "ratio"
    )
    .expect("writing to text does not fail");
    for check in checks {
        text.push_str(&check.line());
    }
    text
}

async fn under_load(gate: &Gate) -> anyhow::Result<Vec<Check>> {
    let agent = gate
        .dev
        .parent()
        .context("--dev names no file in a folder")?
        .join(AGENT);
    let folder = || own::folder(gate.folder.as_deref());
    let floor = Own::start(Kind::Floor(&agent), folder()?).await?;
    let product = Own::start(Kind::Dev(&gate.dev), folder()?).await?;
    let mut pair = Pair {
        gate,
        floor: Load::prepare(&floor.http, floor.key()?, 0).await?,
        product: Load::prepare(&product.http, product.key()?, gate.agent_ms).await?,
    };
    let checks = pair.checks().await?;
    for (name, load) in [("floor", pair.floor), ("product", pair.product)] {
        if let Some(wrong) = load.miscounted().await? {
            anyhow::bail!("{name}: {wrong}");
        }
    }
    product.stop().await?;
    floor.stop().await?;
    Ok(checks)
}

async fn at_rest(gate: &Gate) -> anyhow::Result<[Check; 2]> {
    eprintln!("loadtest: {} waiting runs …", gate.waiting);
    let seen = rest::rest(&Rest {
        dev: gate.dev.clone(),
        folder: gate.folder.clone(),
        runs: gate.waiting,
        restart: false,
    })
    .await?;
    // The limits are absolute: 1.5 KiB for each run, and a thousandth of a processor for all of them.
    let absolute = |what, unit, product, limit| Check {
        what,
        unit,
        against: limit,
        product,
        ratio: product / limit,
        limit: Limit::AtMost(1.0),
    };
    Ok([
        absolute("a waiting run, memory", "KiB", seen.kib_per_run(), 1.5),
        absolute("all waiting runs, processor", "%", seen.cpu_percent(), 0.1),
    ])
}

/// The round whose ratio is the median: the ratio, and what it is of.
fn median(
    what: &'static str,
    unit: &'static str,
    mut rounds: Vec<(f64, f64, f64)>,
    limit: Limit,
) -> Check {
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, against, product) = rounds[rounds.len() / 2];
    Check {
        what,
        unit,
        against,
        product,
        ratio,
        limit,
    }
}

/// The two servers under load.
struct Pair<'a> {
    gate: &'a Gate,
    floor: Load,
    product: Load,
}

impl Pair<'_> {
    async fn checks(&mut self) -> anyhow::Result<Vec<Check>> {
        let one = self
            .compare(
                "one step, p50",
                "ms",
                &ONE_ALONE,
                Limit::AtMost(2.5),
                p50_ms,
            )
            .await?;
        let loaded = self
            .compare(
                "one step, 200 in flight",
                "runs/s",
                &ONE_LOADED,
                Limit::AtLeast(0.4),
                runs,
            )
            .await?;
        let ten = self
            .compare(
                "ten steps, 64 in flight",
                "steps/s",
                &TEN_LOADED,
                Limit::AtLeast(0.35),
                steps,
            )
            .await?;
        Ok(vec![one, loaded, ten, self.long().await?])
    }

    /// What a step costs in a long run.
    async fn long(&mut self) -> anyhow::Result<Check> {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let hundred = p50_ms(&self.product(&HUNDRED_ALONE).await?) / 100.0;
            let thousand = p50_ms(&self.product(&THOUSAND_ALONE).await?) / 1000.0;
            rounds.push((thousand / hundred, hundred, thousand));
        }
        Ok(median(
            "a step of 1,000 against one of 100, p50",
            "ms",
            rounds,
            Limit::AtMost(1.3),
        ))
    }

    async fn compare(
        &mut self,
        what: &'static str,
        unit: &'static str,
        scenario: &Scenario,
        limit: Limit,
        figure: fn(&Tally) -> f64,
    ) -> anyhow::Result<Check> {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let against = figure(&self.floor(scenario).await?);
            let product = figure(&self.product(scenario).await?);
            rounds.push((product / against, against, product));
        }
        Ok(median(what, unit, rounds, limit))
    }

    async fn floor(&mut self, scenario: &Scenario) -> anyhow::Result<Tally> {
        measured("floor", &mut self.floor, scenario, self.gate).await
    }

    async fn product(&mut self, scenario: &Scenario) -> anyhow::Result<Tally> {
        measured("product", &mut self.product, scenario, self.gate).await
    }
}

async fn measured(
    name: &str,
    load: &mut Load,
    scenario: &Scenario,
    gate: &Gate,
) -> anyhow::Result<Tally> {
    eprintln!("loadtest: {name}: {} …", scenario.title());
    let tally = load
        .measure(scenario, gate.warm_up(), gate.budget())
        .await?;
    if let Some(failure) = tally.failures.first() {
        anyhow::bail!("{name}: {}: {failure}", scenario.title());
    }
    Ok(tally)
}

fn p50_ms(tally: &Tally) -> f64 {
    tally.micros.value_at_quantile(0.5) as f64 / 1000.0
}

fn runs(tally: &Tally) -> f64 {
    per_second(tally)
}

fn steps(tally: &Tally) -> f64 {
    per_second(tally) * f64::from(TEN.shape.calls())
}

#[cfg(test)]
mod tests {
    use super::{Check, Limit, table};

    fn check(ratio: f64, limit: Limit) -> Check {
        Check {
            what: "one step, p50",
            unit: "ms",
            against: 1.0,
            product: ratio,
            ratio,
            limit,
        }
    }

    #[test]
    fn what_is_over_its_limit_fails_and_says_so() {
        assert!(check(2.5, Limit::AtMost(2.5)).holds());
        assert!(!check(2.6, Limit::AtMost(2.5)).holds());
        assert!(check(0.4, Limit::AtLeast(0.4)).holds());
        let late = check(0.3, Limit::AtLeast(0.4));
        assert!(!late.holds());
        let table = table(&[late]);
        assert!(
            table
                .lines()
                .nth(1)
                .expect("a line")
                .starts_with("FAIL one step"),
            "{table}"
        );
    }
}
