//! The owner's leave for one MODIFY or ADMIN call.

use engine::id::Nonce;
use engine::job::{Answer, Job, Word};
use engine::time::Timestamp;
use tracing::debug;

use crate::{Shared, said};

/// What the owner said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The call may begin, not after this.
    Granted(Timestamp),
    /// It may not, now or ever.
    Denied,
}

/// Asks until the owner answers. An unanswered question may have been granted: it is the same question again, so that
/// there is one grant, and never two.
pub(crate) async fn ask(shared: &Shared, job: &Job, nonce: Nonce) -> Leave {
    let attempt = job.attempt_key();
    let question = Word::Begin {
        attempt: attempt.clone(),
        nonce,
        worker: shared.place.name.clone(),
    };
    let leave = |answer| match answer {
        Answer::Granted { start_by } => Some(Leave::Granted(start_by)),
        Answer::Denied { reason } => {
            debug!(run = %job.key.run, step = job.name, reason, "denied");
            Some(Leave::Denied)
        }
        Answer::Heard { unwanted } => unwanted.contains(&attempt).then_some(Leave::Denied),
        Answer::Question { .. } => None,
    };
    said::until(&shared.ports, job, &question, leave).await
}
