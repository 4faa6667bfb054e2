use std::collections::BTreeMap;

use engine::event::Event;
use engine::id::{Attempt, RunKey, StepNo};
use engine::record::Record;
use engine::run::Run;
use engine::value::Value;

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// Per step, attempts only rise, and nothing is accepted of an older one.
#[derive(Clone, Default)]
pub(crate) struct Fencing {
    current: BTreeMap<(RunKey, StepNo), u32>,
}

impl Invariant for Fencing {
    fn name(&self) -> &'static str {
        "fencing"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Known) -> Result<(), String> {
        if let Moment::Appended {
            run,
            record,
            events,
            ..
        } = moment
        {
            for event in *events {
                self.check(&run.run, record, event)?;
            }
        }
        Ok(())
    }
}

impl Fencing {
    fn check(&mut self, run: &Run, record: &Record, event: &Event) -> Result<(), String> {
        match event {
            Event::AttemptDispatched { step, attempt }
            | Event::LookUpDispatched { step, attempt } => {
                let place = (record.key.clone(), *step);
                let before = self.current.insert(place, attempt.0).unwrap_or(0);
                must(attempt.0 == before + 1, || {
                    format!(
                        "{} step {}: attempt {} follows {before}",
                        record.key.run, step.0, attempt.0
                    )
                })
            }
            Event::AttemptGranted { step, attempt, .. }
            | Event::AttemptNotCalled { step, attempt }
            | Event::AttemptLost { step, attempt, .. }
            | Event::AttemptFailed { step, attempt, .. } => {
                self.is_current(record, *step, *attempt)
            }
            Event::StepSucceeded {
                step,
                output: Some(output),
            } => self.result(run, record, *step, output),
            _ => Ok(()),
        }
    }

    /// Every result tells which attempt of which call it is of.
    fn result(
        &self,
        run: &Run,
        record: &Record,
        step: StepNo,
        output: &Value,
    ) -> Result<(), String> {
        let call = run.state().steps[step.index()].call.as_ref();
        let params = call.and_then(|c| c.params.inline_json());
        let (Some(json), Some(params)) = (output.inline_json(), params) else {
            return Ok(());
        };
        must(json["n"] == params["n"], || {
            format!(
                "{} step {}: {json} is listened to as the result of {params}",
                record.key.run, step.0
            )
        })?;
        let by = json["by"].as_u64().and_then(|by| u32::try_from(by).ok());
        by.map_or(Ok(()), |by| self.is_current(record, step, Attempt(by)))
    }

    fn is_current(&self, record: &Record, step: StepNo, attempt: Attempt) -> Result<(), String> {
        let current = self
            .current
            .get(&(record.key.clone(), step))
            .copied()
            .unwrap_or(0);
        must(current == attempt.0, || {
            format!(
                "{} step {}: attempt {} was listened to while {current} was the current one",
                record.key.run, step.0, attempt.0
            )
        })
    }
}
