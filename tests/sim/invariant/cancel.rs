use std::collections::BTreeSet;

use engine::event::{Event, Section};
use engine::id::RunKey;
use engine::run::Run;

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// After an acknowledged cancel there is no new grant, and no step begins or is tried again that is not there
/// to tidy up.
#[derive(Clone, Default)]
pub(crate) struct Cancel {
    cancelled: BTreeSet<RunKey>,
}

impl Invariant for Cancel {
    fn name(&self) -> &'static str {
        "cancel"
    }

    fn see(&mut self, moment: &Moment<'_>, _: &Known) -> Result<(), String> {
        let Moment::Appended {
            run,
            record,
            events,
            ..
        } = moment
        else {
            return Ok(());
        };
        for event in *events {
            if let Event::CancelRequested { .. } = event {
                self.cancelled.insert(record.key.clone());
            }
            let late = self.cancelled.contains(&record.key) && begins(&run.run, event);
            must(!late, || {
                format!(
                    "{}: after the cancel, record {} holds {event:?}",
                    record.key.run, record.n
                )
            })?;
        }
        Ok(())
    }
}

fn begins(run: &Run, event: &Event) -> bool {
    match event {
        Event::AttemptGranted { .. } => true,
        Event::StepPrepared { step, .. }
        | Event::AttemptDispatched { step, .. }
        | Event::WaitStarted { step, .. } => {
            let step = &run.state().steps[step.index()];
            let written = step
                .item()
                .map_or(step, |(of, _)| &run.state().steps[of.index()]);
            written
                .written()
                .is_none_or(|(section, _)| section != Section::Finally)
        }
        _ => false,
    }
}
