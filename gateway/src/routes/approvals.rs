//! Approvals: what people are asked, and their answers.

use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use engine::approval::Approval;
use engine::code::Code;
use engine::command::Command;
use engine::digest::Digest;
use engine::event::ApprovalState;
use engine::id::{ApprovalId, RunKey};
use engine::principal::Permission;
use engine::question::Question;
use engine::run::{self, Consent};
use engine::value::Value;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use store::port::{ApprovalFilter, ApprovalRow};
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::auth::right::Right;
use crate::command;
use crate::gate::{Gate, Shared};
use crate::idempotency::Asking;
use crate::page::{listed, not_of_this_list};
use crate::problem::Problem;
use crate::request::{Arg, Args, CURSOR_ARG, LIMIT_ARG, json};
use crate::respond::{self, Listed};
use crate::route::{Route, Shape};
use crate::routes::runs::commands::{Kept, check_comment, kept};
use crate::show::approval::Card;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            ("/api/v1/approvals", Right::Read),
            "listApprovals",
            "The approvals, newest first.",
            list,
        )
        .args(const { &[
            Arg::several(
                "state",
                "In one of these states: pending, approved, rejected, expired, withdrawn or used.",
            ),
            Arg::one(
                "i_may_decide",
                "`true`: only those that the caller may decide.",
            ),
            Arg::one("run", "Of this run."),
            LIMIT_ARG,
            CURSOR_ARG,
        ] })
        .answer(200, "The approvals.", Shape::list::<Card>()),
        Route::get(
            ("/api/v1/approvals/{id}", Right::Read),
            "getApproval",
            "An approval: everything that one consents to.",
            get,
        )
        .answer(200, "The approval.", Shape::json::<Card>()),
        decides(
            ("/api/v1/approvals/{id}/approve", Right::Approve),
            "approve",
            "Consent to exactly the bytes of this digest.",
            true,
        ),
        decides(
            ("/api/v1/approvals/{id}/reject", Right::Approve),
            "reject",
            "Refuse.",
            false,
        ),
    ]
}

fn decides(
    place: (&'static str, Right),
    id: &'static str,
    says: &'static str,
    approve: bool,
) -> Route {
    let handler = move |gate: State<Shared>,
                        caller: Caller,
                        asking: Asking,
                        id: Path<String>,
                        headers: HeaderMap,
                        body: Bytes| async move {
        decide(
            Decides {
                gate: gate.0,
                caller,
                approve,
            },
            asking,
            id.0,
            (headers, body),
        )
        .await
    };
    Route::post(place, id, says, handler)
        .body(Shape::json::<NewDecision>())
        .answer(200, "It is decided, or was already.", Shape::json::<Card>())
        .answer(
            202,
            "It is kept, and will be decided.",
            Shape::json::<Kept>(),
        )
}

/// A decision about an approval.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDecision {
    /// The digest that was shown, with or without `sha256:` before it.
    digest: String,
    /// Why; stands in the journal.
    #[serde(default)]
    comment: Option<String>,
    /// Not used yet: the key of a signature.
    #[serde(default)]
    key_id: Option<String>,
    /// Not used yet: a signature over the bytes.
    #[serde(default)]
    signature: Option<String>,
}

async fn list(State(gate): State<Shared>, caller: Caller, args: Args) -> Result<Response, Problem> {
    let page = args.page()?;
    let mine = args.parsed("i_may_decide", "true or false")?;
    let mine = mine.unwrap_or(false);
    let Some(filter) = filter(&args, mine.then_some(&caller))? else {
        return Ok(respond::json(&Listed::<Card>::all(Vec::new())));
    };
    let rows = gate
        .backend
        .views
        .approvals(&caller.tenant, &filter, &page)
        .await
        .map_err(not_of_this_list)?;
    let rows = listed(rows, |row| row);
    let mut items = Vec::with_capacity(rows.items.len());
    for row in rows.items {
        items.push(whole(&gate, &caller, row).await);
    }
    // The view does not know who has decided already.
    items.retain(|card| !mine || card.may_be_decided());
    Ok(respond::json(&Listed {
        items,
        next_cursor: rows.next_cursor,
        incomplete: rows.incomplete,
    }))
}

/// What the arguments ask for, of that which `decider` may decide; `None`: they contradict each other, so nothing.
fn filter(args: &Args, decider: Option<&Caller>) -> Result<Option<ApprovalFilter>, Problem> {
    let states = args.any_of("state");
    let mut nothing = states.as_ref().is_some_and(Vec::is_empty);
    let states = states.unwrap_or_default();
    let mut filter = ApprovalFilter {
        state: states
            .iter()
            .map(|text| state(text))
            .collect::<Result<_, _>>()?,
        run: args.parsed("run", "the id of a run")?,
        ..ApprovalFilter::default()
    };
    if let Some(caller) = decider {
        let pending = ApprovalState::Pending;
        nothing |= !filter.state.is_empty() && !filter.state.contains(&pending);
        filter.state = vec![pending];
        filter.role = Some(caller.role);
        filter.principal = Some(caller.who.clone());
    }
    Ok((!nothing).then_some(filter))
}

fn state(text: &str) -> Result<ApprovalState, Problem> {
    serde_json::from_value(text.into()).map_err(|_| {
        Problem::malformed(format!("{text:?} is no state of an approval"))
            .hint("they are pending, approved, rejected, expired, withdrawn and used")
    })
}

/// The card of a row. A row whose run cannot be read is shown as the list knows it.
async fn whole(gate: &Gate, caller: &Caller, row: ApprovalRow) -> Card {
    match find(gate, caller, &row.id).await {
        Ok(found) => found.card(&row.id, caller),
        Err(_) => Card::of_row(row, caller),
    }
}

/// An approval in its run.
struct Found {
    step: String,
    asked: Asked,
}

/// Who asks.
enum Asked {
    /// The engine, before a step is done.
    ByEngine(Consent, Approval),
    /// The agent that does it.
    ByAgent(run::Question, Question),
}

impl Found {
    fn card(self, id: &ApprovalId, caller: &Caller) -> Card {
        match self.asked {
            Asked::ByEngine(consent, approval) => {
                Card::of(id, &self.step, (&consent, approval), caller)
            }
            Asked::ByAgent(asked, question) => Card::of_question(id, (&asked, question), caller),
        }
    }

    fn permission(&self) -> Permission {
        match &self.asked {
            Asked::ByEngine(_, approval) => approval.permission,
            Asked::ByAgent(_, question) => question.words.permission,
        }
    }
}

async fn find(gate: &Gate, caller: &Caller, id: &ApprovalId) -> Result<Found, Problem> {
    let missing = || Problem::not_found("approval", &id.to_string());
    let key = gate.run_key(&caller.tenant, id.run);
    let run = gate.whole_run(&key).await.map_err(|problem| {
        if problem.code == Code::NotFound {
            return missing();
        }
        problem
    })?;
    let step = run.state().steps.get(id.step.index()).ok_or_else(missing)?;
    if let Some(asked) = step.question(id.asking) {
        let bytes = bytes_of(gate, &key, &asked.asked.bytes).await?;
        let question = bytes.and_then(|bytes| Question::read(&bytes));
        let question = question.ok_or_else(|| unreadable(id))?;
        return Ok(Found {
            step: step.name.clone(),
            asked: Asked::ByAgent(asked.clone(), question),
        });
    }
    let consent = step.approval.as_deref().ok_or_else(missing)?;
    if consent.asked.asking != id.asking {
        return Err(if id.asking < consent.asked.asking {
            let detail = "this approval is closed: its step was asked for again, with other bytes";
            Problem::conflict(Code::ApprovalClosed, detail)
        } else {
            missing()
        });
    }
    let bytes = bytes_of(gate, &key, &consent.asked.bytes).await?;
    let approval = bytes.and_then(|bytes| Approval::read(&bytes));
    let approval = approval.ok_or_else(|| unreadable(id))?;
    Ok(Found {
        step: step.name.clone(),
        asked: Asked::ByEngine(consent.clone(), approval),
    })
}

async fn bytes_of(gate: &Gate, key: &RunKey, value: &Value) -> Result<Option<Vec<u8>>, Problem> {
    Ok(match &value.inline {
        Some(bytes) => Some(bytes.to_vec()),
        None => gate.backend.blobs.get(key, value.digest).await?,
    })
}

fn unreadable(id: &ApprovalId) -> Problem {
    tracing::error!(approval = %id, "the bytes of an approval cannot be read");
    Problem::internal().code(Code::RecordDamaged)
}

fn approval_id(text: &str) -> Result<ApprovalId, Problem> {
    text.parse().map_err(|_| {
        Problem::not_found("approval", text).hint("an approval's id is RUN.STEP.ASKING")
    })
}

async fn get(
    State(gate): State<Shared>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let id = approval_id(&id)?;
    let found = find(&gate, &caller, &id).await?;
    Ok(respond::json(&found.card(&id, &caller)))
}

struct Decides {
    gate: Shared,
    caller: Caller,
    approve: bool,
}

async fn decide(
    decides: Decides,
    asking: Asking,
    id: String,
    (headers, body): (HeaderMap, Bytes),
) -> Result<Response, Problem> {
    let Decides {
        gate,
        caller,
        approve,
    } = decides;
    let new: NewDecision = json(&headers, &body)?;
    check_comment("/comment", new.comment.as_deref())?;
    let id = approval_id(&id)?;
    let text = new.digest.strip_prefix("sha256:").unwrap_or(&new.digest);
    let digest: Digest = text
        .parse()
        .map_err(|e: engine::digest::BadDigest| Problem::invalid_at("/digest", e.to_string()))?;
    let key: RunKey = gate.run_key(&caller.tenant, id.run);
    let found = find(&gate, &caller, &id).await?;
    caller.must_reach(found.permission(), "what this approval allows")?;
    let command = Command::Decide {
        approval: id.clone(),
        digest,
        who: caller.who.clone(),
        approve,
        comment: new.comment,
        key_id: new.key_id,
        signature: new.signature,
    };
    let command_id = asking.0.unwrap_or_else(|| gate.backend.random.nonce());
    match gate.ask(&key, command_id, &command).await? {
        command::Asked::Decided | command::Asked::Already => {
            let found = find(&gate, &caller, &id).await?;
            Ok(respond::plain(StatusCode::OK, &found.card(&id, &caller)))
        }
        command::Asked::Kept => Ok(kept(&gate, &key)),
    }
}
