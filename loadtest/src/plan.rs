//! What is measured.

use crate::workflows::{self, Workflow};

/// One kind of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// The workflow that is run.
    pub(crate) workflow: Workflow,
    /// Who asks for the runs.
    pub(crate) by: By,
    /// What the clock is stopped by.
    pub(crate) until: Until,
    /// How much comes at once.
    pub(crate) pace: Pace,
}

/// How much comes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// A closed loop: so many clients, each of which starts its next run when its last has ended.
    InFlight(u32),
    /// An open loop: so many runs a second, whether the server keeps up or not. A run's time begins when it was due.
    PerSecond(u32),
}

impl Pace {
    /// For tables.
    pub(crate) fn word(self) -> String {
        match self {
            Pace::InFlight(clients) => clients.to_string(),
            Pace::PerSecond(rate) => format!("{rate}/s"),
        }
    }
}

/// Who asks for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A person, with a token.
    Api,
    /// An alert that comes in at a hook, each with a fingerprint of its own.
    Hook,
}

impl By {
    /// Its word in tables and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            By::Api => "api",
            By::Hook => "webhook",
        }
    }
}

/// What the clock is stopped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The answer 202: the run is durable. Its end is waited for afterwards, off the clock.
    Accepted,
    /// The run has ended.
    Done,
    /// The run has asked for an approval, got it, and ended.
    Approved,
}

impl Until {
    /// Its word in tables and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Until::Accepted => "accepted",
            Until::Done => "done",
            Until::Approved => "approved",
        }
    }
}

impl Scenario {
    /// Its name, for messages.
    pub(crate) fn title(&self) -> String {
        format!(
            "{} by {} until {}, {}",
            self.workflow.name,
            self.by.word(),
            self.until.word(),
            match self.pace {
                Pace::InFlight(clients) => format!("{clients} in flight"),
                Pace::PerSecond(rate) => format!("{rate} a second"),
            }
        )
    }
}

/// A closed loop.
pub(crate) const fn scenario(workflow: Workflow, by: By, until: Until, in_flight: u32) -> Scenario {
    Scenario {
        workflow,
        by,
        until,
        pace: Pace::InFlight(in_flight),
    }
}

/// The open loops of a rate, in runs a second, or else all closed ones.
pub(crate) fn scenarios(rate: Option<u32>) -> Vec<Scenario> {
    let Some(rate) = rate else {
        return SCENARIOS.to_vec();
    };
    let open = |workflow, by, until, rate| Scenario {
        pace: Pace::PerSecond(rate),
        ..scenario(workflow, by, until, 1)
    };
    vec![
        open(workflows::ONE, By::Hook, Until::Accepted, rate),
        open(workflows::ONE, By::Hook, Until::Done, rate),
        open(workflows::ONE, By::Api, Until::Done, rate),
        // As many steps a second, or one run.
        open(workflows::TEN, By::Api, Until::Done, (rate / 10).max(1)),
        open(workflows::FAN, By::Api, Until::Done, (rate / 100).max(1)),
        open(
            workflows::THOUSAND,
            By::Api,
            Until::Done,
            (rate / 1000).max(1),
        ),
        // Each is five requests, and two of them wait.
        open(
            workflows::APPROVED,
            By::Api,
            Until::Approved,
            (rate / 10).max(1),
        ),
    ]
}

/// All closed loops, in the order in which they are measured: the quiet ones first.
const SCENARIOS: &[Scenario] = &[
    scenario(workflows::ONE, By::Hook, Until::Done, 1),
    scenario(workflows::ONE, By::Api, Until::Done, 1),
    scenario(workflows::TEN, By::Api, Until::Done, 1),
    scenario(workflows::FAN, By::Api, Until::Done, 1),
    scenario(workflows::HUNDRED, By::Api, Until::Done, 1),
    scenario(workflows::THOUSAND, By::Api, Until::Done, 1),
    scenario(workflows::APPROVED, By::Api, Until::Approved, 1),
    scenario(workflows::ONE, By::Hook, Until::Accepted, 1),
    scenario(workflows::ONE, By::Api, Until::Accepted, 1),
    scenario(workflows::ONE, By::Hook, Until::Accepted, 64),
    scenario(workflows::ONE, By::Api, Until::Accepted, 64),
    scenario(workflows::ONE, By::Hook, Until::Done, 64),
    scenario(workflows::ONE, By::Api, Until::Done, 64),
    scenario(workflows::ONE, By::Api, Until::Done, 200),
    scenario(workflows::TEN, By::Api, Until::Done, 64),
    scenario(workflows::TEN, By::Api, Until::Done, 200),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_measured_in_a_closed_loop_is_in_an_open_one_too() {
        let open = scenarios(Some(1_000));
        let is_open = |closed: &Scenario| {
            let same =
                |open: &&Scenario| (open.workflow, open.until) == (closed.workflow, closed.until);
            open.iter()
                .find(same)
                .is_some_and(|open| open.pace != closed.pace)
        };
        let missing: Vec<String> = scenarios(None)
            .iter()
            // A hundred steps stand for themselves only beside a thousand.
            .filter(|closed| closed.workflow != workflows::HUNDRED && !is_open(closed))
            .map(Scenario::title)
            .collect();
        assert_eq!(missing, [] as [&str; 0]);
    }

    #[test]
    fn longer_runs_come_more_seldom_and_at_least_once_a_second() {
        let rate = |per_second, workflow| {
            let open = scenarios(Some(per_second));
            let found = open.iter().find(|open| open.workflow == workflow);
            found.expect("it is measured").pace
        };
        assert_eq!(rate(2_000, workflows::FAN), Pace::PerSecond(20));
        assert_eq!(rate(2_000, workflows::THOUSAND), Pace::PerSecond(2));
        assert_eq!(rate(5, workflows::THOUSAND), Pace::PerSecond(1));
    }
}
