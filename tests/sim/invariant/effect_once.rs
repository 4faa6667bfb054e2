use std::collections::BTreeSet;

use engine::event::Event;
use engine::id::{RunKey, StepNo};

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// At most one effective execution per idempotency key, and what is in doubt is never tried again by itself.
#[derive(Default)]
pub(crate) struct EffectOnce {
    in_doubt: BTreeSet<(RunKey, StepNo)>,
}

impl Invariant for EffectOnce {
    fn name(&self) -> &'static str {
        "effect once"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Known) -> Result<(), String> {
        match moment {
            Moment::Changed { key, times } => must(*times <= 1, || {
                format!("{key} was carried out {times} times")
            }),
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
    fn check(&mut self, key: &RunKey, event: &Event) -> Result<(), String> {
        match event {
            Event::StepInDoubt { step, .. } => {
                self.in_doubt.insert((key.clone(), *step));
            }
            Event::StepResolved { step, .. } => {
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
