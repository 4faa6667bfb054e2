use std::collections::BTreeMap;

use engine::definition::{Step as Written, Workflow};
use engine::event::{Event, Section, StepStatus};
use engine::id::{RunKey, StepNo};
use engine::record::RECORD_BYTES_MAX;
use engine::run::{At, Run, Step};
use engine::value::INLINE_BYTES_MAX;

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// A READ is tried so often where nothing else is written.
const ATTEMPTS: u32 = 3;

/// Records, values, the windows of fan-outs and the number of tries stay within their bounds.
#[derive(Clone, Default)]
pub(crate) struct Bounds {
    failed: BTreeMap<(RunKey, StepNo), u32>,
}

impl Invariant for Bounds {
    fn name(&self) -> &'static str {
        "bounds"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        let Moment::Appended {
            run,
            record,
            events,
            ..
        } = moment
        else {
            return Ok(());
        };
        let bytes = record.encode().len();
        must(bytes <= RECORD_BYTES_MAX, || {
            format!("{}: record {} has {bytes} bytes", record.key.run, record.n)
        })?;
        events.iter().try_for_each(inline)?;
        let definition = run.run.state().head.created.definition;
        let Some(workflow) = known.saved.of(&definition) else {
            let run = record.key.run;
            return Err(format!("{run} is of no workflow that was saved"));
        };
        windows(&run.run, workflow)?;
        self.tries(&run.run, workflow, events)
    }
}

impl Bounds {
    /// After as many failures as a step has tries it is not tried again.
    fn tries(&mut self, run: &Run, workflow: &Workflow, events: &[Event]) -> Result<(), String> {
        let mut just_failed = None;
        for event in events {
            match event {
                Event::AttemptFailed { step, .. } => {
                    *self.failed.entry((run.key().clone(), *step)).or_default() += 1;
                    just_failed = Some(*step);
                }
                Event::RetryScheduled { step: no, .. } if just_failed == Some(*no) => {
                    let step = &run.state().steps[no.index()];
                    let retry = written(run, workflow, step).and_then(|w| w.retry.as_ref());
                    let max = retry.and_then(|r| r.attempts).unwrap_or(ATTEMPTS);
                    let failed = self.failed[&(run.key().clone(), *no)];
                    must(failed < max, || {
                        let (run, name) = (run.key().run, &step.name);
                        format!("{run} step {name}: tried again after {failed} of {max} failed")
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn inline(event: &Event) -> Result<(), String> {
    let Event::StepSucceeded {
        output: Some(output),
        step,
    } = event
    else {
        return Ok(());
    };
    let bytes = output.inline.as_ref().map_or(0, |b| b.len());
    must(bytes <= INLINE_BYTES_MAX, || {
        format!("step {} has {bytes} bytes in its event", step.0)
    })
}

fn windows(run: &Run, workflow: &Workflow) -> Result<(), String> {
    let mut running: BTreeMap<StepNo, u32> = BTreeMap::new();
    for step in &run.state().steps {
        if let Some((of, _)) = step.item() {
            *running.entry(of).or_default() += u32::from(is_going_on(step));
        }
    }
    for (no, running) in running {
        let step = &run.state().steps[no.index()];
        let each = written(run, workflow, step).and_then(|w| w.for_each.as_ref());
        let max = each.map_or(0, |each| each.max_parallel);
        must(running <= max, || {
            let (run, name) = (run.key().run, &step.name);
            format!("{run} step {name}: {running} of at most {max} items at once")
        })?;
    }
    Ok(())
}

fn is_going_on(step: &Step) -> bool {
    match step.status {
        StepStatus::Pending | StepStatus::Running | StepStatus::Waiting => true,
        StepStatus::InDoubt => step.at == At::Doubt,
        StepStatus::Succeeded
        | StepStatus::Failed
        | StepStatus::Skipped
        | StepStatus::Rejected
        | StepStatus::Cancelled
        | StepStatus::TimedOut => false,
    }
}

/// What is written of a step, or of the fan-out that it is an item of.
fn written<'w>(run: &Run, workflow: &'w Workflow, step: &Step) -> Option<&'w Written> {
    let of = step.item().map(|(of, _)| &run.state().steps[of.index()]);
    let (section, index) = of.unwrap_or(step).written()?;
    let steps = match section {
        Section::Steps => &workflow.steps,
        Section::OnFailure => &workflow.on_failure,
        Section::Finally => &workflow.finally,
    };
    steps.get(index as usize)
}
