//! A word to the owner of a run, said until there is an answer.

use std::time::Duration;

use engine::job::{Answer, Job, Word};
use store::Backend;
use tokio::time::{sleep, timeout};

/// How long one answer is waited for; then the same is said again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// The longest wait before it is said again.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Says `word` about `job` until an answer comes that `of` makes something of. What was not answered may have been heard:
/// it is the same word again.
pub(crate) async fn until<T>(
    ports: &Backend,
    job: &Job,
    word: &Word,
    of: impl Fn(Answer) -> Option<T>,
) -> T {
    let mut wait = Duration::from_millis(20);
    loop {
        let said = ports.jobs.say(job.key.run.shard(), word.clone());
        if let Ok(Ok(answer)) = timeout(PATIENCE, said).await
            && let Some(found) = of(answer)
        {
            return found;
        }
        sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}
