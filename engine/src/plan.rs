//! A workflow with its expressions compiled: what a run is decided with. Made once for each digest and shared.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::definition::{Step, Workflow};
use crate::digest::Digest;
use crate::event::Section;
use crate::expression::{Expression, Names, Template};

/// A workflow, ready to be decided with.
#[derive(Debug)]
pub struct Plan {
    /// What was saved.
    pub workflow: Workflow,
    /// Its digest.
    pub digest: Digest,
    /// `vars`, in the order in which they may use each other: by name.
    pub vars: Vec<(String, Tree)>,
    /// `steps`
    pub steps: Vec<PlanStep>,
    /// `on_failure`
    pub on_failure: Vec<PlanStep>,
    /// `finally`
    pub finally: Vec<PlanStep>,
    /// `outputs`
    pub outputs: Vec<(String, Tree)>,
    /// One for each entry of `on`.
    pub triggers: Vec<PlanTrigger>,
}

/// A step, ready to be decided with.
#[derive(Debug)]
pub struct PlanStep {
    /// What was saved.
    pub step: Step,
    /// The places of the steps that it waits for, in its section.
    pub needs: Vec<u32>,
    /// Its `if`.
    pub condition: Option<Expression>,
    /// Its `for_each`.
    pub items: Option<Expression>,
    /// Its `key`.
    pub key: Option<Template>,
    /// What it does.
    pub work: Work,
    /// Its `time_range`.
    pub time_range: Option<PlanTimeRange>,
    /// Its `retry.if`.
    pub retry_if: Option<Expression>,
}

/// What a step does.
#[derive(Debug)]
pub enum Work {
    /// Calls an action with these parameters.
    Uses(Tree),
    /// Waits so long.
    Wait(Template),
    /// Fails unless this holds, with this message.
    Assert(Expression, Option<Template>),
}

/// What span of time a step looks at.
#[derive(Debug)]
pub enum PlanTimeRange {
    /// The last so and so long.
    Last(Template),
    /// From a time to a time.
    Between(Template, Template),
}

/// An entry of `on`, ready to be matched against events.
#[derive(Debug)]
pub struct PlanTrigger {
    /// Its `if`.
    pub condition: Option<Expression>,
    /// Its `with`.
    pub with: Vec<(String, Tree)>,
}

/// A JSON tree whose strings are templates.
#[derive(Debug)]
pub enum Tree {
    /// Nothing to compute in here.
    Literal(Json),
    /// A string with something to compute.
    Template(Template),
    /// A list with something to compute.
    List(Vec<Tree>),
    /// An object with something to compute.
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    /// All names that are mentioned anywhere inside.
    #[must_use]
    pub fn names(&self) -> Names {
        let mut names = Names::default();
        self.join_names(&mut names);
        names
    }

    fn join_names(&self, names: &mut Names) {
        match self {
            Self::Literal(_) => {}
            Self::Template(template) => names.join(template.names()),
            Self::List(items) => items.iter().for_each(|item| item.join_names(names)),
            Self::Map(entries) => entries.values().for_each(|entry| entry.join_names(names)),
        }
    }
}

/// The places of a section's steps, each behind those that it waits for, and else as they are written. Steps that wait
/// for each other in a circle are left out.
pub(crate) fn in_order(steps: &[PlanStep]) -> Vec<usize> {
    let mut order = Vec::with_capacity(steps.len());
    let mut done = vec![false; steps.len()];
    loop {
        let before = order.len();
        for (place, step) in steps.iter().enumerate() {
            if !done[place] && step.needs.iter().all(|need| done[*need as usize]) {
                done[place] = true;
                order.push(place);
            }
        }
        if order.len() == before {
            return order;
        }
    }
}

impl Plan {
    /// The steps of a section.
    #[must_use]
    pub fn section(&self, section: Section) -> &[PlanStep] {
        match section {
            Section::Steps => &self.steps,
            Section::OnFailure => &self.on_failure,
            Section::Finally => &self.finally,
        }
    }
}
