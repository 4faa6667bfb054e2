use engine::event::Event;
use engine::record::RECORD_BYTES_MAX;
use engine::run::Run;
use engine::value::INLINE_BYTES_MAX;

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// Records, values and the windows of fan-outs stay within their bounds.
#[derive(Clone)]
pub(crate) struct Bounds;

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
        windows(&run.run, known)
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

fn windows(run: &Run, known: &Known) -> Result<(), String> {
    let definition = run.state().head.created.definition;
    let Some(workflow) = known.saved.of(&definition) else {
        return Err(format!(
            "{} is of no workflow that was saved",
            run.key().run
        ));
    };
    for step in &run.state().steps {
        let (Some(fan), Some((_, index))) = (&step.fan_out, step.written()) else {
            continue;
        };
        let each = workflow.steps[index as usize].for_each.as_ref();
        let max = each.map_or(0, |each| each.max_parallel);
        must(fan.running <= max, || {
            format!(
                "{} step {}: {} of at most {max} items at once",
                run.key().run,
                step.name,
                fan.running
            )
        })?;
    }
    Ok(())
}
