//! When a run needs its owner by itself: at a time, or at once, where a decision whose record was full left something.

use crate::id::StepNo;
use crate::run::state::{At, State, Step, Steps};
use crate::time::Timestamp;

impl<S: Steps> State<S> {
    /// When the owner must look at the run again; `Some` of the past means at once.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.due_while(false)
    }

    /// The same while a worker has one of its attempts in hand: then it has started in time, however long that takes.
    #[must_use]
    pub fn due_while(&self, in_hand: bool) -> Option<Timestamp> {
        let head = &self.head;
        if head.end.is_some() || head.parked.is_some() {
            return None;
        }
        if head.started_at.is_none() || self.goes_on() {
            return Some(head.created_at);
        }
        let steps = head
            .open
            .iter()
            .filter_map(|no| self.steps.get(*no))
            .filter_map(step_due);
        let start_by = head
            .created
            .start_by
            .filter(|_| !in_hand && !head.touched && head.stop.is_none());
        let over = (!head.timed_out).then(|| self.over_at());
        let questions = self.questions_due();
        steps.chain(start_by).chain(over).chain(questions).min()
    }

    /// When the run's time is over.
    #[must_use]
    pub fn over_at(&self) -> Timestamp {
        let timeout = crate::duration::Duration::from_millis(self.head.created.timeout_ms);
        self.head.created_at.plus(timeout)
    }

    /// Whether a wake now has something to do, whatever the time is. Of a run that was started and is not over.
    fn goes_on(&self) -> bool {
        let head = &self.head;
        let was_left = |no: &StepNo| self.steps.get(*no).is_some_and(|s| self.was_left(s));
        !head.ready.is_empty() || head.left == 0 || head.open.iter().any(was_left)
    }

    /// Whether a decision that had room would have taken this step further.
    fn was_left(&self, step: &Step) -> bool {
        let halted = self.head.halted;
        match step.at {
            At::Items => step.fan_out.as_ref().is_some_and(|f| f.running == 0),
            At::Wait { .. } | At::Prepared | At::Approval | At::Retry { .. } => halted,
            At::Dispatched { look_up, .. } => halted && !look_up,
            At::Doubt => halted && (self.head.cancelled || self.head.timed_out),
            At::Nothing | At::Granted { .. } | At::Settlement { .. } => false,
        }
    }
}

/// When a step needs to be looked at.
fn step_due(step: &Step) -> Option<Timestamp> {
    match &step.at {
        At::Wait { until } => Some(*until),
        At::Retry { at } | At::Settlement { at } => Some(*at),
        At::Approval => step.approval.as_ref().map(|c| c.asked.expires_at),
        At::Nothing
        | At::Prepared
        | At::Dispatched { .. }
        | At::Granted { .. }
        | At::Doubt
        | At::Items => None,
    }
}
