//! `Report`: what became of an attempt. Only the current one is listened to.

use crate::code::Code;
use crate::command::Outcome;
use crate::definition::Retry;
use crate::digest::Digest;
use crate::duration::Duration;
use crate::event::{Event, Failure, StepStatus};
use crate::facts::Rejection;
use crate::id::{Attempt, Nonce, StepNo};
use crate::principal::Permission;
use crate::run::draft::{Decided, Draft, failure};
use crate::run::scope::Fail;
use crate::run::state::{At, Step, Steps};
use crate::time::Timestamp;

/// How READ is tried when nothing is written: three calls, 1 s and 2 s apart.
const READ_ATTEMPTS: u32 = 3;
const DELAY: Duration = Duration::from_secs(1);
const FACTOR: f64 = 2.0;
const MAX_DELAY: Duration = Duration::from_secs(30);

/// How far an attempt had come when its report arrived.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Handed out; of MODIFY and ADMIN, not granted.
    Dispatched,
    /// A look-up, handed out.
    LookUp,
    /// Granted, or of unknown outcome after a grant.
    Granted,
}

impl Draft<'_> {
    pub(super) fn report(
        &mut self,
        no: StepNo,
        attempt: Attempt,
        nonce: Option<Nonce>,
        outcome: &Outcome,
    ) -> Decided {
        let step = self.state.steps.get(no).ok_or(Rejection::Stale)?;
        let stage = stage(step, attempt).ok_or(Rejection::Stale)?;
        let granted = step.attempts.iter().rfind(|t| t.attempt == attempt);
        if granted.is_some_and(|t| t.nonce.is_some() && t.nonce != nonce) {
            return Err(Rejection::Stale);
        }
        let changes = self.state.changes(step);
        match (stage, outcome) {
            (Stage::Dispatched, Outcome::Succeeded { .. } | Outcome::Unknown { .. }) if changes => {
                let message = "a MODIFY or ADMIN call was reported that was never granted";
                return Err(Rejection::refused(Code::Conflict, message));
            }
            (Stage::Dispatched | Stage::Granted, Outcome::Succeeded { output }) => {
                self.succeed(no, Some(output.clone()))
            }
            (Stage::LookUp, Outcome::LookedUpDone { output }) => {
                self.succeed(no, Some(output.clone()))
            }
            (Stage::LookUp, Outcome::LookedUpNotDone) => self.not_found(no),
            (Stage::LookUp, Outcome::LookedUpUnknown { reason }) => self.cannot_tell(no, reason),
            (Stage::LookUp, Outcome::Failed { failure }) => self.cannot_tell(no, &failure.message),
            (Stage::LookUp, Outcome::TimedOut { message }) => self.cannot_tell(no, message),
            (Stage::LookUp, Outcome::NotCalled { reason }) => self.cannot_tell(no, reason),
            (Stage::Dispatched | Stage::Granted, Outcome::Failed { failure }) => {
                self.attempt_failed(no, attempt, failure, StepStatus::Failed)?;
            }
            (Stage::Dispatched, Outcome::TimedOut { message }) => {
                self.attempt_timed_out(no, attempt, message)?
            }
            (Stage::Dispatched | Stage::Granted, Outcome::NotCalled { .. }) => {
                self.not_called(no, attempt)
            }
            (Stage::Granted, Outcome::Unknown { plugin_dead, .. }) => {
                self.unsettled(no, *plugin_dead)
            }
            (Stage::Granted, Outcome::TimedOut { .. }) => self.unsettled(no, false),
            (Stage::Dispatched, Outcome::Unknown { reason, .. }) => {
                self.attempt_timed_out(no, attempt, reason)?
            }
            (Stage::LookUp, Outcome::Succeeded { .. } | Outcome::Unknown { .. })
            | (
                Stage::Dispatched | Stage::Granted,
                Outcome::LookedUpDone { .. }
                | Outcome::LookedUpNotDone
                | Outcome::LookedUpUnknown { .. },
            ) => {
                return Err(Rejection::refused(
                    Code::Conflict,
                    "the report does not answer what was asked",
                ));
            }
        }
        self.advance()
    }

    fn attempt_timed_out(&mut self, no: StepNo, attempt: Attempt, message: &str) -> Decided {
        let mut timed_out = failure(Code::Timeout, message);
        timed_out.retryable = true;
        self.attempt_failed(no, attempt, &timed_out, StepStatus::TimedOut)
    }

    fn attempt_failed(
        &mut self,
        no: StepNo,
        attempt: Attempt,
        why: &Failure,
        status: StepStatus,
    ) -> Decided {
        self.emit(Event::AttemptFailed {
            step: no,
            attempt,
            failure: why.clone(),
        });
        match self.retry_at(no, why) {
            Ok(Some(at)) => self.emit(Event::RetryScheduled { step: no, at }),
            Ok(None) => self.fail(no, status, why.clone()),
            Err(Fail::Rejected(rejection)) => return Err(rejection),
            Err(Fail::Failed(broken)) => self.fail(no, StepStatus::Failed, broken),
        }
        Ok(())
    }

    /// When the step is tried again, if it is.
    fn retry_at(&self, no: StepNo, why: &Failure) -> Result<Option<Timestamp>, Fail> {
        let step = self.step(no);
        let action = self.state.action(step);
        let is_read = action.is_none_or(|a| a.permission == Permission::Read);
        let safe = is_read || why.not_made || action.is_some_and(|a| a.idempotent);
        let written = self.written(no).step.retry.as_ref();
        let attempts = written.and_then(|r| r.attempts);
        let attempts = attempts.unwrap_or(if is_read { READ_ATTEMPTS } else { 1 });
        let used_up = step.failed_tries >= attempts && !crate::planted!("tried_for_ever");
        if self.head().halted || !safe || used_up {
            return Ok(None);
        }
        if !self.retry_is_wanted(no, why)? {
            return Ok(None);
        }
        let delay = self.delay(written, no, step.failed_tries);
        Ok(Some(self.now.plus(delay)))
    }

    /// `retry.if` decides where it is written, and otherwise what the plugin says.
    fn retry_is_wanted(&self, no: StepNo, why: &Failure) -> Result<bool, Fail> {
        let Some(condition) = &self.written(no).retry_if else {
            return Ok(why.retryable);
        };
        let scope = self.step_scope(no).with_error(why);
        match self.step(no).item() {
            Some((of, index)) => {
                let item = self.item(of, index)?;
                self.is_true(condition, &scope.with_item(&item, index as usize))
            }
            None => self.is_true(condition, &scope),
        }
    }

    /// The delay before the try after `failed`, up to a fifth longer, so that many runs do not try at once.
    fn delay(&self, written: Option<&Retry>, no: StepNo, failed: u32) -> Duration {
        let (delay, factor, max) = written.map_or((DELAY, FACTOR, MAX_DELAY), |r| {
            (r.delay, r.factor, r.max_delay)
        });
        let exponent = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = (delay.millis() as f64) * factor.powi(exponent);
        let bounded = grown.min(max.millis() as f64) as u64;
        let seed = Digest::of(format!("{}/{}/{failed}", self.head().key.run, no.0).as_bytes());
        let jitter = bounded / 5 * u64::from(seed.as_bytes()[0]) / 255;
        Duration::from_millis(bounded + jitter)
    }

    /// Nothing was sent: the attempt is handed out again, at once the first time, then ever later.
    fn not_called(&mut self, no: StepNo, attempt: Attempt) {
        let idle = self.step(no).attempts.iter().rev().skip(1);
        let idle = idle.take_while(|t| t.failure.is_none() && !t.lost).count();
        self.emit(Event::AttemptNotCalled { step: no, attempt });
        if self.head().halted {
            return;
        }
        if idle == 0 {
            self.dispatch(no);
            return;
        }
        let wait = 1_000u64 << idle.min(5).saturating_sub(1);
        let at = self
            .now
            .plus(Duration::from_millis(wait.min(MAX_DELAY.millis())));
        self.emit(Event::RetryScheduled { step: no, at });
    }
}

/// How far this attempt had come, `None` when it is not the current one.
fn stage(step: &Step, attempt: Attempt) -> Option<Stage> {
    let is_dead = step.has_lost(attempt) && crate::planted!("dead_attempt_heard");
    let attempt = if is_dead || crate::planted!("fence_dropped") {
        Attempt(step.last_attempt())
    } else {
        attempt
    };
    match step.at {
        At::Dispatched {
            attempt: a,
            look_up,
        } if a == attempt => Some(if look_up {
            Stage::LookUp
        } else {
            Stage::Dispatched
        }),
        At::Granted { attempt: a, .. } if a == attempt => Some(Stage::Granted),
        // Its worker was thought lost, and nothing came after it: its word is better than any guess.
        At::Settlement { .. } | At::Doubt if step.granted_last() == Some(attempt) => {
            Some(Stage::Granted)
        }
        At::Dispatched { .. }
        | At::Granted { .. }
        | At::Settlement { .. }
        | At::Doubt
        | At::Nothing
        | At::Wait { .. }
        | At::Prepared
        | At::Approval
        | At::Retry { .. }
        | At::Items => None,
    }
}

impl Step {
    /// Whether this attempt was lost. Only a planted defect asks.
    fn has_lost(&self, attempt: Attempt) -> bool {
        let mut attempts = self.attempts.iter();
        attempts.any(|t| t.attempt == attempt && t.lost)
    }

    /// The last attempt, when it is the one that was granted.
    fn granted_last(&self) -> Option<Attempt> {
        self.attempts
            .last()
            .filter(|t| t.worker.is_some())
            .map(|t| t.attempt)
    }
}
