//! `Wake`: a new run is taken up, and whatever is due is done.

use std::collections::BTreeMap;

use crate::code::Code;
use crate::definition::OnTimeout;
use crate::event::{ApprovalState, Event, Failure, RunStatus, Section, StepStatus};
use crate::facts::Rejection;
use crate::id::StepNo;
use crate::plan::{PlanStep, in_order};
use crate::principal::Principal;
use crate::run::draft::{Decided, Draft, failure};
use crate::run::scope::Fail;
use crate::run::state::{At, Step, Steps};
use crate::value::Value;

impl Draft<'_> {
    pub(super) fn wake(&mut self, in_hand: bool) -> Decided {
        if self.head().parked.is_some() {
            return Ok(());
        }
        if self.is_stale(in_hand) {
            return self.go_stale();
        }
        if self.head().started_at.is_none() {
            self.start()?;
        }
        if !self.head().timed_out && self.state.over_at() <= self.now {
            self.emit(Event::RunTimedOut);
        }
        self.do_what_is_due()?;
        self.advance()
    }

    fn is_stale(&self, in_hand: bool) -> bool {
        let head = self.head();
        let late = head.created.start_by.is_some_and(|by| by <= self.now);
        late && !in_hand && !head.touched && head.stop.is_none()
    }

    fn go_stale(&mut self) -> Decided {
        let who = self.head().created.requester.clone();
        let reason = Some("the run did not start within its start_within".to_owned());
        self.stop_for(&who, reason, Code::Stale)
    }

    pub(super) fn stop_for(
        &mut self,
        who: &Principal,
        reason: Option<String>,
        code: Code,
    ) -> Decided {
        let code = code.as_str().to_owned();
        self.emit(Event::CancelRequested {
            who: who.clone(),
            reason,
            code,
        });
        if self.head().started_at.is_none() {
            self.emit(Event::RunStarted {
                vars: BTreeMap::new(),
            });
            // Nothing was begun, unless it was after a backup.
            if self.head().restores > 0 {
                self.add_steps(Section::Steps);
            }
        }
        self.advance()
    }

    fn start(&mut self) -> Decided {
        let vars = self.vars();
        let (vars, failed) = match vars {
            Ok(vars) => (vars, None),
            Err(Fail::Rejected(rejection)) => return Err(rejection),
            Err(Fail::Failed(failure)) => (BTreeMap::new(), Some(failure)),
        };
        self.emit(Event::RunStarted { vars });
        self.add_steps(Section::Steps);
        if let Some(failure) = failed {
            self.emit(Event::RunStopping {
                status: RunStatus::Failed,
                failure,
            });
        }
        Ok(())
    }

    /// `vars` may use each other by the order of their names.
    fn vars(&mut self) -> Result<BTreeMap<String, Value>, Fail> {
        let mut vars = BTreeMap::new();
        for (name, tree) in &self.plan.vars {
            let rendered = self.render(tree, &self.run_scope().with_vars(&vars))?;
            let value = self.lasting_value(rendered.json, rendered.labels)?;
            vars.insert(name.clone(), value);
        }
        Ok(vars)
    }

    fn do_what_is_due(&mut self) -> Decided {
        self.expire_questions();
        let open: Vec<StepNo> = self.head().open.iter().copied().collect();
        for no in open {
            if self.is_full() {
                break;
            }
            self.do_if_due(no)?;
        }
        Ok(())
    }

    fn do_if_due(&mut self, no: StepNo) -> Decided {
        let step = self.step(no);
        match step.at {
            At::Wait { until } if until <= self.now => {
                self.succeed(no, None);
                Ok(())
            }
            At::Retry { at } if at <= self.now => {
                self.dispatch(no);
                Ok(())
            }
            At::Settlement { at } if at <= self.now => self.settle(no),
            At::Approval if expired(step, self.now) => self.expire(no),
            At::Wait { .. }
            | At::Retry { .. }
            | At::Settlement { .. }
            | At::Approval
            | At::Nothing
            | At::Prepared
            | At::Dispatched { .. }
            | At::Granted { .. }
            | At::Doubt
            | At::Items => Ok(()),
        }
    }

    fn expire(&mut self, no: StepNo) -> Decided {
        let on_timeout = self
            .step(no)
            .approval
            .as_ref()
            .map_or(OnTimeout::Reject, |c| c.asked.on_timeout);
        self.emit(Event::ApprovalClosed {
            step: no,
            state: ApprovalState::Expired,
            reason: None,
            asking: self.asking(no),
        });
        let message = "nobody decided before the approval expired";
        let expired: Failure = failure(Code::ApprovalExpired, message);
        match on_timeout {
            OnTimeout::Fail => self.fail(no, StepStatus::Failed, expired),
            OnTimeout::Reject => self.refuse(no, expired),
        }
        Ok(())
    }

    /// Adds all steps of a section, each behind those that it needs.
    pub(super) fn add_steps(&mut self, section: Section) {
        let base = u32::try_from(self.state.steps.count()).expect("bounded by 10,000 steps");
        let steps = self.plan.section(section);
        let order = in_order(steps);
        let mut numbers = vec![StepNo(base); steps.len()];
        for (number, place) in (base..).zip(&order) {
            numbers[*place] = StepNo(number);
        }
        for place in order {
            let PlanStep { step, needs, .. } = &steps[place];
            let origin = crate::event::Origin::Written {
                section,
                index: u32::try_from(place).expect("bounded by 1,000 steps"),
                needs: needs.iter().map(|need| numbers[*need as usize]).collect(),
            };
            self.emit(Event::StepAdded {
                step: numbers[place],
                name: step.id.clone(),
                origin,
            });
        }
    }
}

fn expired(step: &Step, now: crate::time::Timestamp) -> bool {
    step.approval
        .as_ref()
        .is_some_and(|c| c.asked.expires_at <= now)
}

impl From<Rejection> for Fail {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Failure> for Fail {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}
