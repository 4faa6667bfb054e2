//! What is measured.

use crate::workflows;

/// One kind of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// The workflow that is run.
    pub(crate) workflow: &'static str,
    /// How many calls of actions one run makes.
    pub(crate) steps: u32,
    /// Who asks for the runs.
    pub(crate) by: By,
    /// What the clock is stopped by.
    pub(crate) until: Until,
    /// How many clients there are, each with one request in flight.
    pub(crate) in_flight: u32,
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
            "{} by {} until {}, {} in flight",
            self.workflow,
            self.by.word(),
            self.until.word(),
            self.in_flight
        )
    }
}

const fn scenario(
    (workflow, steps): (&'static str, u32),
    by: By,
    until: Until,
    in_flight: u32,
) -> Scenario {
    Scenario {
        workflow,
        steps,
        by,
        until,
        in_flight,
    }
}

/// All of them, in the order in which they are measured: the quiet ones first.
pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario(workflows::ONE, By::Hook, Until::Done, 1),
    scenario(workflows::ONE, By::Api, Until::Done, 1),
    scenario(workflows::TEN, By::Api, Until::Done, 1),
    scenario(workflows::FAN, By::Api, Until::Done, 1),
    scenario(workflows::ONE, By::Api, Until::Accepted, 1),
    scenario(workflows::ONE, By::Api, Until::Accepted, 64),
    scenario(workflows::ONE, By::Hook, Until::Done, 64),
    scenario(workflows::ONE, By::Api, Until::Done, 64),
    scenario(workflows::ONE, By::Api, Until::Done, 200),
    scenario(workflows::TEN, By::Api, Until::Done, 64),
    scenario(workflows::TEN, By::Api, Until::Done, 200),
];
