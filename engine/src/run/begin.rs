//! `Begin`: may this attempt make its call now? The intent is recorded before the answer.

use std::collections::BTreeSet;

use crate::code::Code;
use crate::duration::Duration;
use crate::event::{ApprovalState, Event, StepStatus};
use crate::facts::{Missing, Rejection};
use crate::id::{Attempt, Nonce, StepNo};
use crate::principal::{Permission, Principal, Role};
use crate::run::draft::{Decided, Draft, failure};
use crate::run::state::{At, Consent, Steps};

/// A granted call must have begun by then: long enough for a worker that is busy, short enough for a crash to be
/// settled soon.
pub(super) const START_WITHIN: Duration = Duration::from_secs(30);

impl Draft<'_> {
    pub(super) fn begin(
        &mut self,
        no: StepNo,
        attempt: Attempt,
        nonce: Nonce,
        worker: &str,
    ) -> Decided {
        let Some(step) = self.state.steps.get(no) else {
            return Err(Rejection::Stale);
        };
        match step.at {
            // The answer was lost, and the same worker asks again: the grant stands.
            At::Granted {
                attempt: a,
                nonce: n,
                ..
            } if a == attempt && n == nonce => return Ok(()),
            At::Dispatched {
                attempt: a,
                look_up: false,
            } if a == attempt => {}
            At::Granted { attempt: a, .. }
                if a == attempt && crate::planted!("approval_used_twice") => {}
            At::Granted { .. }
            | At::Dispatched { .. }
            | At::Nothing
            | At::Wait { .. }
            | At::Prepared
            | At::Approval
            | At::Retry { .. }
            | At::Settlement { .. }
            | At::Doubt
            | At::Items => {
                return Err(Rejection::Stale);
            }
        }
        if self.head().parked.is_some() || self.head().halted {
            return Err(Rejection::Stale);
        }
        if let Some(why) = self.why_not(no)? {
            self.fail(no, StepStatus::Failed, failure(Code::RightsWithdrawn, why));
            return self.advance();
        }
        let start_by = self.now.plus(START_WITHIN);
        self.emit(Event::AttemptGranted {
            step: no,
            attempt,
            nonce,
            start_by,
            worker: worker.to_owned(),
        });
        Ok(())
    }

    /// Rights are live: they can only forbid more than at the start.
    fn why_not(&self, no: StepNo) -> Decided<Option<String>> {
        let step = self.step(no);
        let permission = self
            .state
            .action(step)
            .map_or(Permission::Admin, |a| a.permission);
        let requester = &self.head().created.requester;
        if self
            .role(requester)?
            .is_none_or(|role| role < self.role_to_start(permission))
        {
            return Ok(Some(format!(
                "{requester}, who asked for this run, may not start it any more"
            )));
        }
        if permission == Permission::Read {
            return Ok(None);
        }
        let Some((_, consent)) = self.state.consent(step) else {
            return Ok(Some("nobody was asked for their consent".to_owned()));
        };
        if consent.state != ApprovalState::Approved {
            return Ok(Some("the approval does not stand any more".to_owned()));
        }
        let standing = self.standing_approvers(consent, permission)?;
        let quorum = consent.asked.quorum as usize;
        Ok((standing < quorum).then(|| {
            format!("{standing} of {quorum} approvers still hold the right to approve {permission}: ask again")
        }))
    }

    /// Anybody may start a saved workflow; an ad-hoc call needs the level of its action.
    fn role_to_start(&self, permission: Permission) -> Role {
        let is_adhoc = self.head().created.workflow.is_none();
        match permission {
            Permission::Modify if is_adhoc => Role::Engineer,
            Permission::Admin if is_adhoc => Role::Admin,
            Permission::Read | Permission::Modify | Permission::Admin => Role::Operator,
        }
    }

    fn standing_approvers(&self, consent: &Consent, permission: Permission) -> Decided<usize> {
        let mut standing = BTreeSet::new();
        for who in consent.approvers() {
            if self
                .role(who)?
                .is_some_and(|role| may_decide(consent, role, permission))
            {
                standing.insert(who);
            }
        }
        Ok(standing.len())
    }

    /// The present role of a principal, `None` when it is gone.
    pub(super) fn role(&self, who: &Principal) -> Decided<Option<Role>> {
        let standing = self.facts.standing.get(who);
        let standing =
            standing.ok_or_else(|| Rejection::missing(Missing::Standing(who.clone())))?;
        Ok(standing.role)
    }
}

/// Whether somebody with this role may decide: the right for the level, and an entry of `by` (that role or higher).
pub(super) fn may_decide(consent: &Consent, role: Role, permission: Permission) -> bool {
    let by = &consent.asked.by;
    role.may_approve(permission) && (by.is_empty() || by.iter().any(|entry| role >= *entry))
}
