use std::collections::BTreeMap;

use engine::event::Event;
use engine::id::{RunKey, StepNo};

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// So many begun attempts of a step may be lost in a row.
const LOST_MAX: u32 = 5;

/// At most five begun attempts of a step are lost in a row, then it fails; and no run, however damaged, stops others.
#[derive(Clone, Default)]
pub(crate) struct Poison {
    lost: BTreeMap<(RunKey, StepNo), u32>,
}

impl Invariant for Poison {
    fn name(&self) -> &'static str {
        "poison"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Known) -> Result<(), String> {
        if let Moment::Stopped { why } = moment {
            return Err(format!("an owner stopped, and all its runs with it: {why}"));
        }
        let Moment::Appended { record, events, .. } = moment else {
            return Ok(());
        };
        for event in *events {
            match event {
                Event::AttemptLost {
                    step, counts: true, ..
                } => {
                    *self.lost.entry((record.key.clone(), *step)).or_default() += 1;
                }
                // A look-up that was answered, with a reason to look again, did not stop its worker; and after a person's
                // word it begins anew.
                Event::SettlementScheduled { step, .. } if record.cause.command == "Report" => {
                    self.lost.remove(&(record.key.clone(), *step));
                }
                Event::AttemptFailed { step, .. } | Event::StepResolved { step, .. } => {
                    self.lost.remove(&(record.key.clone(), *step));
                }
                Event::AttemptDispatched { step, .. } | Event::LookUpDispatched { step, .. } => {
                    let lost = self
                        .lost
                        .get(&(record.key.clone(), *step))
                        .copied()
                        .unwrap_or(0);
                    must(lost < LOST_MAX, || {
                        format!(
                            "{} step {} is tried again after {lost} lost attempts",
                            record.key.run, step.0
                        )
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
