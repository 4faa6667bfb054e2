use std::collections::{BTreeMap, BTreeSet};

use engine::event::{ApprovalState, Event, QuestionAsked};
use engine::id::{RunKey, StepNo};
use engine::job::AttemptKey;
use engine::principal::{Permission, Principal, Role};
use engine::record::Record;
use engine::run::{At, Run};

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// Only who executes a step asks people about it; a question stands no longer than the attempt that asks; who decides it
/// holds the right; and what an agent is told is what the journal says.
#[derive(Clone, Default)]
pub(crate) struct Questions {
    moments: u64,
    roles: BTreeMap<Principal, Vec<(u64, Option<Role>)>>,
    asked: BTreeMap<(RunKey, StepNo, u32), u64>,
    granted: BTreeSet<AttemptKey>,
}

impl Invariant for Questions {
    fn name(&self) -> &'static str {
        "questions"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        self.moments += 1;
        match moment {
            Moment::Role { who, role } => {
                let history = self.roles.entry((*who).clone()).or_default();
                history.push((self.moments, *role));
                Ok(())
            }
            Moment::Appended {
                run,
                record,
                events,
                ..
            } => {
                for event in *events {
                    self.check(&run.run, record, event)?;
                }
                stands(&run.run)
            }
            Moment::Told {
                attempt,
                said,
                state,
            } => {
                let run = known.runs.get(&attempt.key).ok_or("a question of no run")?;
                let step = &run.run.state().steps[attempt.step.index()];
                let same = step.questions.iter().filter(|q| q.asked.said == *said);
                let mut states = same.map(|q| q.state);
                let told_early = *state == ApprovalState::Pending;
                must(told_early || states.any(|s| s == *state), || {
                    format!("{attempt:?} was told {state:?}, which its journal does not say")
                })
            }
            _ => Ok(()),
        }
    }
}

impl Questions {
    fn check(&mut self, run: &Run, record: &Record, event: &Event) -> Result<(), String> {
        match event {
            Event::AttemptGranted { step, attempt, .. } => {
                let (key, step, attempt) = (record.key.clone(), *step, *attempt);
                self.granted.insert(AttemptKey { key, step, attempt });
                Ok(())
            }
            Event::QuestionAsked(asked) => self.executes(run, record, asked),
            Event::QuestionClosed {
                step,
                asking,
                state: ApprovalState::Approved | ApprovalState::Rejected,
                decision,
                ..
            } => {
                let place = (record.key.clone(), *step, *asking);
                let since = *self.asked.get(&place).ok_or("an answer to no question")?;
                let question = run.state().steps[step.index()].question(*asking);
                let question = question.ok_or("an answer to no question")?;
                let decision = decision.as_ref().ok_or("an answer of nobody")?;
                let digest = question.asked.bytes.digest;
                must(decision.digest == digest, || {
                    format!("{place:?}: {} decided about other bytes", decision.who)
                })?;
                let may = |role: Role| role.may_approve(question.asked.permission);
                must(self.had(&decision.who, since, &may), || {
                    format!("{place:?}: {} may not decide", decision.who)
                })
            }
            _ => Ok(()),
        }
    }

    fn executes(
        &mut self,
        run: &Run,
        record: &Record,
        asked: &QuestionAsked,
    ) -> Result<(), String> {
        let (key, step, attempt) = (record.key.clone(), asked.step, asked.attempt);
        let place = (key.clone(), step, asked.asking);
        self.asked.insert(place, self.moments);
        let state = run.state();
        let action = state.action(&state.steps[step.index()]);
        let reads = action.is_some_and(|a| a.permission == Permission::Read);
        let attempt = AttemptKey { key, step, attempt };
        must(reads || self.granted.contains(&attempt), || {
            format!("{attempt:?} asks people, and was not granted its call")
        })
    }

    /// Whether somebody had such a role at some time since then.
    fn had(&self, who: &Principal, from: u64, may: &dyn Fn(Role) -> bool) -> bool {
        let history = self.roles.get(who).map_or(&[][..], Vec::as_slice);
        let before = history.iter().rfind(|(at, _)| *at <= from);
        let during = history.iter().filter(|(at, _)| *at > from);
        let mut all = before.into_iter().chain(during);
        all.any(|(_, role)| role.is_some_and(may))
    }
}

/// Whoever asks is still there to hear the answer.
fn stands(run: &Run) -> Result<(), String> {
    let state = run.state();
    for (no, asking) in &state.head.questions {
        let step = &state.steps[no.index()];
        let question = step
            .question(*asking)
            .ok_or("a question that is not there")?;
        let current = match step.at {
            At::Dispatched { attempt, .. } | At::Granted { attempt, .. } => Some(attempt),
            _ => None,
        };
        must(current == Some(question.asked.attempt), || {
            format!(
                "{} step {}: attempt {} asks, and {current:?} is the current one",
                run.key().run,
                no.0,
                question.asked.attempt.0
            )
        })?;
        must(!state.head.halted && state.head.end.is_none(), || {
            format!("{}: a run that stops still asks people", run.key().run)
        })?;
    }
    Ok(())
}
