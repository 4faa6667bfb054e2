//! `miractl run`: what runs, what happened, and steering it.

use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::call::{Answer, Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Failure, Result};
use crate::follow::{Follow, follow};
use crate::human::{age, duration, parse_duration, parse_since, short};
use crate::inputs;
use crate::list::{self, Look, Paging};
use crate::live::Surface;
use crate::model::{Run, decode, text};
use crate::paint::Tone;
use crate::table::{Cell, cell, status};
use crate::wait::{Until, conclude, next_commands};
use crate::{journal, names, run_get};

/// Look at runs and steer them
#[derive(Debug, Subcommand)]
pub(crate) enum Cmd {
    List(ListCmd),
    Get(run_get::Cmd),
    Watch(WatchCmd),
    Cancel(CancelCmd),
    Resume(ResumeCmd),
    Resolve(ResolveCmd),
    Journal(journal::Cmd),
}

/// List runs, newest first
#[derive(Debug, Args)]
#[command(
    visible_alias = "ls",
    after_long_help = "\
Examples:
  miractl run list
  miractl run list --since 2h --status failed,waiting
  miractl run list --workflow silence-noisy-alert --all -o json
  miractl run list --hook alerts --alert 4c1d4cfe25e44fb9
  miractl run list --label team=payments -o name"
)]
pub(crate) struct ListCmd {
    /// Only these statuses, with commas between
    #[arg(long, value_name = "STATUS,…")]
    status: Option<String>,
    /// Only runs of this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only runs created since then: a duration or a time
    #[arg(long, value_name = "2h|TIME")]
    since: Option<String>,
    /// Only runs created before then: a duration or a time
    #[arg(long, value_name = "1h|TIME")]
    until: Option<String>,
    /// Only runs started by this hook
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// Only runs of the alert with this fingerprint
    #[arg(long, value_name = "FINGERPRINT")]
    alert: Option<String>,
    /// Only runs asked for by this principal
    #[arg(long, value_name = "KIND:NAME")]
    requester: Option<String>,
    /// Only runs with this label; repeated, with all of them
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    #[command(flatten)]
    paging: Paging,
}

/// Follow a run until it ends
///
/// Draws its steps live in a terminal; elsewhere prints a line for each thing that happens, history
/// first. -o json prints the journal's records, one a line. The exit code says how the run ended.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl run watch @last
  miractl run watch 9f3a21bc --timeout 10m
  miractl run watch @last:hello --until attention
  miractl run watch @last -o json | jq .events")]
pub(crate) struct WatchCmd {
    /// The run: an id, an ending of it, @last or @last:WORKFLOW
    run: String,
    /// When to stop
    #[arg(long, value_enum, default_value_t)]
    until: Until,
    /// Stop after this time (exit 124); the run goes on
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Show the agents' progress and log lines too
    #[arg(long)]
    follow: bool,
}

/// Cancel a run
///
/// No new step starts; a change that is being made is waited for. What was changed stays: nothing
/// is undone in this version.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl run cancel 9f3a21bc
  miractl run cancel @last:deploy --reason 'wrong release' --yes")]
pub(crate) struct CancelCmd {
    /// The run: an id, an ending of it, @last or @last:WORKFLOW
    run: String,
    /// Why; stands in the journal
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Let a parked run go on
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl run resume 9f3a21bc")]
pub(crate) struct ResumeCmd {
    /// The run: an id, an ending of it, @last or @last:WORKFLOW
    run: String,
}

/// Settle a step that is in doubt
///
/// Somebody has to look at the system that the step changes: was the change made or not? --done
/// takes the step as succeeded; --not-done runs it again, under the approval that it has.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("outcome").required(true))]
#[command(after_long_help = "\
Examples:
  miractl run resolve 9f3a21bc silence --done --comment 'it is there'
  miractl run resolve 9f3a21bc silence --not-done --comment 'it is not'")]
pub(crate) struct ResolveCmd {
    /// The run: an id, an ending of it, @last or @last:WORKFLOW
    run: String,
    /// The step that is in doubt; an item of a fan-out by its whole name, in quotes
    step: String,
    /// The change was made
    #[arg(long, group = "outcome")]
    done: bool,
    /// The change was not made: run the step again
    #[arg(long, group = "outcome")]
    not_done: bool,
    /// A part of the step's output, where later steps need it; may be repeated
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "not_done")]
    step_output: Vec<String>,
    /// How you know; stands in the journal
    #[arg(long, value_name = "TEXT", required = true)]
    comment: String,
}

/// Does what was asked.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    match cmd {
        Cmd::List(cmd) => list(ctx, cmd).await,
        Cmd::Get(cmd) => run_get::execute(ctx, cmd).await,
        Cmd::Watch(cmd) => watch(ctx, cmd).await,
        Cmd::Cancel(cmd) => cancel(ctx, cmd).await,
        Cmd::Resume(cmd) => resume(ctx, cmd).await,
        Cmd::Resolve(cmd) => resolve(ctx, cmd).await,
        Cmd::Journal(cmd) => journal::execute(ctx, cmd).await,
    }
}

async fn list(ctx: &Ctx, cmd: &ListCmd) -> Result<Exit> {
    let now = ctx.now();
    let time = |text: &Option<String>| text.as_deref().map(|t| parse_since(t, now)).transpose();
    let mut call = Call::get(v1(["runs"]))
        .maybe("status", cmd.status.clone())
        .maybe("workflow", cmd.workflow.clone())
        .maybe("since", time(&cmd.since)?.map(|t| t.to_string()))
        .maybe("until", time(&cmd.until)?.map(|t| t.to_string()))
        .maybe("hook", cmd.hook.clone())
        .maybe("fingerprint", cmd.alert.clone())
        .maybe("requester", cmd.requester.clone());
    for label in &cmd.label {
        call = call.query("label", label);
    }
    let page = list::fetch(ctx.api()?, call, cmd.paging).await?;
    let filtered =
        cmd.status.is_some() || cmd.workflow.is_some() || cmd.since.is_some() || cmd.hook.is_some();
    let filtered = filtered
        || cmd.until.is_some()
        || cmd.alert.is_some()
        || cmd.requester.is_some()
        || !cmd.label.is_empty();
    let empty = if filtered {
        "No run matches. `miractl run list` shows all."
    } else {
        "No runs yet. Start one: miractl workflow run hello"
    };
    let look = Look {
        headings: HEADINGS,
        row: &|r| row(r, now),
        name: &|r| text(r, "id").to_owned(),
        empty,
    };
    list::print(ctx, &page, &look)?;
    Ok(Exit::Ok)
}

/// The columns of runs, wherever they are listed.
pub(crate) const HEADINGS: &[&str] = &["ID", "~WORKFLOW", "STATUS", "AGE", "TOOK", "~BY", "~WHY"];

/// One run as a row.
pub(crate) fn row(value: &Value, now: jiff::Timestamp) -> Vec<Cell> {
    let run: Run = decode(value);
    let why = match run.waiting_for.first() {
        Some(waits) => format!("{} {}", waits.kind.replace('_', " "), waits.step),
        None => run.why(),
    };
    let took = if run.started_at.is_some() {
        run.took(now).map(duration).unwrap_or_default()
    } else {
        String::new()
    };
    vec![
        short(&run.id).into(),
        if run.workflow.is_empty() {
            "(action)".into()
        } else {
            run.workflow.clone().into()
        },
        status(&run.status),
        cell(
            run.created_at.map(|t| age(t, now)).unwrap_or_default(),
            Tone::Dim,
        ),
        took.into(),
        run.requester.clone().into(),
        cell(why, Tone::Dim),
    ]
}

async fn watch(ctx: &Ctx, cmd: &WatchCmd) -> Result<Exit> {
    let id = names::run_id(ctx.api()?, &cmd.run).await?;
    let how = Follow {
        heard: false,
        until: cmd.until,
        deadline: cmd.timeout.map(|limit| Instant::now() + limit),
        logs: cmd.follow,
        surface: Surface::Stdout,
        cancel_on_interrupt: false,
    };
    let (run, exit) = follow(ctx, &id, &how).await?;
    conclude(ctx, &decode(&run), exit);
    Ok(exit)
}

async fn cancel(ctx: &Ctx, cmd: &CancelCmd) -> Result<Exit> {
    let api = ctx.api()?;
    let id = names::run_id(api, &cmd.run).await?;
    if cmd.run.starts_with('@') {
        // Somebody else may have started a newer run than the one that is meant.
        let run = api.send(Call::get(v1(["runs", &id]))).await?.json()?;
        let run: Run = decode(&run);
        if !run.ended() {
            let name = if run.workflow.is_empty() {
                "an action"
            } else {
                &run.workflow
            };
            ctx.confirm(&format!(
                "Cancel run {} of {name} ({})?",
                short(&id),
                run.status
            ))?;
        }
    }
    let body = json!({ "reason": cmd.reason });
    let answer = api
        .send(Call::post(v1(["runs", &id, "cancel"])).json(&body))
        .await?;
    told(ctx, &id, &answer, "cancelled").await
}

async fn resume(ctx: &Ctx, cmd: &ResumeCmd) -> Result<Exit> {
    let api = ctx.api()?;
    let id = names::run_id(api, &cmd.run).await?;
    let answer = api
        .send(Call::post(v1(["runs", &id, "resume"])).json(&json!({})))
        .await?;
    told(ctx, &id, &answer, "resumed").await
}

async fn resolve(ctx: &Ctx, cmd: &ResolveCmd) -> Result<Exit> {
    let api = ctx.api()?;
    let id = names::run_id(api, &cmd.run).await?;
    let hinted = |failure: Box<Failure>| {
        if failure.exit == Exit::NotFound {
            failure.hint(format!("miractl run get {} shows its steps", short(&id)))
        } else {
            failure
        }
    };
    let seen = api
        .send(Call::get(v1(["runs", &id, "steps", &cmd.step])))
        .await
        .map_err(hinted)?;
    // What is known of this attempt says nothing about a later one.
    let attempt = seen.json()?["attempts"]
        .as_array()
        .and_then(|attempts| attempts.last()?["number"].as_u64());
    let mut body = json!({
        "outcome": if cmd.done { "done" } else { "not_done" },
        "comment": cmd.comment,
        "attempt": attempt,
    });
    if !cmd.step_output.is_empty() {
        body["output"] = inputs::convert(&cmd.step_output, &inputs::Types::new(), false)?.into();
    }
    let said = if cmd.done {
        "was made"
    } else {
        "was not made, and is to be tried again"
    };
    ctx.confirm(&format!(
        "Say that the change of step {} in run {} {said}?",
        cmd.step,
        short(&id)
    ))?;
    let call = Call::post(v1(["runs", &id, "steps", &cmd.step, "resolve"])).json(&body);
    let answer = api.send(call).await.map_err(hinted)?;
    told(ctx, &id, &answer, "resolved").await
}

/// Says what became of a command, and what the run is doing now.
async fn told(ctx: &Ctx, id: &str, answer: &Answer, done: &str) -> Result<Exit> {
    if answer.undecided() {
        ctx.out
            .say(&format!("run {}: asked for, not decided yet", short(id)));
        ctx.out.next(&[format!("miractl run watch {}", short(id))]);
        return Ok(Exit::Ok);
    }
    let value = ctx.api()?.send(Call::get(v1(["runs", id]))).await?.json()?;
    ctx.out.thing(&value, id, String::new)?;
    let run: Run = decode(&value);
    if run.id.is_empty() {
        return Err(Failure::new(
            Exit::Unreachable,
            "the server's answer shows no run",
        ));
    }
    ctx.out.say(&format!(
        "run {} {done}; it is {}",
        short(id),
        run.status.replace('_', " ")
    ));
    if !run.ended() {
        ctx.out.next(&next_commands(&run));
    }
    Ok(Exit::Ok)
}
