use std::collections::BTreeMap;

use engine::event::Event;
use engine::id::{Attempt, RunKey, StepNo};
use engine::record::Record;

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// Per step, attempts only rise, and nothing is accepted of an older one.
#[derive(Default)]
pub(crate) struct Fencing {
    current: BTreeMap<(RunKey, StepNo), u32>,
}

impl Invariant for Fencing {
    fn name(&self) -> &'static str {
        "fencing"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Known) -> Result<(), String> {
        if let Moment::Appended { record, events, .. } = moment {
            for event in *events {
                self.check(record, event)?;
            }
        }
        Ok(())
    }
}

impl Fencing {
    fn check(&mut self, record: &Record, event: &Event) -> Result<(), String> {
        match event {
            Event::AttemptDispatched { step, attempt } | Event::LookUpDispatched { step, attempt } => {
                let place = (record.key.clone(), *step);
                let before = self.current.insert(place, attempt.0).unwrap_or(0);
                must(attempt.0 == before + 1, || {
                    format!("{} step {}: attempt {} follows {before}", record.key.run, step.0, attempt.0)
                })
            }
            Event::AttemptGranted { step, attempt, .. }
            | Event::AttemptNotCalled { step, attempt }
            | Event::AttemptLost { step, attempt, .. }
            | Event::AttemptFailed { step, attempt, .. } => self.is_current(record, *step, *attempt),
            Event::StepSucceeded { step, output: Some(output) } => {
                // Every result tells which attempt it is of.
                let json = output.inline_json();
                let by = json.and_then(|j| j.get("by").and_then(serde_json::Value::as_u64));
                by.and_then(|by| u32::try_from(by).ok())
                    .map_or(Ok(()), |by| self.is_current(record, *step, Attempt(by)))
            }
            _ => Ok(()),
        }
    }

    fn is_current(&self, record: &Record, step: StepNo, attempt: Attempt) -> Result<(), String> {
        let current = self.current.get(&(record.key.clone(), step)).copied().unwrap_or(0);
        must(current == attempt.0, || {
            format!(
                "{} step {}: attempt {} was listened to while {current} was the current one",
                record.key.run, step.0, attempt.0
            )
        })
    }
}
