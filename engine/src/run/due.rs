//! Whether a run goes on by itself at once: a decision whose record was full has left something to do.

use crate::id::StepNo;
use crate::run::state::{At, State, Step, Steps};

impl<S: Steps> State<S> {
    /// Whether a wake now has something to do, whatever the time is. Of a run that was started and is not over.
    pub(super) fn goes_on(&self) -> bool {
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
            At::Nothing | At::Granted { .. } | At::Settlement { .. } | At::Doubt => false,
        }
    }
}
