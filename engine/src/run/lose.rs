//! `Lose`: an attempt is in nobody's hands any more.

use crate::code::Code;
use crate::event::{Event, StepStatus};
use crate::facts::Rejection;
use crate::id::{Attempt, StepNo};
use crate::run::draft::{Decided, Draft, failure};
use crate::run::state::{At, Steps};

/// So many begun attempts of a step may be lost in a row; the next one fails it.
const LOST_MAX: u32 = 5;

impl Draft<'_> {
    pub(super) fn lose(
        &mut self,
        no: StepNo,
        attempt: Attempt,
        begun: bool,
        plugin_dead: bool,
    ) -> Decided {
        let step = self.state.steps.get(no).ok_or(Rejection::Stale)?;
        match step.at.attempt() {
            Some((a, _)) if a != attempt => return Err(Rejection::Stale),
            None => return Err(Rejection::Stale),
            Some(_) if matches!(step.at, At::Granted { .. }) => self.unsettled(no, plugin_dead),
            Some((_, look_up)) => self.lose_dispatched(no, attempt, begun, look_up),
        }
        self.advance()
    }

    /// No intent means never started, so MODIFY and ADMIN go out again freely; READ and look-ups are counted.
    pub(super) fn lose_dispatched(
        &mut self,
        no: StepNo,
        attempt: Attempt,
        begun: bool,
        look_up: bool,
    ) {
        let counts = begun && (look_up || !self.state.changes(self.step(no)));
        self.emit(Event::AttemptLost {
            step: no,
            attempt,
            counts,
        });
        let poisonous = self.step(no).lost >= LOST_MAX;
        if look_up && poisonous {
            self.doubt(no, "five look-ups in a row were lost with their worker");
        } else if look_up {
            self.look_up(no);
        } else if poisonous {
            let message =
                "five attempts in a row were lost with their worker: the step may be what stops it";
            self.fail(no, StepStatus::Failed, failure(Code::AttemptsLost, message));
        } else {
            self.dispatch(no);
        }
    }
}
