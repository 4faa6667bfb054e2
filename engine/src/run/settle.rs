//! What becomes of a granted call whose outcome is unknown: look up, repeat where that is harmless, or ask a person.

use crate::code::Code;
use crate::duration::Duration;
use crate::event::{Event, Failure, StepStatus};
use crate::id::{Attempt, StepNo};
use crate::run::begin::START_WITHIN;
use crate::run::draft::{Decided, Draft, failure};
use crate::run::state::{At, Step, Try};
use crate::time::Timestamp;

/// A look-up's "not done" is believed so long after the call, for a request may still be travelling.
const SETTLE: Duration = Duration::from_secs(5);
/// So many look-ups in a row may not be able to tell, over a minute: an agent that is started anew is back by then, and
/// so is what stands behind it. Then a person is asked.
const VAGUE_MAX: u32 = 7;
/// So many granted calls of a step may end without a known result; then it is not made again by itself.
const UNANSWERED_MAX: usize = 5;

impl Draft<'_> {
    /// The outcome of a granted call is unknown: settled once the call is over (`is_over`: whoever got it is dead or has
    /// answered), else once its time is over.
    pub(super) fn unsettled(&mut self, no: StepNo, is_over: bool) {
        let step = self.step(no);
        let at = match step.at {
            At::Granted { .. } | At::Settlement { .. } if is_over => self.now,
            At::Granted { start_by, .. } => {
                let timeout = step.call.as_ref().map_or(0, |c| c.timeout_ms);
                // The call may have begun as late as that, by the clock of whoever granted it.
                let anew = self.facts.clock_since.map(|since| since.plus(START_WITHIN));
                let start_by = anew.map_or(start_by, |anew| start_by.max(anew));
                let over = start_by.plus(Duration::from_millis(timeout));
                over.max(self.now)
            }
            At::Settlement { .. }
            | At::Dispatched { .. }
            | At::Nothing
            | At::Wait { .. }
            | At::Prepared
            | At::Approval
            | At::Retry { .. }
            | At::Doubt
            | At::Items => return,
        };
        // Its worker was thought lost, and says now what was known already.
        if matches!(step.at, At::Settlement { at: known } if known <= at) {
            return;
        }
        self.schedule(no, at, false);
    }

    fn schedule(&mut self, step: StepNo, at: Timestamp, early: bool) {
        self.emit(Event::SettlementScheduled { step, at, early });
    }

    /// When the calls of unknown outcome are over at the latest.
    fn over_at(&self, step: &Step) -> Option<Timestamp> {
        let over = step.unknown_since?;
        Some(self.by_this_clock(over, step.unknown_wait))
    }

    /// When the calls that were made after the backup are over at the latest, if there can be any.
    pub(super) fn over_elsewhere(&self, step: &Step) -> Option<Timestamp> {
        let (over, wait) = self.state.over_elsewhere(step)?;
        Some(self.by_this_clock(over, wait))
    }

    /// What was waited under another clock does not count: nobody knows how long it was.
    fn by_this_clock(&self, over: Timestamp, wait: Duration) -> Timestamp {
        let anew = self.facts.clock_since.map(|since| since.plus(wait));
        anew.map_or(over, |anew| over.max(anew))
    }

    pub(super) fn settle(&mut self, no: StepNo) -> Decided {
        let step = self.step(no);
        if let Some(at) = self.over_at(step).filter(|over| *over > self.now) {
            self.schedule(no, at, false);
            return Ok(());
        }
        let lookup = self.state.action(step).is_some_and(|a| a.lookup);
        if lookup && step.vague_lookups < VAGUE_MAX {
            self.look_up(no);
        } else {
            self.settle_unseen(
                no,
                "the call was sent, its answer was lost, and nothing that could be tried has told its outcome",
            );
        }
        Ok(())
    }

    /// Nobody can look: the call is repeated where that is harmless, else a person is asked.
    fn settle_unseen(&mut self, no: StepNo, why: &str) {
        let step = self.step(no);
        let idempotent = self.state.action(step).is_some_and(|a| a.idempotent);
        if idempotent && !self.head().halted && unanswered(step) < UNANSWERED_MAX {
            self.dispatch(no);
        } else if self.head().halted {
            let message = "the run was stopped, and it is not known whether the change was made";
            self.end_step(no, StepStatus::InDoubt, failure(Code::InDoubt, message));
        } else if crate::planted!("doubt_run_again") {
            self.dispatch(no);
        } else {
            self.doubt(no, why);
        }
    }

    pub(super) fn look_up(&mut self, no: StepNo) {
        let attempt = Attempt(self.step(no).last_attempt() + 1);
        self.emit(Event::LookUpDispatched { step: no, attempt });
    }

    /// "Not done" is believed only after the settle time; then the call is handed out again, with a grant of its own.
    pub(super) fn not_found(&mut self, no: StepNo) {
        let step = self.step(no);
        let settle = self
            .state
            .action(step)
            .and_then(|a| a.settle_ms)
            .map_or(SETTLE, Duration::from_millis);
        // What counts is when it looked, not when its word arrives: that may have been long on its way.
        let looked = step.attempts.last().map_or(self.now, |t| t.started_at);
        let believed = self.over_at(step).map_or(looked, |over| over.plus(settle));
        if looked < believed {
            self.schedule(no, believed.max(self.now), true);
            return;
        }
        let attempt = Attempt(step.last_attempt());
        let unanswered = unanswered(step);
        let why = Failure {
            not_made: true,
            ..failure(
                Code::PluginError,
                "a look-up found that the change was not made",
            )
        };
        self.emit(Event::AttemptNotCalled { step: no, attempt });
        if self.head().halted {
            self.end_step(no, StepStatus::Cancelled, why);
            return;
        }
        if unanswered >= UNANSWERED_MAX {
            let message = "five calls ended without a result, and each time the change was found not to be made";
            let lost = Failure {
                not_made: true,
                ..failure(Code::AttemptsLost, message)
            };
            self.fail(no, StepStatus::Failed, lost);
            return;
        }
        self.dispatch(no);
    }

    pub(super) fn cannot_tell(&mut self, no: StepNo, reason: &str) {
        let vague = self.step(no).vague_lookups;
        let is_last = vague + 1 >= VAGUE_MAX;
        let wait = Duration::from_millis(if is_last { 0 } else { 1_000 << vague });
        self.schedule(no, self.now.plus(wait), false);
        if is_last {
            let why = format!("looking up what became of the call did not help: {reason}");
            self.settle_unseen(no, &why);
        }
    }

    pub(super) fn doubt(&mut self, no: StepNo, reason: &str) {
        self.emit(Event::StepInDoubt {
            step: no,
            reason: reason.to_owned(),
        });
    }
}

/// How many granted calls of the step have ended without a known result.
fn unanswered(step: &Step) -> usize {
    let unanswered = |t: &&Try| t.worker.is_some() && t.failure.is_none();
    step.attempts.iter().filter(unanswered).count()
}
