use engine::job::Job;

use super::{Invariant, must};
use crate::judge::{Known, Moment};
use crate::plugin::Checkpoint;

/// Memory that is lost, rewound or another's changes nothing: a checkpoint is only ever given to the attempt that
/// follows lost ones of the same call.
#[derive(Clone)]
pub(crate) struct LosableMemory;

impl Invariant for LosableMemory {
    fn name(&self) -> &'static str {
        "losable memory"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        match moment {
            Moment::Called {
                job, checkpoint, ..
            } if !checkpoint.is_empty() => given(job, checkpoint, known),
            _ => Ok(()),
        }
    }
}

fn given(job: &Job, checkpoint: &[u8], known: &Known) -> Result<(), String> {
    let attempt = job.attempt_key();
    let saved = Checkpoint::read(checkpoint)
        .ok_or_else(|| format!("{attempt:?} was given something that nobody saved"))?;
    must(
        saved.run == job.key.run.to_string() && saved.step == job.step.0,
        || {
            format!(
                "{attempt:?} was given a checkpoint of {} step {}",
                saved.run, saved.step
            )
        },
    )?;
    let run = known.runs.get(&job.key).ok_or("a job of no run")?;
    let step = &run.run.state().steps[job.step.index()];
    let between = step
        .attempts
        .iter()
        .filter(|t| (saved.attempt..job.attempt.0).contains(&t.attempt.0));
    let mut between = between.peekable();
    must(between.peek().is_some() && between.all(|t| t.lost), || {
        format!(
            "{attempt:?} was given what attempt {} saved, and not all since were lost",
            saved.attempt
        )
    })
}
