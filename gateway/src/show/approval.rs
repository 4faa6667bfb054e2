//! An approval as the API shows it: the card that people decide on, made from the very bytes that they decide.

use std::collections::BTreeMap;

use engine::approval::{Approval, ApprovedCall};
use engine::event::{ApprovalState, Decision, SecretPart, TimeSpan};
use engine::id::{ApprovalId, RunId};
use engine::principal::{Permission, Principal};
use engine::question::{BlastRadius, Question, Words};
use engine::run::{self, Consent};
use engine::time::Timestamp;
use engine::value::Labels;
use serde::Serialize;
use serde_json::Value as Json;
use store::port::ApprovalRow;
use utoipa::ToSchema;

use crate::auth::Caller;

/// An approval.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Approval)]
pub(crate) struct Card {
    /// Its id: `RUN.STEP.ASKING`.
    id: String,
    /// The run that waits for it.
    #[schema(value_type = String)]
    run: RunId,
    /// The step that it covers.
    step: String,
    /// The run's workflow; null for an ad-hoc call.
    workflow: Option<String>,
    /// Each call, in a fan-out: `{key, params, sources, secrets, time_range}`.
    items: Option<Vec<CardItem>>,
    /// pending, approved, rejected, expired, withdrawn or used.
    #[schema(value_type = String)]
    state: ApprovalState,
    /// `agent/action`.
    action: String,
    /// MODIFY or ADMIN.
    #[schema(value_type = String)]
    permission: Permission,
    /// The environment; null where there is none.
    environment: Option<String>,
    /// The parameters of the one call; of a fan-out see `items`.
    #[schema(value_type = Json)]
    params: Option<Json>,
    /// Where each parameter came from, and how far that is trusted.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    sources: BTreeMap<String, Labels>,
    /// What strings with secrets are put together from; in `params` they are empty.
    #[schema(value_type = Vec<Object>)]
    secrets: Vec<SecretPart>,
    /// What span of time the call looks at.
    #[schema(value_type = Option<Object>)]
    time_range: Option<TimeSpan>,
    /// The template of its compensation, if there is one.
    compensate: Option<String>,
    /// What the agent says that executes the step and asks; null where the engine asks before the step is done.
    question: Option<ShownQuestion>,
    /// One call's time limit, in milliseconds.
    timeout_ms: Option<u64>,
    /// How many calls have been made on it.
    granted: u32,
    /// SHA-256 of the bytes that are consented to.
    digest: Option<String>,
    /// Who asked for the run.
    #[schema(value_type = String)]
    requester: Principal,
    /// Who may decide: `role:NAME`, that role or higher; empty: everybody with the right.
    by: Vec<String>,
    /// How many must agree.
    quorum: u32,
    /// Whether the requester's own consent does not count.
    not_requester: bool,
    /// Who has decided what.
    decisions: Vec<ShownDecision>,
    /// Whether the caller may decide it now.
    i_may_decide: bool,
    /// When people were asked.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Until when the question stands.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// What an agent asks, in its own words. Nothing of it is known to be true, and a yes grants nothing but an answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Question)]
struct ShownQuestion {
    /// What it wants to do.
    description: String,
    /// What else it wants people to know.
    context: Option<Json>,
    /// What the change would touch: `{resource_type, resources, scope, reversible, estimated_count, regions, summary}`.
    #[schema(value_type = Option<Object>)]
    blast_radius: Option<BlastRadius>,
    /// Whether the engine started the agent; false: it is only believed to be who it says.
    proven: bool,
    /// The attempt that asks.
    attempt: u32,
    /// Why it is not asked any more, where nobody decided.
    reason: Option<String>,
}

/// One call of a fan-out.
#[derive(Debug, Serialize, ToSchema)]
struct CardItem {
    /// The item's key.
    key: Option<String>,
    /// The parameters.
    params: Json,
    /// Where each parameter came from.
    #[schema(value_type = BTreeMap<String, Vec<String>>)]
    sources: BTreeMap<String, Labels>,
    /// What strings with secrets are put together from; in `params` they are empty.
    #[schema(value_type = Vec<Object>)]
    secrets: Vec<SecretPart>,
    /// What span of time the call looks at.
    #[schema(value_type = Option<Object>)]
    time_range: Option<TimeSpan>,
}

/// One principal's decision.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Decision)]
struct ShownDecision {
    /// Who.
    #[schema(value_type = String)]
    who: Principal,
    /// `approve` or `reject`.
    decision: &'static str,
    /// Why.
    comment: Option<String>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
}

impl Card {
    /// The card of a row of the list, without what only the run's journal knows.
    pub(crate) fn of_row(row: ApprovalRow, caller: &Caller) -> Self {
        Self {
            i_may_decide: may_decide(&row, caller),
            id: row.id.to_string(),
            run: row.id.run,
            step: row.step,
            workflow: row.workflow,
            items: None,
            state: row.state,
            action: row.action,
            permission: row.permission,
            environment: None,
            params: None,
            sources: BTreeMap::new(),
            secrets: Vec::new(),
            time_range: None,
            compensate: None,
            question: None,
            timeout_ms: None,
            granted: 0,
            digest: None,
            requester: row.requester,
            by: row.by.iter().map(|role| format!("role:{role}")).collect(),
            quorum: row.quorum,
            not_requester: row.not_requester,
            decisions: Vec::new(),
            created_at: row.created_at,
            expires_at: row.expires_at,
        }
    }

    /// Whether the caller may decide it now.
    pub(crate) fn may_be_decided(&self) -> bool {
        self.i_may_decide
    }

    /// The whole card.
    pub(crate) fn of(
        id: &ApprovalId,
        step: &str,
        (consent, approval): (&Consent, Approval),
        caller: &Caller,
    ) -> Self {
        let row = ApprovalRow {
            id: id.clone(),
            step: step.to_owned(),
            workflow: approval.workflow.as_ref().map(|w| w.name.clone()),
            state: consent.state,
            action: approval.action.to_string(),
            permission: approval.permission,
            requester: approval.requester.clone(),
            by: approval.by.clone(),
            quorum: approval.quorum,
            not_requester: approval.not_requester,
            created_at: consent.at,
            expires_at: approval.expires_at,
        };
        let decided = consent.decisions.iter();
        let mut card = Self::of_row(row, caller);
        card.i_may_decide &= !decided.clone().any(|(d, _)| d.who == caller.who);
        card.decisions = decided.map(ShownDecision::of).collect();
        card.digest = Some(consent.asked.bytes.digest.to_string());
        card.granted = consent.granted;
        card.timeout_ms = Some(approval.timeout_ms);
        card.environment = approval.environment;
        card.compensate = approval.compensate;
        card.calls(approval.calls);
        card
    }

    /// The card of what an agent asks.
    pub(crate) fn of_question(
        id: &ApprovalId,
        (asked, question): (&run::Question, Question),
        caller: &Caller,
    ) -> Self {
        let row = ApprovalRow {
            id: id.clone(),
            step: question.step,
            workflow: question.workflow.map(|w| w.name),
            state: asked.state,
            action: question.action.to_string(),
            permission: question.words.permission,
            requester: question.requester,
            by: Vec::new(),
            quorum: 1,
            not_requester: question.not_requester,
            created_at: asked.at,
            expires_at: question.expires_at,
        };
        let mut card = Self::of_row(row, caller);
        card.decisions = asked.decision.iter().map(ShownDecision::of).collect();
        card.digest = Some(asked.asked.bytes.digest.to_string());
        card.question = Some(ShownQuestion::of(question.words, asked));
        card
    }

    fn calls(&mut self, calls: Vec<ApprovedCall>) {
        let one = calls.len() == 1 && calls[0].key.is_none();
        if !one {
            self.items = Some(calls.into_iter().map(CardItem::of).collect());
            return;
        }
        for call in calls {
            self.params = serde_json::from_str(&call.params).ok();
            self.sources = call.sources;
            self.secrets = call.secrets;
            self.time_range = call.time_range;
        }
    }
}

impl ShownQuestion {
    fn of(words: Words, asked: &run::Question) -> Self {
        let context = words.context.map(|text| {
            let json = serde_json::from_str(&text);
            json.unwrap_or(Json::String(text))
        });
        Self {
            description: words.description,
            context,
            blast_radius: words.blast_radius,
            proven: words.proven,
            attempt: asked.asked.attempt.0,
            reason: asked.reason.clone(),
        }
    }
}

impl ShownDecision {
    fn of((decision, at): &(Decision, Timestamp)) -> Self {
        Self {
            who: decision.who.clone(),
            decision: if decision.approve {
                "approve"
            } else {
                "reject"
            },
            comment: decision.comment.clone(),
            at: *at,
        }
    }
}

impl CardItem {
    fn of(call: ApprovedCall) -> Self {
        Self {
            key: call.key,
            params: serde_json::from_str(&call.params).unwrap_or(Json::Null),
            sources: call.sources,
            secrets: call.secrets,
            time_range: call.time_range,
        }
    }
}

/// Whether the caller may decide a pending approval. The owner of the run has the last word.
fn may_decide(row: &ApprovalRow, caller: &Caller) -> bool {
    let own = row.not_requester && row.requester == caller.who;
    let named = row.by.is_empty() || row.by.iter().any(|role| caller.role >= *role);
    row.state == ApprovalState::Pending && !own && named && caller.role.may_approve(row.permission)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::id::{Shard, StepNo};
    use engine::principal::Role;

    fn row(permission: Permission, by: &[Role], not_requester: bool) -> ApprovalRow {
        let at = Timestamp::from_millis(1);
        ApprovalRow {
            id: ApprovalId {
                run: RunId::new(at, Shard(0), 1),
                step: StepNo(0),
                asking: 1,
            },
            step: "change".to_owned(),
            workflow: None,
            state: ApprovalState::Pending,
            action: "demo/change".to_owned(),
            permission,
            requester: Principal::Key("ada".to_owned()),
            by: by.to_vec(),
            quorum: 1,
            not_requester,
            created_at: at,
            expires_at: at,
        }
    }

    #[test]
    fn the_level_the_rule_and_the_requester_decide_who_may() {
        let may = |row: &ApprovalRow, name: &str, role| may_decide(row, &Caller::of(name, role));
        let modify = row(Permission::Modify, &[], true);
        assert!(may(&modify, "eve", Role::Engineer));
        assert!(!may(&modify, "eve", Role::Operator));
        assert!(!may(&modify, "ada", Role::Admin), "not the requester");
        assert!(may(
            &row(Permission::Modify, &[], false),
            "ada",
            Role::Engineer
        ));
        assert!(!may(
            &row(Permission::Admin, &[], true),
            "eve",
            Role::Engineer
        ));
        let narrowed = row(Permission::Modify, &[Role::Admin], true);
        assert!(!may(&narrowed, "eve", Role::Engineer));
        assert!(may(&narrowed, "eve", Role::Admin));
    }
}
