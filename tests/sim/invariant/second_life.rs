use std::collections::BTreeSet;

use engine::event::Event;
use engine::id::{RunKey, StepNo};
use engine::principal::Permission;
use engine::run::Run;

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// A restored store holds what the backup was made of. Its open runs do nothing until a person lets them, and a change
/// that may have been made in the time that nobody remembers is not handed out before somebody looked.
#[derive(Clone, Default)]
pub(crate) struct SecondLife {
    /// Runs that wait for a person.
    asleep: BTreeSet<RunKey>,
    restored: BTreeSet<RunKey>,
    /// Steps of these of which somebody knows more than the journal does.
    sure: BTreeSet<(RunKey, StepNo)>,
}

impl Invariant for SecondLife {
    fn name(&self) -> &'static str {
        "second life"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        match moment {
            Moment::Restored { differs } => {
                self.begins(known);
                must(differs.is_empty(), || {
                    format!("what was restored is not what was backed up: {differs:?}")
                })
            }
            Moment::Appended {
                run,
                record,
                events,
                ..
            } => {
                let of_it = |event| self.check(&record.key, &run.run, event);
                events.iter().try_for_each(of_it)
            }
            // The first call of a READ may be made while the record that lets the run go on is being stored.
            Moment::Called { job, .. } if job.action.permission != Permission::Read => {
                self.is_awake(&job.key, &job.attempt_key())
            }
            _ => Ok(()),
        }
    }
}

impl SecondLife {
    fn begins(&mut self, known: &Known) {
        let open = known
            .sound()
            .filter(|(_, seen)| !seen.run.status().is_end());
        let open: BTreeSet<RunKey> = open.map(|(key, _)| key.clone()).collect();
        self.sure.retain(|(key, _)| !open.contains(key));
        self.restored.extend(open.iter().cloned());
        self.asleep = open;
    }

    fn check(&mut self, key: &RunKey, run: &Run, event: &Event) -> Result<(), String> {
        match event {
            Event::RunResumed { .. } | Event::CancelRequested { .. } | Event::RunTimedOut => {
                self.asleep.remove(key);
            }
            Event::StepResolved { step, .. } => {
                self.sure.insert((key.clone(), *step));
            }
            Event::LookUpDispatched { step, .. } => {
                self.sure.insert((key.clone(), *step));
            }
            Event::AttemptDispatched { step, .. } => return self.is_sure(key, run, *step),
            Event::AttemptGranted { .. } => return self.is_awake(key, event),
            _ => {}
        }
        Ok(())
    }

    fn is_awake(&self, key: &RunKey, what: &dyn std::fmt::Debug) -> Result<(), String> {
        must(!self.asleep.contains(key), || {
            format!(
                "{} was restored, and nobody let it go on: {what:?}",
                key.run
            )
        })
    }

    fn is_sure(&self, key: &RunKey, run: &Run, step: StepNo) -> Result<(), String> {
        let state = run.state();
        let action = state.action(&state.steps[step.index()]);
        let doubtful = action.is_some_and(|a| a.permission != Permission::Read && !a.idempotent);
        let sure = !self.restored.contains(key) || self.sure.contains(&(key.clone(), step));
        must(!doubtful || sure, || {
            format!(
                "{} step {} is handed out, and nobody looked whether it was done after the backup",
                key.run, step.0
            )
        })
    }
}
