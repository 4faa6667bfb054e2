//! Asking people: the bytes are made once, and each decision is held against the rules of this very asking.

use crate::approval::{Approval, ApprovedCall, BYTES_MAX, TYPE};
use crate::code::Code;
use crate::command::Command;
use crate::definition::{ApprovalRule, OnReject, OnTimeout};
use crate::digest::Digest;
use crate::duration::Duration;
use crate::event::{ApprovalRequested, ApprovalState, Call, Decision, Event, Failure};
use crate::facts::{Missing, Rejection};
use crate::id::{ApprovalId, StepNo};
use crate::principal::{Permission, Principal, Role};
use crate::run::begin::may_decide;
use crate::run::draft::{Decided, Draft, failure, limit};
use crate::run::scope::Fail;
use crate::run::state::{Consent, Question, State, Steps};
use crate::time::Timestamp;
use crate::value::{INLINE_BYTES_MAX, Labels, Made, Value};

/// How long the question stands when nothing is written about it.
const ASK_FOR: Duration = Duration::from_secs(24 * 3_600);

impl Draft<'_> {
    /// Asks for consent to a step and these calls of it.
    pub(super) fn ask(&mut self, no: StepNo, calls: &[(Option<String>, Call)]) -> Result<(), Fail> {
        let Some((_, first)) = calls.first() else {
            return Ok(());
        };
        let rule = self.rule(no);
        let expires_at = self.now.plus(rule.timeout);
        let approval = self.approval(no, first, calls, &rule, expires_at)?;
        let bytes = approval.bytes();
        if bytes.len() > BYTES_MAX {
            return Err(too_large().into());
        }
        let value = self.keep(made(bytes));
        self.emit(Event::ApprovalRequested(Box::new(ApprovalRequested {
            step: no,
            asking: approval.asking,
            bytes: value,
            permission: approval.permission,
            by: approval.by,
            quorum: approval.quorum,
            not_requester: approval.not_requester,
            expires_at,
            on_reject: rule.on_reject,
            on_timeout: rule.on_timeout,
        })));
        Ok(())
    }

    fn rule(&self, no: StepNo) -> ApprovalRule {
        let written = self.written(no).step.approval.clone();
        written.unwrap_or(ApprovalRule {
            by: Vec::new(),
            quorum: 1,
            timeout: ASK_FOR,
            on_reject: OnReject::default(),
            on_timeout: OnTimeout::default(),
        })
    }

    fn approval(
        &self,
        no: StepNo,
        first: &Call,
        calls: &[(Option<String>, Call)],
        rule: &ApprovalRule,
        expires_at: Timestamp,
    ) -> Decided<Approval> {
        let created = &self.head().created;
        let action = &created.actions[first.action as usize];
        let agent = &action.name.agent;
        let settings = self.facts.settings.get(agent);
        let settings =
            *settings.ok_or_else(|| Rejection::missing(Missing::Settings(agent.clone())))?;
        let calls = calls
            .iter()
            .map(|(key, call)| self.approved_call(key.clone(), call));
        Ok(Approval {
            kind: TYPE.to_owned(),
            tenant: self.head().key.tenant.clone(),
            run: self.head().key.run,
            step: self.step(no).name.clone(),
            asking: self.step(no).next_asking(),
            action: action.name.clone(),
            permission: action.permission,
            manifest: action.digest,
            calls: calls.collect::<Decided<_>>()?,
            timeout_ms: first.timeout_ms,
            settings,
            environment: None,
            compensate: None,
            workflow: created.workflow.clone(),
            definition: created.definition,
            requester: created.requester.clone(),
            by: rule.by.clone(),
            quorum: rule.quorum,
            not_requester: self.facts.not_requester,
            expires_at,
        })
    }

    fn approved_call(&self, key: Option<String>, call: &Call) -> Decided<ApprovedCall> {
        let params = String::from_utf8_lossy(&self.bytes_of(&call.params)?).into_owned();
        Ok(ApprovedCall {
            key,
            params,
            secrets: call.secrets.clone(),
            sources: call.sources.clone(),
            time_range: call.time_range,
        })
    }

    /// `Decide`: somebody consents or refuses.
    pub(super) fn decide_approval(&mut self, command: &Command) -> Decided {
        let Command::Decide {
            approval,
            digest,
            who,
            approve,
            comment,
            key_id,
            signature,
        } = command
        else {
            return Ok(());
        };
        if self.state.is_decided(command) && !crate::planted!("deduplicated_by_id_only") {
            return Ok(());
        }
        let no = approval.step;
        let decision = Decision {
            who: who.clone(),
            approve: *approve,
            comment: comment.clone(),
            digest: *digest,
            key_id: key_id.clone(),
            signature: signature.clone(),
        };
        if self.state.question(approval).is_some() {
            return self.answer(approval, decision);
        }
        let consent = self.asked_for(approval)?;
        let put = Put::of_consent(consent);
        let may = |role| may_decide(consent, role, put.permission);
        self.check_may(&put, &decision, may)?;
        self.emit(Event::ApprovalDecided { step: no, decision });
        if *approve {
            self.count_consent(no)?
        } else {
            self.rejected(no, who, comment.as_deref())
        }
        self.advance()
    }

    /// The number of the consent that the step waits for, or has.
    pub(super) fn asking(&self, no: StepNo) -> Option<u32> {
        self.step(no).approval.as_ref().map(|c| c.asked.asking)
    }

    fn asked_for(&self, id: &ApprovalId) -> Decided<&Consent> {
        let consent = self.state.asked_for(id);
        consent.ok_or_else(|| Rejection::refused(Code::NotFound, "the run has no such approval"))
    }

    /// Whether this decision about what was put to people counts now; `may` says which roles are asked.
    pub(super) fn check_may(
        &self,
        put: &Put,
        decision: &Decision,
        may: impl Fn(Role) -> bool,
    ) -> Decided {
        let who = &decision.who;
        let refused = |code, message: String| Err(Rejection::refused(code, message));
        if put.digest != decision.digest {
            let message = "the digest is not that of what is asked now: look at the approval again";
            return refused(Code::ApprovalChanged, message.to_owned());
        }
        if put.state != ApprovalState::Pending {
            let message = format!("the approval is {} already", state_name(put.state));
            return refused(Code::ApprovalClosed, message);
        }
        // The wake that closes it may be late; of a parked run there is none.
        if put.expires_at <= self.now {
            let message = format!("the approval has expired at {}", put.expires_at);
            return refused(Code::ApprovalClosed, message);
        }
        if !self.role(who)?.is_some_and(may) {
            let message = format!("{who} may not decide about a {} step here", put.permission);
            return refused(Code::ApprovalNotAllowed, message);
        }
        if decision.approve && put.not_requester && *who == self.head().created.requester {
            let message = format!("{who} asked for this run, and may not approve it");
            return refused(Code::ApprovalNotAllowed, message);
        }
        Ok(())
    }

    fn count_consent(&mut self, no: StepNo) -> Decided {
        let Some(consent) = self.step(no).approval.as_deref() else {
            return Ok(());
        };
        let agreed: std::collections::BTreeSet<_> = consent.approvers().collect();
        let agreed = if crate::planted!("deduplicated_by_id_only") {
            consent.approvers().count()
        } else {
            agreed.len()
        };
        if agreed < consent.asked.quorum as usize {
            return Ok(());
        }
        self.emit(Event::ApprovalClosed {
            step: no,
            state: ApprovalState::Approved,
            reason: None,
            asking: self.asking(no),
        });
        if self.step(no).fan_out.is_none() {
            self.dispatch(no);
        }
        Ok(())
    }

    fn rejected(&mut self, no: StepNo, who: &Principal, comment: Option<&str>) {
        self.emit(Event::ApprovalClosed {
            step: no,
            state: ApprovalState::Rejected,
            reason: None,
            asking: self.asking(no),
        });
        let why = comment.map(|c| format!(": {c}")).unwrap_or_default();
        self.refuse(
            no,
            failure(Code::Rejected, format!("{who} rejected it{why}")),
        );
    }
}

/// What was put to people, a consent or a question, as far as it says whose word counts.
pub(super) struct Put {
    digest: Digest,
    state: ApprovalState,
    pub(super) permission: Permission,
    not_requester: bool,
    expires_at: Timestamp,
}

impl Put {
    fn of_consent(Consent { asked, state, .. }: &Consent) -> Self {
        Self {
            digest: asked.bytes.digest,
            state: *state,
            permission: asked.permission,
            not_requester: asked.not_requester,
            expires_at: asked.expires_at,
        }
    }

    pub(super) fn of_question(Question { asked, state, .. }: &Question) -> Self {
        Self {
            digest: asked.bytes.digest,
            state: *state,
            permission: asked.permission,
            not_requester: asked.not_requester,
            expires_at: asked.expires_at,
        }
    }
}

impl<S: Steps> State<S> {
    fn asked_for(&self, id: &ApprovalId) -> Option<&Consent> {
        let consent = self.steps.get(id.step)?.approval.as_deref()?;
        (consent.asked.asking == id.asking && self.head.key.run == id.run).then_some(consent)
    }

    /// Whether somebody decides what they have decided already: that is so, also when the run has ended since.
    pub(super) fn is_decided(&self, command: &Command) -> bool {
        let Command::Decide {
            approval,
            digest,
            who,
            approve,
            ..
        } = command
        else {
            return false;
        };
        let same = |(d, _): &(Decision, Timestamp)| {
            d.who == *who && d.approve == *approve && d.digest == *digest
        };
        let consent = self.asked_for(approval);
        let question = self.question(approval).and_then(|q| q.decision.as_ref());
        question.is_some_and(same) || consent.is_some_and(|c| c.decisions.iter().any(same))
    }
}

/// Nobody can consent to so much.
pub(super) fn too_large() -> Failure {
    limit("an approval's bytes are at most 4 MiB: fan out over less".to_owned())
}

pub(super) fn made(bytes: Vec<u8>) -> Made {
    let digest = Digest::of(&bytes);
    let size = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let fits = bytes.len() <= INLINE_BYTES_MAX;
    let (inline, blob) = if fits {
        (Some(bytes.into()), None)
    } else {
        (None, Some(bytes))
    };
    Made {
        value: Value {
            digest,
            size,
            labels: Labels::default(),
            inline,
        },
        blob,
    }
}

pub(super) fn state_name(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Pending => "pending",
        ApprovalState::Approved => "approved",
        ApprovalState::Rejected => "rejected",
        ApprovalState::Expired => "expired",
        ApprovalState::Withdrawn => "withdrawn",
        ApprovalState::Used => "used",
    }
}
