//! `miractl status`: what needs somebody, on one screen.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::agent::{is_sick, state, trouble};
use crate::approval;
use crate::call::{Call, v1};
use crate::client::Api;
use crate::ctx::Ctx;
use crate::exit::{Exit, Result};
use crate::human::parse_since;
use crate::list::{Page, Paging, fetch};
use crate::model::{clean, text};
use crate::output::Format;
use crate::paint::Tone;
use crate::run;
use crate::table::{Table, cell, status};

/// Rows of a part; the rest is counted.
const ROWS: u32 = 6;
/// A doubt may be older than thousands of runs that wait as they should, and a list cannot be asked for doubts alone: so
/// many rows are looked through.
const LOOKED_THROUGH: u32 = 10_000;

/// Show what needs somebody: approvals, doubts, failures, sick agents
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl status
  miractl status --since 7d
  watch -n 5 miractl status")]
pub(crate) struct Cmd {
    /// How far back to look for failed runs
    #[arg(long, value_name = "24h|TIME", default_value = "24h")]
    since: String,
}

/// What was found.
struct Found {
    approvals: Page,
    doubtful: Page,
    waiting: Page,
    failed: Page,
    sick: Vec<Value>,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    let now = ctx.now();
    let found = find(ctx.api()?, parse_since(&cmd.since, now)?).await?;
    if found.waiting.next_cursor.is_some() {
        ctx.out.warn(&format!(
            "of the runs that wait only the newest {LOOKED_THROUGH} were looked through; older ones: miractl run list \
             --status waiting,parked --all"
        ));
    }
    let whole = json!({
        "approvals": found.approvals.items,
        "in_doubt": found.doubtful.items,
        "waiting": found.waiting.items,
        "failed": found.failed.items,
        "agents": found.sick,
    });
    if ctx.out.structured(&whole)? {
        return Ok(Exit::Ok);
    }
    show(ctx, &found, now, &cmd.since)?;
    Ok(Exit::Ok)
}

async fn find(api: &Api, since: Timestamp) -> Result<Found> {
    let few = Paging {
        limit: ROWS,
        all: false,
    };
    let many = Paging {
        limit: LOOKED_THROUGH,
        all: false,
    };
    let runs = |status: &str| Call::get(v1(["runs"])).query("status", status);
    let approvals = Call::get(v1(["approvals"]))
        .query("state", "pending")
        .query("i_may_decide", "true");
    let approvals = fetch(api, approvals, few).await?;
    let mut stuck = fetch(api, runs("waiting,parked"), many).await?;
    let doubtful = stuck
        .items
        .iter()
        .filter(|r| in_doubt(r))
        .cloned()
        .collect();
    // Runs that wait for an approval stand in the first part already, or are none of our business.
    stuck
        .items
        .retain(|r| !in_doubt(r) && !waits_for(r, "approval"));
    let failed = fetch(
        api,
        runs("failed,rejected,timed_out").query("since", since.to_string()),
        few,
    )
    .await?;
    let agents = fetch(api, Call::get(v1(["agents"])), many).await?;
    Ok(Found {
        approvals,
        doubtful: Page {
            items: doubtful,
            next_cursor: stuck.next_cursor.clone(),
            ..Page::default()
        },
        waiting: stuck,
        failed,
        sick: agents.items.into_iter().filter(is_sick).collect(),
    })
}

/// Rows of a list may name only the kind of what they wait for, as their reason.
fn waits_for(run: &Value, kind: &str) -> bool {
    let named = run["waiting_for"].as_array().into_iter().flatten();
    text(run, "reason") == kind || named.map(|w| text(w, "kind")).any(|k| k == kind)
}

fn in_doubt(run: &Value) -> bool {
    text(run, "status") == "parked" || waits_for(run, "in_doubt")
}

fn show(ctx: &Ctx, found: &Found, now: Timestamp, since: &str) -> Result<()> {
    if ctx.out.format == Format::Name {
        let lists = [
            &found.approvals,
            &found.doubtful,
            &found.waiting,
            &found.failed,
        ];
        return lists
            .iter()
            .flat_map(|p| &p.items)
            .try_for_each(|item| ctx.out.data(text(item, "id")));
    }
    let approvals = |item: &Value| approval::row(item, now);
    let runs = |item: &Value| run::row(item, now);
    let failed = format!("Failed in the last {since}");
    let mut parts = vec![
        part(
            ctx,
            "Approvals for you",
            "miractl approval approve ID",
            approval::HEADINGS,
            &found.approvals,
            &approvals,
        ),
        part(
            ctx,
            "In doubt or parked",
            "miractl run get ID",
            run::HEADINGS,
            &found.doubtful,
            &runs,
        ),
        part(
            ctx,
            "Waiting",
            "miractl run get ID",
            run::HEADINGS,
            &found.waiting,
            &runs,
        ),
        part(
            ctx,
            &failed,
            "miractl run get ID",
            run::HEADINGS,
            &found.failed,
            &runs,
        ),
    ];
    parts.push(agents(ctx, &found.sick));
    let said: Vec<String> = parts.into_iter().flatten().collect();
    if said.is_empty() {
        return ctx.out.data(&ctx.out.paint().tone(
            Tone::Good,
            "All is well: nothing waits for you, nothing failed lately, all agents are well.",
        ));
    }
    ctx.out.data(&said.join("\n\n"))
}

type Row<'a> = &'a dyn Fn(&Value) -> Vec<crate::table::Cell>;

fn part(
    ctx: &Ctx,
    title: &str,
    next: &str,
    headings: &[&'static str],
    page: &Page,
    row: Row<'_>,
) -> Option<String> {
    if page.items.is_empty() {
        return None;
    }
    let paint = ctx.out.paint();
    let shown = ROWS as usize;
    let more = page.items.len() > shown || page.next_cursor.is_some();
    let count = if more && page.next_cursor.is_some() {
        format!("{}+", page.items.len())
    } else {
        page.items.len().to_string()
    };
    let mut table = Table::new(headings);
    page.items
        .iter()
        .take(shown)
        .for_each(|item| table.row(row(&clean(item))));
    let title = paint.strong(format!("{title} ({count})"));
    Some(format!(
        "{title}  {}\n{}",
        paint.dim(next),
        table.render(&ctx.out)
    ))
}

fn agents(ctx: &Ctx, sick: &[Value]) -> Option<String> {
    if sick.is_empty() {
        return None;
    }
    let paint = ctx.out.paint();
    let mut table = Table::new(&["NAME", "STATE", "~WHY"]);
    for agent in sick.iter().map(clean) {
        let why = trouble(&agent);
        table.row(vec![
            text(&agent, "name").into(),
            status(&state(&agent)),
            cell(why, Tone::Dim),
        ]);
    }
    let title = paint.strong(format!("Agents that are not well ({})", sick.len()));
    Some(format!(
        "{title}  {}\n{}",
        paint.dim("miractl agent health NAME"),
        table.render(&ctx.out)
    ))
}
