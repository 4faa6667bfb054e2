use engine::event::{Event, RunStatus, StepStatus};
use engine::run::Run;

use super::{Invariant, must};
use crate::judge::{Known, Moment, Seen};

/// Only transitions of the table; terminal absorbs; the fold of the journal is the live state, bit for bit (the judge
/// itself holds each record against the one that the journal makes of its events).
#[derive(Clone)]
pub(crate) struct LegalStates;

impl Invariant for LegalStates {
    fn name(&self) -> &'static str {
        "legal states"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        match moment {
            Moment::Appended {
                run,
                before,
                record,
                events,
            } => {
                let is_first = record.n == 1;
                let creates = events
                    .iter()
                    .filter(|e| matches!(e, Event::RunCreated(_)))
                    .count();
                must(creates == usize::from(is_first), || {
                    format!(
                        "{}: record {} holds {creates} creations",
                        record.key.run, record.n
                    )
                })?;
                before.map_or(Ok(()), |before| check(before, &run.run))
            }
            Moment::End => known.runs.values().try_for_each(folds),
            _ => Ok(()),
        }
    }
}

fn folds(seen: &Seen) -> Result<(), String> {
    let again = Run::fold(seen.entries.iter().cloned()).map_err(|e| e.to_string())?;
    must(again == seen.run, || {
        format!(
            "{}: the fold of the journal is not the live state",
            seen.run.key().run
        )
    })
}

fn check(before: &Run, after: &Run) -> Result<(), String> {
    let (from, to) = (before.status(), after.status());
    must(run_may(from, to), || {
        format!(
            "{}: {} became {}",
            after.key().run,
            from.as_str(),
            to.as_str()
        )
    })?;
    for (old, new) in before.state().steps.iter().zip(&after.state().steps) {
        must(
            old.status == new.status || step_may(old.status, new.status),
            || {
                format!(
                    "{} step {}: {} became {}",
                    after.key().run,
                    old.name,
                    old.status.as_str(),
                    new.status.as_str()
                )
            },
        )?;
    }
    Ok(())
}

fn run_may(from: RunStatus, to: RunStatus) -> bool {
    match from {
        RunStatus::Queued | RunStatus::Parked => true,
        RunStatus::Running | RunStatus::Waiting => to != RunStatus::Queued,
        RunStatus::Succeeded
        | RunStatus::Failed
        | RunStatus::Rejected
        | RunStatus::Cancelled
        | RunStatus::TimedOut => false,
    }
}

fn step_may(from: StepStatus, to: StepStatus) -> bool {
    match from {
        StepStatus::Pending => true,
        StepStatus::Running | StepStatus::Waiting => to != StepStatus::Pending,
        // Open doubt: a person, or a late word of the worker, settles it.
        StepStatus::InDoubt => to != StepStatus::Pending,
        StepStatus::Succeeded
        | StepStatus::Failed
        | StepStatus::Skipped
        | StepStatus::Rejected
        | StepStatus::Cancelled
        | StepStatus::TimedOut => false,
    }
}
