use std::collections::{BTreeMap, BTreeSet};

use engine::approval::Approval;
use engine::event::{ApprovalState, Event};
use engine::id::{Nonce, StepNo};
use engine::job::{AttemptKey, Job, JobKind};
use engine::principal::{Permission, Principal, Role};
use engine::record::Record;
use engine::run::{Consent, Run};

use super::{Invariant, must};
use crate::judge::{Known, Moment};

/// Every granted call had, at its grant, a live principal with the right and an approval of exactly these bytes.
#[derive(Clone, Default)]
pub(crate) struct Authority {
    /// How many moments there were: clocks are set back.
    moments: u64,
    roles: BTreeMap<Principal, Vec<(u64, Option<Role>)>>,
    asked: BTreeMap<(AttemptKey, Nonce), u64>,
    granted: BTreeSet<AttemptKey>,
}

impl Invariant for Authority {
    fn name(&self) -> &'static str {
        "authority"
    }

    fn see(&mut self, moment: &Moment<'_>, known: &Known) -> Result<(), String> {
        self.moments += 1;
        match moment {
            Moment::Role { who, role } => {
                self.roles
                    .entry((*who).clone())
                    .or_default()
                    .push((self.moments, *role));
                Ok(())
            }
            Moment::Asked { attempt, nonce } => {
                self.asked
                    .entry(((*attempt).clone(), *nonce))
                    .or_insert(self.moments);
                Ok(())
            }
            Moment::Appended {
                run,
                before: Some(before),
                record,
                events,
            } => events
                .iter()
                .try_for_each(|event| self.check(&run.run, before, record, event)),
            Moment::Called { job, params, .. } => called(job, params, known),
            _ => Ok(()),
        }
    }
}

impl Authority {
    fn check(
        &mut self,
        run: &Run,
        before: &Run,
        record: &Record,
        event: &Event,
    ) -> Result<(), String> {
        if let Event::ApprovalClosed {
            step,
            state: ApprovalState::Approved,
            ..
        } = event
        {
            return agreed(run, *step);
        }
        let Event::AttemptGranted {
            step,
            attempt,
            nonce,
            ..
        } = event
        else {
            return Ok(());
        };
        let (key, step, attempt) = (record.key.clone(), *step, *attempt);
        let attempt = AttemptKey { key, step, attempt };
        must(self.granted.insert(attempt.clone()), || {
            format!("{attempt:?} was granted twice: its approval is used twice")
        })?;
        // Rights are looked up after the worker has asked: who lost one before that may not be counted.
        let asked = self.asked.get(&(attempt.clone(), *nonce));
        let asked =
            *asked.ok_or_else(|| format!("{attempt:?} was granted, and nobody had asked"))?;
        let has = |who: &Principal, may: &dyn Fn(Role) -> bool| self.had(who, asked, may);
        let requester = &run.state().head.created.requester;
        must(has(requester, &|_| true), || {
            format!("{attempt:?}: {requester} is out")
        })?;
        let (permission, consent) = consent_of(before, step)
            .ok_or_else(|| format!("{attempt:?} was granted without an approval"))?;
        must(consent.state == ApprovalState::Approved, || {
            format!(
                "{attempt:?} was granted on an approval that is {:?}",
                consent.state
            )
        })?;
        let by = &consent.asked.by;
        let may = |role: Role| {
            role.may_approve(permission) && (by.is_empty() || by.iter().any(|r| role >= *r))
        };
        let mut standing: Vec<&Principal> =
            consent.approvers().filter(|who| has(who, &may)).collect();
        standing.sort();
        standing.dedup();
        must(standing.len() >= consent.asked.quorum as usize, || {
            format!(
                "{attempt:?}: only {standing:?} of {} consent",
                consent.asked.quorum
            )
        })?;
        let digest = consent.asked.bytes.digest;
        must(
            consent.decisions.iter().all(|(d, _)| d.digest == digest),
            || format!("{attempt:?}: somebody consented to other bytes"),
        )
    }

    /// Whether somebody had such a role at some time since then.
    fn had(&self, who: &Principal, from: u64, may: &dyn Fn(Role) -> bool) -> bool {
        let history = self.roles.get(who).map_or(&[][..], Vec::as_slice);
        let before = history.iter().rfind(|(at, _)| *at <= from);
        let during = history.iter().filter(|(at, _)| *at > from);
        before
            .into_iter()
            .chain(during)
            .any(|(_, role)| role.is_some_and(may))
    }
}

/// So many different people have agreed.
fn agreed(run: &Run, step: StepNo) -> Result<(), String> {
    let consent = run.state().steps[step.index()].approval.as_deref();
    let consent = consent.ok_or("an approval was closed that nobody asked for")?;
    let people: BTreeSet<_> = consent.approvers().collect();
    must(people.len() >= consent.asked.quorum as usize, || {
        format!(
            "{} step {}: {people:?} are not the {} who must agree",
            run.key().run,
            step.0,
            consent.asked.quorum
        )
    })
}

fn consent_of(run: &Run, step: StepNo) -> Option<(Permission, &Consent)> {
    let state = run.state();
    let step = &state.steps[step.index()];
    let permission = state.action(step)?.permission;
    let (_, consent) = state.consent(step)?;
    Some((permission, consent))
}

/// What is sent is what was consented to.
fn called(job: &Job, params: &[u8], known: &Known) -> Result<(), String> {
    if job.action.permission == Permission::Read || job.kind == JobKind::LookUp {
        return Ok(());
    }
    let attempt = job.attempt_key();
    let run = known.runs.get(&job.key).ok_or("a job of no run")?;
    let (_, consent) = consent_of(&run.run, job.step).ok_or("a call without an approval")?;
    let bytes = consent
        .asked
        .bytes
        .inline
        .as_ref()
        .ok_or("approvals here are small")?;
    let approval = Approval::read(bytes).ok_or("an approval that cannot be read")?;
    let item = run.run.state().steps[job.step.index()]
        .item()
        .map_or(0, |(_, index)| index);
    let approved = approval
        .calls
        .get(item as usize)
        .map(|call| call.params.as_bytes());
    must(approved == Some(params), || {
        format!(
            "{attempt:?} is called with {}, which nobody consented to",
            String::from_utf8_lossy(params)
        )
    })
}
