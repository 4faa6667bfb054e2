//! What became of an attempt, told until the owner has it.

use engine::command::{Command, Outcome};
use engine::digest::Digest;
use engine::id::{CommandId, Nonce};
use engine::job::{AttemptKey, Job, Word, call_digest};
use store::port::Message;

use crate::failure::patiently;
use crate::{Shared, said};

/// Tells the owner until it has confirmed, which it also does when it rejects. May be lost with this worker: a READ is
/// then done again.
pub(crate) async fn say(shared: &Shared, job: &Job, outcome: Outcome) {
    let word = Word::Report {
        attempt: job.attempt_key(),
        outcome,
        call: call_digest(&job.action, &job.call),
    };
    said::until(&shared.ports, job, &word, |_| Some(())).await;
}

/// Puts the outcome into the owner's inbox, where it survives this worker and the owner: what a change became of is
/// never found out by doing it again.
pub(crate) async fn send(shared: &Shared, job: &Job, nonce: Nonce, outcome: Outcome) {
    let attempt = job.attempt_key();
    let command = Command::Report {
        step: attempt.step,
        attempt: attempt.attempt,
        outcome,
        nonce: Some(nonce),
    };
    let message = Message {
        id: command_id(&attempt, nonce),
        key: attempt.key.clone(),
        body: minicbor::to_vec(&command).expect("writing into memory cannot fail"),
    };
    let sent = patiently(|| shared.ports.inbox.send(attempt.key.run.shard(), &message)).await;
    if let Err(error) = sent {
        // The owner finds that nobody holds the attempt any more, and settles it as an unknown outcome.
        tracing::error!(run = %attempt.key.run, %error, "the inbox does not take a report");
    }
}

/// One report per attempt and worker, however often it is sent.
fn command_id(attempt: &AttemptKey, nonce: Nonce) -> CommandId {
    let AttemptKey { key, step, attempt } = attempt;
    let (step, attempt) = (step.0, attempt.0);
    let name = format!("report {} {} {step} {attempt} {nonce}", key.tenant, key.run);
    let (first, _) = Digest::of(name.as_bytes())
        .as_bytes()
        .split_first_chunk()
        .map(|(first, rest)| (*first, rest.len()))
        .expect("a digest has 32 bytes");
    Nonce(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::id::{Attempt, RunId, RunKey, Shard, StepNo, Tenant};

    #[test]
    fn a_report_has_one_id_and_no_other_attempt_has_it() {
        let run = RunId::new(engine::time::Timestamp::from_millis(1), Shard(0), 7);
        let key = RunKey {
            tenant: Tenant::default(),
            run,
        };
        let attempt = |step, attempt| AttemptKey {
            key: key.clone(),
            step: StepNo(step),
            attempt: Attempt(attempt),
        };
        let id = |of, nonce| command_id(&of, Nonce([nonce; 16]));
        assert_eq!(id(attempt(1, 2), 0), id(attempt(1, 2), 0));
        assert_ne!(id(attempt(1, 2), 0), id(attempt(1, 2), 1));
        assert_ne!(id(attempt(1, 2), 0), id(attempt(1, 3), 0));
        assert_ne!(id(attempt(1, 2), 0), id(attempt(12, 2), 0));
    }
}
