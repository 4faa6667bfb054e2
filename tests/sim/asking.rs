//! What the simulated agent asks people while it works, and the worker on its behalf.

use std::time::Duration;

use engine::digest::Digest;
use engine::event::ApprovalState;
use engine::job::{Answer, Word, call_digest};
use engine::principal::Permission;
use engine::question::Words;
use tokio::time::sleep;
use worker::PluginCall;

use crate::plugin::Agent;

/// It waits no longer than this for an answer.
const WITHIN_MS: u64 = 12_000;
/// Where its question stands is looked at so often.
const LOOK: Duration = Duration::from_millis(700);
/// Of 256 calls so many ask.
const ASKING: u8 = 24;

impl Agent {
    /// Asks, in some calls, and goes on whatever it is told. The attempts of a step use the same words now and then.
    pub(crate) async fn perhaps_ask(&self, call: &PluginCall<'_>) {
        let job = call.job;
        let name = format!("{} {} {}", job.key.run, job.step.0, job.attempt.0);
        let chance = Digest::of(name.as_bytes()).as_bytes()[0];
        if chance >= ASKING {
            return;
        }
        let permission = if chance.is_multiple_of(2) {
            Permission::Modify
        } else {
            Permission::Admin
        };
        let words = Words {
            description: format!("may I, {}?", chance % 3),
            permission,
            context: None,
            blast_radius: None,
            proven: true,
        };
        let jobs = self.world.ports(&self.life).jobs;
        let mut left = WITHIN_MS;
        while left > 0 {
            let word = Word::Ask {
                attempt: job.attempt_key(),
                words: Box::new(words.clone()),
                within_ms: left,
                call: call_digest(&job.action, &job.call),
            };
            match jobs.say(job.key.run.shard(), word).await {
                Ok(Answer::Question { state, .. }) if state != ApprovalState::Pending => return,
                Ok(Answer::Denied { .. }) => return,
                Ok(_) | Err(_) => {}
            }
            sleep(LOOK).await;
            left = left.saturating_sub(LOOK.as_millis() as u64);
        }
    }
}
