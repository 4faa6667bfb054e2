use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use engine::event::Event;
use engine::id::{RunKey, StepNo};
use engine::job::{Job, JobKind};
use engine::principal::Permission;

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// At most one effective execution per idempotency key, and what is in doubt is never tried again by itself.
#[derive(Clone, Default)]
pub(crate) struct EffectOnce {
    in_doubt: BTreeSet<(RunKey, StepNo)>,
    /// The keys of what was carried out: it stays so whatever is restored.
    made: Arc<Mutex<BTreeSet<String>>>,
}

impl Invariant for EffectOnce {
    fn name(&self) -> &'static str {
        "effect once"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Known) -> Result<(), String> {
        match moment {
            Moment::Changed { key, times } => {
                self.made().insert((*key).to_owned());
                must(*times <= 1, || {
                    format!("{key} was carried out {times} times")
                })
            }
            Moment::Called { job, .. } => self.called(job),
            Moment::Appended { record, events, .. } => {
                for event in *events {
                    self.check(&record.key, event)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl EffectOnce {
    fn made(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.made.lock().expect("nobody panics with it")
    }

    /// What was carried out is not even asked for again, unless that is harmless.
    fn called(&self, job: &Job) -> Result<(), String> {
        let changes = job.action.permission != Permission::Read && job.kind != JobKind::LookUp;
        let again = changes && !job.action.idempotent && self.made().contains(&job.idempotency_key);
        must(!again, || {
            format!(
                "{:?} is called, and {} was carried out before",
                job.attempt_key(),
                job.idempotency_key
            )
        })
    }

    fn check(&mut self, key: &RunKey, event: &Event) -> Result<(), String> {
        match event {
            Event::StepInDoubt { step, .. } => {
                self.in_doubt.insert((key.clone(), *step));
            }
            // A person tells what became of it, or its worker does, late: that it never called.
            Event::StepResolved { step, .. } | Event::AttemptNotCalled { step, .. } => {
                self.in_doubt.remove(&(key.clone(), *step));
            }
            Event::AttemptDispatched { step, .. }
            | Event::LookUpDispatched { step, .. }
            | Event::AttemptGranted { step, .. } => {
                must(!self.in_doubt.contains(&(key.clone(), *step)), || {
                    format!(
                        "{} step {} is in doubt, and was tried again",
                        key.run, step.0
                    )
                })?;
            }
            _ => {}
        }
        Ok(())
    }
}
