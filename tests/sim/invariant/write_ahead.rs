use std::collections::{BTreeMap, BTreeSet};

use engine::event::{ApprovalState, Event};
use engine::id::{Nonce, RunKey, StepNo};
use engine::job::{AttemptKey, Job, JobKind};
use engine::principal::Permission;
use engine::run::Run;
use engine::time::Timestamp;

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// Policy before approval before intent, all durable, before the grant; the grant before the call.
#[derive(Clone, Default)]
pub(crate) struct WriteAhead {
    intents: BTreeMap<AttemptKey, (Nonce, Timestamp)>,
    approved: BTreeSet<(RunKey, StepNo)>,
}

impl Invariant for WriteAhead {
    fn name(&self) -> &'static str {
        "write-ahead order"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        match moment {
            Moment::Appended {
                run,
                record,
                events,
                ..
            } => {
                for event in *events {
                    self.check(&record.key, &run.run, event)?;
                }
                Ok(())
            }
            Moment::Granted { attempt, nonce } => {
                let intent = self.intents.get(attempt);
                must(intent.is_some_and(|(n, _)| n == nonce), || {
                    format!("{attempt:?} was granted {nonce}, and its stored intent is {intent:?}")
                })
            }
            Moment::Called { job, .. } => self.called(job, known.now),
            _ => Ok(()),
        }
    }
}

impl WriteAhead {
    fn check(&mut self, key: &RunKey, run: &Run, event: &Event) -> Result<(), String> {
        match event {
            Event::ApprovalClosed {
                step,
                state: ApprovalState::Approved,
                ..
            } => {
                self.approved.insert((key.clone(), *step));
            }
            Event::AttemptGranted {
                step,
                attempt,
                nonce,
                start_by,
                ..
            } => {
                let holder = run.state().steps[step.index()]
                    .item()
                    .map_or(*step, |(of, _)| of);
                must(self.approved.contains(&(key.clone(), holder)), || {
                    format!(
                        "{} step {} was granted before it was approved",
                        key.run, step.0
                    )
                })?;
                let (key, step, attempt) = (key.clone(), *step, *attempt);
                self.intents
                    .insert(AttemptKey { key, step, attempt }, (*nonce, *start_by));
            }
            _ => {}
        }
        Ok(())
    }

    fn called(&self, job: &Job, now: Timestamp) -> Result<(), String> {
        if job.action.permission == Permission::Read || job.kind == JobKind::LookUp {
            return Ok(());
        }
        let attempt = job.attempt_key();
        match self.intents.get(&attempt) {
            None => Err(format!("{attempt:?} was called without a stored intent")),
            Some((_, start_by)) => must(now <= *start_by, || {
                format!("{attempt:?} was called at {now}, and had to begin by {start_by}")
            }),
        }
    }
}
