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

const ONE_ALONE: Question = Question {
    what: "one step, p50",
    unit: "ms",
    scenario: scenario(ONE, By::Hook, Until::Done, 1),
    figure: p50_ms,
    limit: Limit::AtMost(2.5),
};
const ONE_LOADED: Question = Question {
    what: "one step, 200 in flight",
    unit: "runs/s",
    scenario: scenario(ONE, By::Api, Until::Done, 200),
    figure: per_second,
    limit: Limit::AtLeast(0.4),
};
const TEN_LOADED: Question = Question {
    what: "ten steps, 64 in flight",
    unit: "steps/s",
    scenario: scenario(TEN, By::Api, Until::Done, 64),
    figure: steps,
    limit: Limit::AtLeast(0.35),
};
const HUNDRED_ALONE: Scenario = scenario(HUNDRED, By::Api, Until::Done, 1);
const THOUSAND_ALONE: Scenario = scenario(THOUSAND, By::Api, Until::Done, 1);

/// What is asked of the floor and of the product.
struct Question {
    what: &'static str,
    unit: &'static str,
    scenario: Scenario,
    /// What counts of a tally.
    figure: fn(&Tally) -> f64,
    /// What the product's may be by the floor's.
    limit: Limit,
}

impl Question {
    /// What the rounds say, each of the floor and then of the product.
    fn judged(&self, rounds: &[(Tally, Tally)]) -> Check {
        let ratio = |(floor, product): &(Tally, Tally)| {
            let (against, product) = ((self.figure)(floor), (self.figure)(product));
            (product / against, against, product)
        };
        let rounds = rounds.iter().map(ratio).collect();
        median(self.what, self.unit, rounds, self.limit)
    }
}

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
    Ok(hold(&checks))
}

fn hold(checks: &[Check]) -> bool {
    checks.iter().all(Check::holds)
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
        floor: Load::prepare(&floor.http, floor.key()?, None).await?,
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
        let one = self.compare(&ONE_ALONE).await?;
        let loaded = self.compare(&ONE_LOADED).await?;
        let ten = self.compare(&TEN_LOADED).await?;
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

    async fn compare(&mut self, question: &Question) -> anyhow::Result<Check> {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let floor = self.floor(&question.scenario).await?;
            rounds.push((floor, self.product(&question.scenario).await?));
        }
        Ok(question.judged(&rounds))
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

fn steps(tally: &Tally) -> f64 {
    per_second(tally) * f64::from(TEN.shape.calls())
}

#[cfg(test)]
mod tests {
    use super::{Check, Limit, ONE_ALONE, ROUNDS, hold, table};
    use crate::drive::Tally;

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

    /// A hundred runs of so many microseconds, and up to a tenth more.
    fn tally(micros: u64) -> Tally {
        let mut tally = Tally::new();
        (0..100).for_each(|run| tally.micros += micros + run * micros / 1_000);
        tally
    }

    /// The product's figures are those of docs/speed.md, of the fast hour and of the slow one; the floor's are what the
    /// ratios there make of them. One bad moment of the floor hides nothing.
    #[test]
    fn an_agent_that_takes_two_milliseconds_more_fails_it() {
        for (floor, product) in [(962, 2_110), (1_190, 2_790)] {
            let told = |more: u64| {
                let rounds: Vec<_> = (0..ROUNDS)
                    .map(|round| if round == 0 { 4 * floor } else { floor })
                    .map(|floor| (tally(floor), tally(product + more)))
                    .collect();
                hold(&[ONE_ALONE.judged(&rounds)])
            };
            assert!(told(0), "{product} against {floor}");
            assert!(!told(2_000), "{product} and 2 ms against {floor}");
        }
    }
}
