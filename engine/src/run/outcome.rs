//! How steps end, and what that does to their approval and their run.

use crate::code::Code;
use crate::definition::OnReject;
use crate::event::{ApprovalState, Event, Failure, RunStatus, Section, SkipReason, StepStatus};
use crate::id::StepNo;
use crate::run::draft::{Draft, failure};
use crate::value::{Made, Value};

impl Draft<'_> {
    /// The step is done.
    pub(super) fn succeed(&mut self, no: StepNo, output: Option<Value>) {
        self.close_consent(no);
        // A worker does not know how long the journal is: its value may be too large to stand in it.
        let output = output.map(|value| self.keep(Made { value, blob: None }));
        self.emit(Event::StepSucceeded { step: no, output });
    }

    /// The step ended otherwise; nothing follows from it for the run.
    pub(super) fn end_step(&mut self, no: StepNo, status: StepStatus, failure: Failure) {
        let (status, mut failure) = self.as_far_as_known(no, status, failure);
        self.close_consent(no);
        failure
            .step
            .get_or_insert_with(|| self.step(no).name.clone());
        self.emit(Event::StepEnded {
            step: no,
            status,
            failure,
        });
    }

    /// While a call that nobody here knows the outcome of may have made the change, nothing that came after it tells how
    /// the step ended.
    fn as_far_as_known(
        &self,
        no: StepNo,
        status: StepStatus,
        why: Failure,
    ) -> (StepStatus, Failure) {
        let perhaps = if self.step(no).unknown_since.is_some() {
            "an earlier call may have made the change"
        } else if self.may_have_been_made(no) {
            "the change may have been made after the backup that the run was restored from"
        } else {
            return (status, why);
        };
        if status == StepStatus::InDoubt {
            return (status, why);
        }
        let message = format!("{}; {perhaps}", why.message);
        (StepStatus::InDoubt, failure(Code::InDoubt, message))
    }

    /// The step failed, and with it the run, unless that is allowed; or a person must say what an earlier call did.
    pub(super) fn fail(&mut self, no: StepNo, status: StepStatus, failure: Failure) {
        if self.step(no).unknown_since.is_some() && !self.head().halted {
            let why = &failure.message;
            let reason = format!("an earlier call may have made the change, and then: {why}");
            self.doubt(no, &reason);
            return;
        }
        self.end_step(no, status, failure.clone());
        if !self.written(no).step.continue_on_error {
            self.stop(no, RunStatus::Failed, failure);
        }
    }

    /// People said no, or nothing.
    pub(super) fn refuse(&mut self, no: StepNo, failure: Failure) {
        let on_reject = self
            .step(no)
            .approval
            .as_ref()
            .map_or(OnReject::Stop, |c| c.asked.on_reject);
        // Whoever refuses after a restore may have consented before it.
        let (status, failure) = self.as_far_as_known(no, StepStatus::Rejected, failure);
        if on_reject == OnReject::Skip && status == StepStatus::Rejected {
            self.close_consent(no);
            self.emit(Event::StepSkipped {
                step: no,
                reason: SkipReason::Rejected,
            });
        } else {
            self.end_step(no, status, failure.clone());
            self.stop(no, RunStatus::Rejected, failure);
        }
    }

    /// The failure path; what `on_failure` and `finally` do changes no status, and an item is its fan-out's to judge.
    fn stop(&mut self, no: StepNo, status: RunStatus, mut failure: Failure) {
        let is_item = self.step(no).item().is_some();
        if self.head().section != Section::Steps || is_item || self.head().stop.is_some() {
            return;
        }
        failure
            .step
            .get_or_insert_with(|| self.step(no).name.clone());
        self.emit(Event::RunStopping { status, failure });
    }

    /// An approval is used when its step has an outcome, and withdrawn when nothing was done on it.
    fn close_consent(&mut self, no: StepNo) {
        let Some(consent) = &self.step(no).approval else {
            return;
        };
        let state = match consent.state {
            ApprovalState::Pending => ApprovalState::Withdrawn,
            ApprovalState::Approved if consent.granted > 0 => ApprovalState::Used,
            ApprovalState::Approved => ApprovalState::Withdrawn,
            ApprovalState::Rejected
            | ApprovalState::Expired
            | ApprovalState::Withdrawn
            | ApprovalState::Used => return,
        };
        let reason = (state == ApprovalState::Withdrawn).then(|| self.why_withdrawn());
        self.emit(Event::ApprovalClosed {
            step: no,
            state,
            reason,
            asking: self.asking(no),
        });
    }

    fn why_withdrawn(&self) -> String {
        let stop = self.head().stop.as_ref();
        stop.map_or_else(
            || Code::Cancelled.as_str().to_owned(),
            |s| s.failure.code.clone(),
        )
    }
}
