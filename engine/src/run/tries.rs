//! What becomes of the tries of a step.

use crate::duration::Duration;
use crate::event::{Failure, StepStatus};
use crate::id::{Attempt, Nonce, StepNo};
use crate::run::state::{At, State, Steps, Try};
use crate::time::Timestamp;

/// A step remembers so many of its last tries; the journal has all.
const TRIES_KEPT: usize = 100;

impl<S: Steps> State<S> {
    pub(super) fn dispatched(
        &mut self,
        step: StepNo,
        attempt: Attempt,
        look_up: bool,
        at: Timestamp,
    ) {
        self.head.ready.remove(&step);
        self.head.open.insert(step);
        let restores = self.head.restores;
        let elsewhere = self.steps.get(step).and_then(|s| self.over_elsewhere(s));
        self.on(step, |s| {
            if let Some((over, wait)) = elsewhere {
                s.unknown_since = s.unknown_since.max(Some(over));
                s.unknown_wait = s.unknown_wait.max(wait);
            }
            s.sure_after = restores;
            s.at = At::Dispatched { attempt, look_up };
            s.status = StepStatus::Running;
            if s.attempts.len() >= TRIES_KEPT {
                s.attempts.remove(0);
            }
            s.attempts.push(Try {
                attempt,
                started_at: at,
                ended_at: None,
                worker: None,
                nonce: None,
                failure: None,
                lost: false,
            });
        });
    }

    pub(super) fn granted(&mut self, step: StepNo, nonce: Nonce, granted: At, worker: &str) {
        self.head.touched = true;
        self.head.changed = true;
        self.on(step, |s| {
            s.at = granted;
            if let Some(last) = s.attempts.last_mut() {
                last.worker = Some(worker.to_owned());
                last.nonce = Some(nonce);
            }
        });
        let holder = self.steps.get(step);
        let holder = holder.map(|s| s.item().map_or(step, |(of, _)| of));
        if let Some(holder) = holder {
            self.on_consent(holder, |c| c.granted += 1);
        }
    }

    pub(super) fn attempt_over(
        &mut self,
        step: StepNo,
        attempt: Attempt,
        failure: Option<&Failure>,
        at: Timestamp,
    ) {
        self.on(step, |s| {
            s.at = At::Prepared;
            if let Some(this) = s.attempts.iter_mut().rfind(|t| t.attempt == attempt) {
                this.ended_at = Some(at);
                this.failure = failure.cloned();
            }
        });
    }

    pub(super) fn not_called(&mut self, step: StepNo, attempt: Attempt, at: Timestamp) {
        self.told(step, attempt);
        self.attempt_over(step, attempt, None, at);
    }

    /// What became of this call is known. Of calls before it that is known only where a look-up told it.
    pub(super) fn told(&mut self, step: StepNo, attempt: Attempt) {
        self.on(step, |s| {
            let looked_up = matches!(s.at, At::Dispatched { look_up: true, .. });
            if looked_up || s.unknown_from == Some(attempt) {
                s.unknown_since = None;
                s.vague_lookups = 0;
            }
        });
    }

    pub(super) fn lost(&mut self, step: StepNo, attempt: Attempt, counts: bool, at: Timestamp) {
        self.attempt_over(step, attempt, None, at);
        self.on(step, |s| {
            s.lost += u32::from(counts);
            if let Some(last) = s.attempts.last_mut() {
                last.lost = true;
            }
        });
    }

    pub(super) fn attempt_failed(
        &mut self,
        step: StepNo,
        attempt: Attempt,
        failure: &Failure,
        at: Timestamp,
    ) {
        self.head.touched = true;
        self.told(step, attempt);
        self.attempt_over(step, attempt, Some(failure), at);
        self.on(step, |s| {
            s.failed_tries += 1;
            s.lost = 0;
        });
    }

    pub(super) fn unsettled(&mut self, step: StepNo, when: Timestamp, early: bool, at: Timestamp) {
        let wait = Duration::from_millis(when.millis_since(at));
        self.on(step, |s| {
            if let At::Granted { attempt, .. } = s.at {
                s.unknown_from = s.unknown_since.map_or(Some(attempt), |_| s.unknown_from);
                (s.unknown_since, s.unknown_wait) = (Some(when), wait);
            } else if let At::Settlement { .. } = s.at {
                (s.unknown_since, s.unknown_wait) = (Some(when), wait);
            } else {
                s.lost = 0;
                s.vague_lookups += u32::from(!early);
            }
            s.at = At::Settlement { at: when };
            if let Some(last) = s.attempts.last_mut() {
                last.ended_at.get_or_insert(at);
            }
        });
    }
}
