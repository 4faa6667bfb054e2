//! `miractl approval`: what people are asked, and their answers.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::call::{Call, v1};
use crate::card;
use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};
use crate::human::{age, short, until};
use crate::list::{self, Look, Paging};
use crate::model::{Approval, decode, text};
use crate::names;
use crate::paint::Tone;
use crate::table::{Cell, cell, status};

/// Decide what may be changed
#[derive(Debug, Subcommand)]
pub(crate) enum Cmd {
    List(ListCmd),
    Get(GetCmd),
    Approve(ApproveCmd),
    Reject(RejectCmd),
}

/// List approvals
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_long_help = "\
Examples:
  miractl approval list
  miractl approval list --mine
  miractl approval list --state any --all"
)]
pub(crate) struct ListCmd {
    /// pending, approved, rejected, expired, withdrawn, used, or any
    #[arg(long, value_name = "STATE,…", default_value = "pending")]
    state: String,
    /// Only those that you may decide
    #[arg(long)]
    mine: bool,
    #[command(flatten)]
    paging: Paging,
}

/// Show what an approval would allow
///
/// Action, parameters and where they come from, who asked, the digest of the bytes that are
/// consented to, and what happens on either answer.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl approval get 9f3a21bc.3.1
  miractl approval get @last")]
pub(crate) struct GetCmd {
    /// The approval, or the run that waits for it
    approval: String,
}

/// Agree to a change
///
/// Shows the card and asks. Without a terminal nobody sees the card, so that --digest has to say
/// which bytes are meant; with another digest nothing is approved. Where an agent asks, this
/// answers yes, and allows it nothing more.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl approval approve 9f3a21bc.3.1
  miractl approval approve @last --comment 'maintenance window'
  miractl approval approve 9f3a21bc.3.1 --digest sha256:9b0d…   (in scripts)")]
pub(crate) struct ApproveCmd {
    #[command(flatten)]
    decision: DecisionArgs,
}

/// Refuse a change
///
/// The run takes its failure path and ends as rejected, unless its workflow says otherwise. Where
/// an agent asks, this answers no, and the agent goes on.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl approval reject 9f3a21bc.3.1 --comment 'not during the sale'")]
pub(crate) struct RejectCmd {
    #[command(flatten)]
    decision: DecisionArgs,
}

#[derive(Debug, Args)]
struct DecisionArgs {
    /// The approval, or the run that waits for it
    approval: String,
    /// Why; stands in the journal
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// The digest of the bytes that you have seen
    #[arg(long, value_name = "DIGEST")]
    digest: Option<String>,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    match cmd {
        Cmd::List(cmd) => list(ctx, cmd).await,
        Cmd::Get(cmd) => get(ctx, cmd).await,
        Cmd::Approve(cmd) => decide(ctx, &cmd.decision, "approve").await,
        Cmd::Reject(cmd) => decide(ctx, &cmd.decision, "reject").await,
    }
}

async fn list(ctx: &Ctx, cmd: &ListCmd) -> Result<Exit> {
    let state = (cmd.state != "any").then(|| cmd.state.clone());
    let call = Call::get(v1(["approvals"]))
        .maybe("state", state)
        .maybe("i_may_decide", cmd.mine.then_some("true"));
    let page = list::fetch(ctx.api()?, call, cmd.paging).await?;
    let now = ctx.now();
    let look = Look {
        headings: HEADINGS,
        row: &|a| row(a, now),
        name: &|a| text(a, "id").to_owned(),
        empty: if cmd.state == "pending" {
            "Nothing waits for an approval."
        } else {
            "No approvals."
        },
    };
    list::print(ctx, &page, &look)?;
    Ok(Exit::Ok)
}

/// The columns of approvals, wherever they are listed.
pub(crate) const HEADINGS: &[&str] = &[
    "ID",
    "~ACTION",
    "PERMISSION",
    "STATE",
    "AGE",
    "EXPIRES",
    "~REQUESTER",
];

/// One approval as a row.
pub(crate) fn row(value: &Value, now: jiff::Timestamp) -> Vec<Cell> {
    let approval: Approval = decode(value);
    let pending = approval.state == "pending";
    vec![
        short(&approval.id).into(),
        approval.action.clone().into(),
        // A yes to an agent permits nothing.
        match approval.question.is_null() {
            true => approval.permission.clone().into(),
            false => "question".into(),
        },
        if pending {
            cell("pending", Tone::Attention)
        } else {
            status(&approval.state)
        },
        cell(
            approval.created_at.map(|t| age(t, now)).unwrap_or_default(),
            Tone::Dim,
        ),
        approval
            .expires_at
            .filter(|_| pending)
            .map(|t| until(t, now))
            .unwrap_or_default()
            .into(),
        approval.requester.clone().into(),
    ]
}

async fn get(ctx: &Ctx, cmd: &GetCmd) -> Result<Exit> {
    let value = fetch(ctx, &cmd.approval).await?;
    let approval: Approval = decode(&value);
    ctx.out.thing(&value, &approval.id, || {
        card::card(&approval, ctx.now(), ctx.out.columns(), ctx.out.paint())
    })?;
    if approval.state == "pending" && ctx.out.format == crate::output::Format::Table {
        let id = short(&approval.id);
        ctx.out.next(&[
            format!("miractl approval approve {id}"),
            format!("miractl approval reject {id}"),
        ]);
    }
    Ok(Exit::Ok)
}

async fn fetch(ctx: &Ctx, name: &str) -> Result<Value> {
    let api = ctx.api()?;
    let id = names::approval_id(api, name).await?;
    api.send(Call::get(v1(["approvals", &id]))).await?.json()
}

async fn decide(ctx: &Ctx, args: &DecisionArgs, verb: &str) -> Result<Exit> {
    if args.digest.is_none() && !ctx.can_ask() {
        return Err(Failure::usage(format!(
            "nobody can look at the card here: `approval {verb}` needs --digest"
        ))
        .hint(format!(
            "miractl approval get {} shows the card and its digest",
            args.approval
        )));
    }
    let value = fetch(ctx, &args.approval).await?;
    let approval: Approval = decode(&value);
    check(&approval, args.digest.as_deref())?;
    if args.digest.is_none() {
        ctx.out.err(&card::card(
            &approval,
            ctx.now(),
            ctx.out.columns(),
            ctx.out.paint_err(),
        ));
        ctx.confirm(&prompt(&approval, verb))?;
    }
    let body = json!({ "digest": approval.digest, "comment": args.comment });
    let answer = ctx
        .api()?
        .send(Call::post(v1(["approvals", &approval.id, verb])).json(&body))
        .await
        .map_err(|failure| {
            if failure.code.as_deref() == Some("approval_changed") {
                return failure.hint(format!(
                    "look at it again: miractl approval get {}",
                    short(&approval.id)
                ));
            }
            failure
        })?;
    let said = said(&approval, verb);
    let after = answer.json()?;
    ctx.out.thing(&after, &approval.id, String::new)?;
    let run = short(approval.run_id()).to_owned();
    if answer.undecided() {
        ctx.out
            .say(&format!("{said}; the run has not taken it up yet"));
    } else {
        let left = missing(&decode(&after));
        ctx.out.say(&format!(
            "{said}: {} in step {} of run {run}{left}",
            approval.action, approval.step
        ));
    }
    ctx.out.next(&[format!("miractl run watch {run}")]);
    Ok(Exit::Ok)
}

/// What one is asked. An agent's question is not about its action: that is being done.
fn prompt(approval: &Approval, verb: &str) -> String {
    let agent = approval.action.split('/').next().unwrap_or_default();
    match (approval.question.is_null(), verb) {
        (true, "approve") => format!("Approve {}?", approval.action),
        (true, _) => format!("Reject {}?", approval.action),
        (false, "approve") => format!("Answer yes to what {agent} asks?"),
        (false, _) => format!("Answer no to what {agent} asks?"),
    }
}

/// What one has done.
fn said(approval: &Approval, verb: &str) -> &'static str {
    match (approval.question.is_null(), verb) {
        (true, "approve") => "approved",
        (true, _) => "rejected",
        (false, "approve") => "answered yes",
        (false, _) => "answered no",
    }
}

/// How many more have to agree, as a clause.
fn missing(after: &Approval) -> String {
    let agreed = after
        .decisions
        .iter()
        .filter(|d| d.decision.starts_with("approve"))
        .count() as u64;
    if after.state != "pending" || agreed >= after.quorum {
        return String::new();
    }
    format!("; {} of {} have agreed", agreed, after.quorum)
}

/// What makes a decision pointless is said before anybody is asked.
fn check(approval: &Approval, digest: Option<&str>) -> Result<()> {
    if let Some(digest) = digest
        && bare(digest) != bare(&approval.digest)
    {
        return Err(Failure::new(
            Exit::Conflict,
            format!("the digest is now {}, not {digest}", approval.digest),
        )
        .hint(format!(
            "look at it again: miractl approval get {}",
            short(&approval.id)
        )));
    }
    if matches!(approval.state.as_str(), "expired" | "withdrawn" | "used") {
        return Err(Failure::new(
            Exit::Conflict,
            format!("the approval is {}", approval.state),
        )
        .hint(format!("miractl run get {}", short(approval.run_id()))));
    }
    Ok(())
}

fn bare(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approval(state: &str) -> Approval {
        Approval {
            id: "a".to_owned(),
            state: state.to_owned(),
            digest: "sha256:aa".to_owned(),
            ..Approval::default()
        }
    }

    #[test]
    fn an_answer_to_an_agent_is_not_asked_for_as_consent() {
        let mut approval = approval("pending");
        approval.action = "gopher/read".to_owned();
        approval.permission = "MODIFY".to_owned();
        assert_eq!(prompt(&approval, "approve"), "Approve gopher/read?");
        assert_eq!(prompt(&approval, "reject"), "Reject gopher/read?");
        approval.question = json!({"description": "may I?"});
        let yes = prompt(&approval, "approve");
        assert_eq!(yes, "Answer yes to what gopher asks?");
        let no = prompt(&approval, "reject");
        assert_eq!(no, "Answer no to what gopher asks?");
        let listed = json!({"action": "gopher/read", "permission": "MODIFY", "question": {}});
        let row = format!("{:?}", row(&listed, jiff::Timestamp::UNIX_EPOCH));
        assert!(row.contains("question") && !row.contains("MODIFY"), "{row}");
    }

    #[test]
    fn another_digest_is_a_conflict() {
        assert_eq!(
            check(&approval("pending"), Some("sha256:bb"))
                .expect_err("another")
                .exit,
            Exit::Conflict
        );
        assert!(check(&approval("pending"), Some("sha256:aa")).is_ok());
        assert!(check(&approval("pending"), Some("aa")).is_ok());
    }

    #[test]
    fn a_closed_approval_is_a_conflict_and_ones_own_decision_may_be_repeated() {
        assert_eq!(
            check(&approval("withdrawn"), None)
                .expect_err("withdrawn")
                .exit,
            Exit::Conflict
        );
        assert!(check(&approval("approved"), None).is_ok());
    }
}
