//! Takes a run as far as it goes by itself: ready steps begin, fan-outs go on, sections follow each other, the end.

use std::collections::BTreeMap;

use crate::code::Code;
use crate::definition::StepKind;
use crate::event::{Event, Failure, RunStatus, Section, SkipReason, StepStatus};
use crate::id::StepNo;
use crate::run::draft::{Decided, Draft, failure};
use crate::run::scope::Fail;
use crate::run::state::{At, Step};
use crate::value::Value;

impl Draft<'_> {
    pub(super) fn advance(&mut self) -> Decided {
        loop {
            let head = self.head();
            if head.end.is_some()
                || head.parked.is_some()
                || head.started_at.is_none()
                || self.is_full()
            {
                return Ok(());
            }
            if head.halted {
                self.halt_open_steps();
            } else if head.timed_out {
                self.end_doubts();
            }
            self.tend_fan_outs()?;
            let Some(no) = self.head().ready.first().copied() else {
                if self.head().left > 0 {
                    return Ok(());
                }
                self.leave_section()?;
                continue;
            };
            self.begin_step(no)?;
        }
    }

    fn begin_step(&mut self, no: StepNo) -> Decided {
        if self.head().halted && !crate::planted!("forward_after_cancel") {
            self.pass_over(no);
            return Ok(());
        }
        match self.try_to_begin(no) {
            Ok(()) => Ok(()),
            Err(Fail::Rejected(rejection)) => Err(rejection),
            Err(Fail::Failed(failure)) => {
                self.fail(no, StepStatus::Failed, failure);
                Ok(())
            }
        }
    }

    fn try_to_begin(&mut self, no: StepNo) -> Result<(), Fail> {
        self.renew_budget();
        if self.step(no).item().is_some() {
            return self.begin_item(no);
        }
        if !self.needs_are_met(no) {
            self.emit(Event::StepSkipped {
                step: no,
                reason: SkipReason::Need,
            });
            return Ok(());
        }
        let written = self.written(no);
        let scope = self.step_scope(no);
        if let Some(condition) = &written.condition
            && !self.is_true(condition, &scope)?
        {
            self.emit(Event::StepSkipped {
                step: no,
                reason: SkipReason::Condition,
            });
            return Ok(());
        }
        if written.items.is_some() {
            return self.open_fan_out(no);
        }
        match &written.step.kind {
            StepKind::Uses { .. } => self.prepare(no),
            StepKind::Wait { .. } => self.begin_wait(no),
            StepKind::Assert { .. } => self.assert(no),
        }
    }

    /// Each need succeeded, was skipped by its own `if`, or may fail.
    fn needs_are_met(&self, no: StepNo) -> bool {
        let step = self.step(no);
        let crate::event::Origin::Written { needs, .. } = &step.origin else {
            return true;
        };
        needs
            .iter()
            .all(|need| self.lets_others_run(self.step(*need)))
    }

    fn lets_others_run(&self, need: &Step) -> bool {
        match need.status {
            StepStatus::Succeeded => true,
            StepStatus::Skipped => need.skipped == Some(SkipReason::Condition),
            StepStatus::Failed | StepStatus::TimedOut => {
                self.written(need.no).step.continue_on_error
            }
            StepStatus::Pending
            | StepStatus::Running
            | StepStatus::Waiting
            | StepStatus::Rejected
            | StepStatus::Cancelled
            | StepStatus::InDoubt => false,
        }
    }

    /// What a halt does to a step that was begun: READ is cut, a granted call is waited for, the rest is over.
    fn halt_open_steps(&mut self) {
        if self.head().restores > 0 {
            self.stop_restored();
        }
        // Items stand behind their fan-out: the last first, so that a fan-out is looked at when its items have ended.
        let open: Vec<StepNo> = self.head().open.iter().rev().copied().collect();
        for no in open {
            if self.is_full() {
                return;
            }
            if self.ends_at_once(no) {
                let message = "the run was stopped before this step was done";
                self.end_step(no, StepStatus::Cancelled, failure(Code::Cancelled, message));
            }
        }
    }

    fn ends_at_once(&mut self, no: StepNo) -> bool {
        let step = self.step(no);
        match &step.at {
            At::Retry { .. } => !crate::planted!("tried_again_after_cancel"),
            At::Wait { .. } | At::Prepared | At::Approval => true,
            At::Dispatched { look_up, .. } => !look_up,
            At::Items => step.fan_out.as_ref().is_none_or(|f| f.running == 0),
            At::Doubt => {
                self.end_doubt(no);
                false
            }
            At::Nothing | At::Granted { .. } | At::Settlement { .. } => false,
        }
    }

    /// What is in doubt in a handler when the run's time is over.
    fn end_doubts(&mut self) {
        let open: Vec<StepNo> = self.head().open.iter().rev().copied().collect();
        for no in open {
            if self.step(no).at == At::Doubt {
                self.end_doubt(no);
            }
        }
    }

    /// Cancel or the run's time-out make an open doubt final; on a failure the person may still settle it.
    fn end_doubt(&mut self, no: StepNo) {
        if self.head().cancelled || self.head().timed_out {
            let message = "the run was stopped while it was not known whether the change was made";
            self.end_step(no, StepStatus::InDoubt, failure(Code::InDoubt, message));
        }
    }

    fn leave_section(&mut self) -> Decided {
        let failed = self.head().stop.is_some() && !self.head().cancelled;
        let next = match self.head().section {
            Section::Steps if failed && !self.plan.on_failure.is_empty() => {
                Some(Section::OnFailure)
            }
            Section::Steps | Section::OnFailure if !self.plan.finally.is_empty() => {
                Some(Section::Finally)
            }
            Section::Steps | Section::OnFailure | Section::Finally => None,
        };
        let Some(section) = next else {
            return self.end();
        };
        self.emit(Event::SectionEntered { section });
        self.add_steps(section);
        Ok(())
    }

    fn end(&mut self) -> Decided {
        if let Some(stop) = self.head().stop.clone() {
            let (status, failure) = (stop.status, Some(stop.failure));
            self.emit(Event::RunEnded {
                status,
                outputs: BTreeMap::new(),
                failure,
            });
            return Ok(());
        }
        match self.outputs() {
            Ok(outputs) => {
                self.emit(Event::RunEnded {
                    status: RunStatus::Succeeded,
                    outputs,
                    failure: None,
                });
                Ok(())
            }
            Err(Fail::Rejected(rejection)) => Err(rejection),
            Err(Fail::Failed(failure)) => {
                self.give_up(failure);
                Ok(())
            }
        }
    }

    fn outputs(&mut self) -> Result<BTreeMap<String, Value>, Fail> {
        self.renew_budget();
        let mut outputs = BTreeMap::new();
        for (name, tree) in &self.plan.outputs {
            let rendered = self.render(tree, &self.run_scope())?;
            let value = self.value(&rendered.json, rendered.labels)?;
            outputs.insert(name.clone(), value);
        }
        Ok(outputs)
    }

    /// The run ends here and now, and with it what is open, as far as a record has room for that.
    pub(super) fn give_up(&mut self, why: Failure) {
        let open: Vec<StepNo> = self.head().open.iter().rev().copied().collect();
        for no in open {
            if self.is_full() {
                break;
            }
            let is_granted = matches!(self.step(no).at, At::Granted { .. });
            let status = if is_granted {
                StepStatus::InDoubt
            } else {
                StepStatus::Cancelled
            };
            self.end_step(no, status, why.clone());
        }
        let (status, failure) = (RunStatus::Failed, Some(why));
        self.emit(Event::RunEnded {
            status,
            outputs: BTreeMap::new(),
            failure,
        });
    }
}
