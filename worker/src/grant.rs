//! The owner's leave for one MODIFY or ADMIN call.

use std::time::Duration;

use engine::id::Nonce;
use engine::job::{Answer, Job, Word};
use engine::time::Timestamp;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::Shared;

/// How long one answer is waited for; then the same is asked again, with the same nonce.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest wait before asking again.
const WAIT_MAX: Duration = Duration::from_secs(2);

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
    let mut wait = Duration::from_millis(20);
    loop {
        let said = shared.ports.jobs.say(job.key.run.shard(), question.clone());
        match timeout(PATIENCE, said).await {
            Ok(Ok(Answer::Granted { start_by })) => return Leave::Granted(start_by),
            Ok(Ok(Answer::Denied { reason })) => {
                debug!(run = %job.key.run, step = job.name, reason, "denied");
                return Leave::Denied;
            }
            Ok(Ok(Answer::Heard { unwanted })) if unwanted.contains(&attempt) => {
                return Leave::Denied;
            }
            Ok(Ok(Answer::Heard { .. } | Answer::Question { .. }) | Err(_)) | Err(_) => {}
        }
        sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}
