use std::collections::{BTreeMap, BTreeSet};

use engine::event::{Event, Origin, StepStatus};
use engine::id::{RunKey, StepNo};

use super::{Invariant, must, outcome_of};
use crate::judge::{Known, Moment};

/// No step before its predecessors' outcomes; every join fires once; what is skipped never runs.
#[derive(Clone, Default)]
pub(crate) struct Dependencies {
    runs: BTreeMap<RunKey, Steps>,
}

#[derive(Clone, Default)]
struct Steps {
    needs: Vec<Vec<StepNo>>,
    ended: BTreeSet<StepNo>,
}

impl Invariant for Dependencies {
    fn name(&self) -> &'static str {
        "dependencies"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Known) -> Result<(), String> {
        if let Moment::Appended { record, events, .. } = moment {
            let steps = self.runs.entry(record.key.clone()).or_default();
            for event in *events {
                steps
                    .check(event)
                    .map_err(|what| format!("{}: {what}", record.key.run))?;
            }
        }
        Ok(())
    }
}

impl Steps {
    fn check(&mut self, event: &Event) -> Result<(), String> {
        if let Event::StepAdded { step, origin, .. } = event {
            must(step.index() == self.needs.len(), || {
                format!("step {} was added out of turn", step.0)
            })?;
            self.needs.push(match origin {
                Origin::Written { needs, .. } => needs.clone(),
                Origin::Item { .. } => Vec::new(),
            });
        }
        if let Some(step) = begun_by(event) {
            must(!self.ended.contains(&step), || {
                format!("step {} was worked on after its end", step.0)
            })?;
            let needs = &self.needs[step.index()];
            let open = needs.iter().find(|need| !self.ended.contains(need));
            must(open.is_none(), || {
                format!("step {} began before step {open:?} had ended", step.0)
            })?;
        }
        if let Some(step) = outcome_of(event) {
            let again = !self.ended.insert(step);
            must(!again, || format!("step {} ended twice", step.0))?;
        }
        Ok(())
    }
}

/// The step that an event begins, or goes on with.
fn begun_by(event: &Event) -> Option<StepNo> {
    if let Event::WaitStarted { step, .. }
    | Event::FanOutOpened { step, .. }
    | Event::StepPrepared { step, .. }
    | Event::AttemptDispatched { step, .. }
    | Event::LookUpDispatched { step, .. }
    | Event::AttemptGranted { step, .. }
    | Event::RetryScheduled { step, .. }
    | Event::StepInDoubt { step, .. }
    | Event::StepSucceeded { step, .. }
    | Event::StepEnded {
        step,
        status: StepStatus::Failed,
        ..
    } = event
    {
        return Some(*step);
    }
    None
}
