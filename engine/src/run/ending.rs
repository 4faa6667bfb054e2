//! The part of the fold that is about how a run stops, and ends.

use crate::code::Code;
use crate::event::{Failure, RunStatus, Section};
use crate::run::state::{End, State, Steps, Stop};
use crate::time::Timestamp;

impl<S: Steps> State<S> {
    pub(super) fn cancelled(&mut self, code: &str, reason: Option<&str>) {
        let failure = Failure {
            code: code.to_owned(),
            message: reason.unwrap_or("the run was cancelled").to_owned(),
            retryable: false,
            not_made: false,
            step: None,
        };
        self.head.cancelled = true;
        self.stopping(RunStatus::Cancelled, failure);
        self.head.parked = None;
    }

    pub(super) fn stopping(&mut self, status: RunStatus, failure: Failure) {
        self.head.stop.get_or_insert(Stop { status, failure });
        self.head.halted = true;
    }

    pub(super) fn timed_out(&mut self) {
        let planted = crate::planted!("fuzz_journal");
        assert!(!(planted && self.head.cancelled), "planted: journal");
        let failure = Failure {
            code: Code::Timeout.as_str().to_owned(),
            message: "the run took longer than its timeout".to_owned(),
            retryable: false,
            not_made: false,
            step: None,
        };
        self.head.timed_out = true;
        // The handlers of a run that was stopped before are done in every case; their steps have time-outs of their own.
        if self.head.stop.is_none() || self.head.section == Section::Steps {
            self.stopping(RunStatus::TimedOut, failure);
        }
    }

    pub(super) fn entered(&mut self, section: Section) {
        self.head.section = section;
        self.head.halted = false;
        self.head.left = 0;
    }

    pub(super) fn run_ended(&mut self, end: End, at: Timestamp) {
        self.head.end = Some(end);
        self.head.ended_at = Some(at);
        self.head.parked = None;
        self.head.ready.clear();
        self.head.open.clear();
    }
}
