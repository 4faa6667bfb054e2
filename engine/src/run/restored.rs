//! A run out of a backup: what it did after the backup was made, nobody here knows.
//!
//! It is parked until a person lets it go on. Then READ steps are simply done again, and a MODIFY or ADMIN step, which
//! may have been done already, is looked up, repeated where that is declared to be harmless, or put to a person.

use crate::code::Code;
use crate::duration::Duration;
use crate::event::{Event, Failure, SkipReason, StepStatus};
use crate::id::StepNo;
use crate::run::Run;
use crate::run::draft::{Draft, failure};
use crate::run::state::{At, State, Step, Steps};
use crate::time::Timestamp;

impl Run {
    /// What becomes of the run as it stands in a restored backup that was made at `backup`; nothing, when it has ended.
    #[must_use]
    pub fn restored(&self, backup: Timestamp) -> Vec<Event> {
        if self.state.head.end.is_some() || crate::planted!("restored_goes_on") {
            return Vec::new();
        }
        let message = format!(
            "restored from a backup of {backup}: what the run did after that is not known; resume it or cancel it"
        );
        vec![Event::RunRestored {
            failure: failure(Code::Restored, message),
        }]
    }
}

impl<S: Steps> State<S> {
    pub(super) fn restored(&mut self, failure: &Failure, at: Timestamp) {
        self.head.restores += 1;
        self.head.restored_at = Some(at);
        self.head.parked = Some(failure.clone());
    }

    /// When a call of the step that was made after the backup, before the restore, is over at the latest, and how long
    /// after the restore that is; `None` where nothing can have been made.
    pub(super) fn over_elsewhere(&self, step: &Step) -> Option<(Timestamp, Duration)> {
        let restored_at = self.head.restored_at?;
        if step.sure_after == self.head.restores || !self.changes(step) {
            return None;
        }
        let timeout = step.call.as_ref().map_or(0, |c| c.timeout_ms);
        let wait = Duration::from_millis(timeout);
        Some((restored_at.plus(wait), wait))
    }
}

impl Draft<'_> {
    /// Whatever was in hand when the backup was made is in nobody's hands now.
    pub(super) fn take_up_restored(&mut self) {
        let open: Vec<StepNo> = self.head().open.iter().copied().collect();
        for no in open {
            let step = self.step(no);
            if step.sure_after == self.head().restores {
                continue;
            }
            match step.at {
                At::Dispatched { attempt, look_up } => {
                    self.lose_dispatched(no, attempt, false, look_up);
                }
                At::Granted { .. } => self.unsettled(no, true),
                At::Nothing
                | At::Wait { .. }
                | At::Prepared
                | At::Approval
                | At::Retry { .. }
                | At::Settlement { .. }
                | At::Doubt
                | At::Items => {}
            }
        }
    }

    /// Whether a change was made, perhaps, after the backup that the run was restored from.
    pub(super) fn may_have_been_made(&self, no: StepNo) -> bool {
        let step = self.step(no);
        if step.sure_after == self.head().restores {
            return false;
        }
        match step.at {
            // A stopped run never begins it; where it begins, its call is looked at first.
            At::Nothing if step.call.is_none() => self.head().halted && self.is_change(no),
            // Of a fan-out it is its items that change something, and its consent is theirs.
            At::Approval if step.fan_out.is_some() => true,
            At::Items => {
                let left = step.fan_out.as_ref().map(|f| f.steps.len() < f.keys.len());
                left == Some(true) && self.is_change(no)
            }
            At::Nothing
            | At::Wait { .. }
            | At::Prepared
            | At::Approval
            | At::Dispatched { .. }
            | At::Granted { .. }
            | At::Retry { .. }
            | At::Settlement { .. }
            | At::Doubt => self.state.changes(step),
        }
    }

    /// Finds out whether it was, or asks a person.
    pub(super) fn make_sure(&mut self, no: StepNo) {
        let action = self.state.action(self.step(no));
        let (lookup, idempotent) = action.map_or((false, false), |a| (a.lookup, a.idempotent));
        if lookup {
            self.look_up(no);
        } else if idempotent {
            self.hand_out(no);
        } else {
            self.doubt(
                no,
                "the run was restored from a backup, and the change may have been made after that",
            );
        }
    }

    /// A stopped run does not begin the step. What is not known to be undone must not look as if it were.
    pub(super) fn pass_over(&mut self, no: StepNo) {
        if self.may_have_been_made(no) {
            let message = "the run was stopped before this step was begun";
            self.end_step(no, StepStatus::Cancelled, failure(Code::Cancelled, message));
        } else {
            self.emit(Event::StepSkipped {
                step: no,
                reason: SkipReason::Stopped,
            });
        }
    }

    /// What a stopped run had in hand when its backup was made, and what is found out about it all the same.
    pub(super) fn stop_restored(&mut self) {
        let mut open: Vec<StepNo> = self.head().open.iter().copied().collect();
        open.retain(|no| self.may_have_been_made(*no));
        for no in open {
            match self.step(no).at {
                At::Dispatched {
                    attempt,
                    look_up: true,
                } => self.lose_dispatched(no, attempt, false, true),
                At::Granted { .. } => self.unsettled(no, true),
                At::Dispatched { .. }
                | At::Prepared
                | At::Approval
                | At::Retry { .. }
                | At::Nothing
                | At::Wait { .. }
                | At::Settlement { .. }
                | At::Doubt
                | At::Items => {}
            }
        }
    }
}
