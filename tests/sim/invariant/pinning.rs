use engine::job::Job;
use engine::principal::Permission;

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// Definitions and manifests are fixed at the start, and a call's parameters for all its attempts.
#[derive(Clone)]
pub(crate) struct Pinning;

impl Invariant for Pinning {
    fn name(&self) -> &'static str {
        "pinning"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        match moment {
            Moment::Called { job, params, .. } => called(job, params, known),
            _ => Ok(()),
        }
    }
}

fn called(job: &Job, params: &[u8], known: &Known) -> Result<(), String> {
    let attempt = job.attempt_key();
    let Some(seen) = known.runs.get(&job.key) else {
        return Err(format!("{attempt:?} is of a run that does not exist"));
    };
    let head = &seen.run.state().head;
    must(job.definition == head.created.definition, || {
        format!("{attempt:?} is of another definition than its run")
    })?;
    must(head.created.actions.contains(&job.action), || {
        format!(
            "{attempt:?} calls {} as its run did not pin it",
            job.action.name
        )
    })?;
    let step = seen.run.state().steps.get(job.step.index());
    let Some(call) = step.and_then(|s| s.call.as_ref()) else {
        return Ok(());
    };
    // A READ that was offered before it was durable, and never became so, is carried out in vain: nobody listens to it,
    // and that is what `fencing` looks after.
    if call.params.digest != job.call.params.digest && job.action.permission == Permission::Read {
        return Ok(());
    }
    must(
        engine::digest::Digest::of(params) == call.params.digest,
        || {
            format!(
                "{attempt:?} is called with {}",
                String::from_utf8_lossy(params)
            )
        },
    )
}
