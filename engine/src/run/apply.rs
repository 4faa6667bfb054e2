//! The fold: what each event makes of a state. Total, so that replay cannot fail; takes no facts.
//!
//! What a released event does here never changes: a fix is a new event.

use std::sync::Arc;

use crate::event::{ApprovalState, Event, Failure, Origin, SkipReason, StepStatus};
use crate::id::StepNo;
use crate::principal::Permission;
use crate::run::state::{At, Consent, End, FanOut, State, Step, Steps};
use crate::time::Timestamp;
use crate::value::Value;

impl<S: Steps> State<S> {
    /// Makes `event`, decided at `at`, part of the state. An event about a step that does not exist changes nothing.
    #[expect(
        clippy::too_many_lines,
        reason = "a table: each event, and the one call that it makes"
    )]
    pub(crate) fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::RunCreated(_) => {}
            Event::RunStarted { vars } => self.started(vars, at),
            Event::StepAdded { step, name, origin } => self.added(*step, name, origin),
            Event::StepSkipped { step, reason } => self.skipped(*step, *reason, at),
            Event::WaitStarted { step, until } => self.begin(*step, at, At::Wait { until: *until }),
            Event::FanOutOpened {
                step,
                items,
                keys,
                max_failed,
            } => {
                self.opened(*step, items, keys, *max_failed, at);
            }
            Event::StepPrepared { step, call } => {
                self.begin(*step, at, At::Prepared);
                self.on(*step, |s| s.call = Some(Arc::new((**call).clone())));
            }
            Event::ApprovalRequested(asked) => self.asked(asked, at),
            Event::ApprovalDecided { step, decision } => self.on_consent(*step, |c| {
                c.decisions.push((decision.clone(), at));
            }),
            Event::ApprovalClosed { step, state, .. } => self.consent_closed(*step, *state),
            Event::AttemptDispatched { step, attempt } => {
                self.dispatched(*step, *attempt, false, at)
            }
            Event::AttemptGranted {
                step,
                attempt,
                nonce,
                start_by,
                worker,
            } => {
                let granted = At::Granted {
                    attempt: *attempt,
                    nonce: *nonce,
                    start_by: *start_by,
                    at,
                };
                self.granted(*step, *nonce, granted, worker);
            }
            Event::AttemptNotCalled { step, attempt } => self.not_called(*step, *attempt, at),
            Event::AttemptLost {
                step,
                attempt,
                counts,
            } => self.lost(*step, *attempt, *counts, at),
            Event::AttemptFailed {
                step,
                attempt,
                failure,
            } => self.attempt_failed(*step, *attempt, failure, at),
            Event::RetryScheduled { step, at: when } => self.retries_at(*step, *when),
            Event::SettlementScheduled {
                step,
                at: when,
                early,
            } => self.unsettled(*step, *when, *early, at),
            Event::LookUpDispatched { step, attempt } => self.dispatched(*step, *attempt, true, at),
            Event::StepInDoubt { step, .. } => self.doubted(*step),
            Event::StepResolved { step, .. } => self.resolved(*step),
            Event::StepSucceeded { step, output } => self.succeeded(*step, output.as_ref(), at),
            Event::StepEnded {
                step,
                status,
                failure,
            } => self.ended(*step, *status, failure, at),
            Event::CancelRequested { code, reason, .. } => self.cancelled(code, reason.as_deref()),
            Event::RunTimedOut => self.timed_out(),
            Event::RunStopping { status, failure } => self.stopping(*status, failure.clone()),
            Event::SectionEntered { section } => self.entered(*section),
            Event::RunEnded {
                status,
                outputs,
                failure,
            } => {
                let end = End {
                    status: *status,
                    outputs: outputs.clone(),
                    failure: failure.clone(),
                };
                self.run_ended(end, at);
            }
            Event::RunParked { failure } => self.head.parked = Some(failure.clone()),
            Event::RunResumed { .. } => self.head.parked = None,
            Event::RunRestored { failure } => self.restored(failure, at),
            Event::QuestionAsked(asked) => self.asked_people(asked, at),
            Event::QuestionClosed { .. } => self.question_closed(event, at),
        }
    }

    pub(super) fn on(&mut self, step: StepNo, change: impl FnOnce(&mut Step)) {
        if let Some(step) = self.steps.get_mut(step) {
            change(step);
        }
    }

    pub(super) fn on_consent(&mut self, step: StepNo, change: impl FnOnce(&mut Consent)) {
        self.on(step, |s| {
            if let Some(consent) = &mut s.approval {
                change(consent);
            }
        });
    }

    fn started(&mut self, vars: &std::collections::BTreeMap<String, Value>, at: Timestamp) {
        self.head.started_at = Some(at);
        self.head.vars = Arc::new(vars.clone());
    }

    fn added(&mut self, no: StepNo, name: &str, origin: &Origin) {
        let mut step = Step::new(no, name, origin);
        match origin {
            Origin::Written { needs, .. } => {
                Arc::make_mut(&mut self.head.names).insert(name.to_owned(), no);
                for need in needs {
                    self.on(*need, |n| {
                        if !n.status.is_end() {
                            n.dependents.push(no);
                            step.unmet += 1;
                        }
                    });
                }
                self.head.left += 1;
            }
            Origin::Item { of, .. } => self.on(*of, |s| {
                if let Some(fan) = &mut s.fan_out {
                    fan.steps.push(no);
                    fan.running += 1;
                }
            }),
        }
        if step.unmet == 0 {
            self.head.ready.insert(no);
        }
        self.head.counts.total += 1;
        self.steps.push(step);
    }

    /// The step was taken up: it is no longer among those that nobody has looked at.
    fn begin(&mut self, step: StepNo, now: Timestamp, at: At) {
        self.head.ready.remove(&step);
        self.head.open.insert(step);
        self.head.touched |= matches!(at, At::Wait { .. } | At::Approval);
        let waits = matches!(at, At::Wait { .. } | At::Approval);
        self.on(step, |s| {
            s.at = at;
            s.status = if waits {
                StepStatus::Waiting
            } else {
                StepStatus::Running
            };
            s.started_at.get_or_insert(now);
        });
    }

    fn opened(
        &mut self,
        step: StepNo,
        items: &Value,
        keys: &[String],
        max_failed: u32,
        at: Timestamp,
    ) {
        self.begin(step, at, At::Items);
        let keys: Arc<[String]> = keys.into();
        let fan = FanOut {
            items: items.clone(),
            keys,
            max_failed,
            steps: Vec::new(),
            running: 0,
            failed: 0,
        };
        self.on(step, |s| s.fan_out = Some(Box::new(fan)));
    }

    fn asked(&mut self, asked: &crate::event::ApprovalRequested, at: Timestamp) {
        self.begin(asked.step, at, At::Approval);
        let consent = Consent {
            asked: asked.clone(),
            at,
            state: ApprovalState::Pending,
            decisions: Vec::new(),
            granted: 0,
        };
        self.on(asked.step, |s| s.approval = Some(Box::new(consent)));
    }

    fn consent_closed(&mut self, step: StepNo, state: ApprovalState) {
        self.on_consent(step, |c| c.state = state);
        if state == ApprovalState::Approved {
            self.on(step, |s| {
                s.at = if s.fan_out.is_some() {
                    At::Items
                } else {
                    At::Prepared
                };
                s.status = StepStatus::Running;
            });
        }
    }

    fn retries_at(&mut self, step: StepNo, at: Timestamp) {
        self.on(step, |s| s.at = At::Retry { at });
    }

    fn doubted(&mut self, step: StepNo) {
        self.on(step, |s| {
            (s.status, s.at) = (StepStatus::InDoubt, At::Doubt)
        });
    }

    fn resolved(&mut self, step: StepNo) {
        let restores = self.head.restores;
        self.on(step, |s| {
            s.status = StepStatus::Running;
            s.at = At::Prepared;
            s.unknown_since = None;
            (s.lost, s.vague_lookups) = (0, 0);
            s.sure_after = restores;
        });
    }

    fn succeeded(&mut self, step: StepNo, output: Option<&Value>, at: Timestamp) {
        self.head.touched = true;
        self.head.counts.succeeded += 1;
        self.on(step, |s| s.output = output.cloned());
        self.close(step, StepStatus::Succeeded, at);
    }

    fn skipped(&mut self, step: StepNo, reason: SkipReason, at: Timestamp) {
        self.head.counts.skipped += 1;
        self.on(step, |s| s.skipped = Some(reason));
        self.close(step, StepStatus::Skipped, at);
    }

    fn ended(&mut self, step: StepNo, status: StepStatus, failure: &Failure, at: Timestamp) {
        self.head.touched = true;
        self.head.counts.failed += 1;
        self.on(step, |s| s.failure = Some(failure.clone()));
        self.close(step, status, at);
    }

    /// The step has its outcome: whoever waited for it waits for one less.
    fn close(&mut self, step: StepNo, status: StepStatus, at: Timestamp) {
        self.head.ready.remove(&step);
        self.head.open.remove(&step);
        let mut dependents = Vec::new();
        let mut item_of = None;
        self.on(step, |s| {
            s.status = status;
            s.at = At::Nothing;
            s.ended_at = Some(at);
            if let Some(last) = s.attempts.last_mut() {
                last.ended_at.get_or_insert(at);
            }
            dependents = std::mem::take(&mut s.dependents);
            item_of = s.item();
        });
        match item_of {
            Some((of, _)) => self.item_closed(of, status),
            None => self.head.left = self.head.left.saturating_sub(1),
        }
        for dependent in dependents {
            self.need_met(dependent);
        }
    }

    fn item_closed(&mut self, of: StepNo, status: StepStatus) {
        self.on(of, |s| {
            if let Some(fan) = &mut s.fan_out {
                fan.running = fan.running.saturating_sub(1);
                fan.failed += u32::from(!matches!(
                    status,
                    StepStatus::Succeeded | StepStatus::Skipped
                ));
            }
        });
    }

    fn need_met(&mut self, step: StepNo) {
        let mut is_ready = false;
        self.on(step, |s| {
            s.unmet = s.unmet.saturating_sub(1);
            is_ready = s.unmet == 0 && s.status == StepStatus::Pending;
        });
        if is_ready {
            self.head.ready.insert(step);
        }
    }

    /// Whether a step changes a system.
    pub(crate) fn changes(&self, step: &Step) -> bool {
        self.action(step)
            .is_some_and(|a| a.permission > Permission::Read)
    }
}
