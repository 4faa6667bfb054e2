//! What is measured.

use crate::workflows;

/// One kind of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// The workflow that is run.
    pub(crate) workflow: &'static str,
    /// How many calls of actions one run makes.
    pub(crate) steps: u32,
    /// What the clock is stopped by.
    pub(crate) until: Until,
    /// How many clients there are, each with one request in flight.
    pub(crate) in_flight: u32,
}

/// What the clock is stopped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The answer 202: the run is durable. Its end is waited for afterwards, off the clock.
    Accepted,
    /// The run has ended.
    Done,
}

impl Until {
    /// Its word in tables and JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Until::Accepted => "accepted",
            Until::Done => "done",
        }
    }
}

impl Scenario {
    /// Its name, for messages.
    pub(crate) fn title(&self) -> String {
        format!(
            "{} until {}, {} in flight",
            self.workflow,
            self.until.word(),
            self.in_flight
        )
    }
}

const fn scenario(
    (workflow, steps): (&'static str, u32),
    until: Until,
    in_flight: u32,
) -> Scenario {
    Scenario {
        workflow,
        steps,
        until,
        in_flight,
    }
}

/// All of them, in the order in which they are measured: the quiet ones first.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario(workflows::ONE, Until::Done, 1),
    scenario(workflows::TEN, Until::Done, 1),
    scenario(workflows::FAN, Until::Done, 1),
    scenario(workflows::ONE, Until::Accepted, 1),
    scenario(workflows::ONE, Until::Accepted, 64),
    scenario(workflows::ONE, Until::Done, 64),
    scenario(workflows::ONE, Until::Done, 200),
    scenario(workflows::TEN, Until::Done, 64),
    scenario(workflows::TEN, Until::Done, 200),
];
