//! `miractl run get`: one run on one page. Why it waits, what it changed, and what to do next.

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use crate::call::{Call, v1};
use crate::ctx::Ctx;
use crate::exit::{Exit, Result};
use crate::human::{age, duration, fit, pad, short, until};
use crate::model::{Run, Waiting, decode, inline, text};
use crate::names;
use crate::output::Out;
use crate::paint::Tone;
use crate::result::outputs;
use crate::table::{Table, cell, status};
use crate::wait::next_commands;

/// Show a run: its steps, why it waits, what it changed
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  miractl run get 9f3a21bc
  miractl run get @last
  miractl run get @last:silence-noisy-alert -o json | jq .outputs")]
pub(crate) struct Cmd {
    /// The run: an id, an ending of it, @last or @last:WORKFLOW
    run: String,
}

/// Shows the run.
pub(crate) async fn execute(ctx: &Ctx, cmd: &Cmd) -> Result<Exit> {
    let api = ctx.api()?;
    let id = names::run_id(api, &cmd.run).await?;
    let value = api.send(Call::get(v1(["runs", &id]))).await?.json()?;
    ctx.out.thing(&value, text(&value, "id"), || {
        page(&value, ctx.now(), &ctx.out)
    })?;
    Ok(Exit::Ok)
}

fn page(value: &Value, now: Timestamp, out: &Out) -> String {
    let run: Run = decode(value);
    let mut text = head(&run, now, out);
    text.push_str(&steps(&run, now, out));
    section(
        &mut text,
        out,
        "Waits",
        run.waiting_for.iter().map(|w| waits(w, now)),
    );
    section(
        &mut text,
        out,
        "Changed",
        run.changes.iter().map(|c| {
            let item = c
                .item
                .as_ref()
                .filter(|i| !i.is_null())
                .map(|i| format!("[{}]", inline(i)))
                .unwrap_or_default();
            format!(
                "{}{item}  {} ({})  {}",
                c.step,
                c.action,
                c.permission,
                out.paint().status(&c.outcome)
            )
        }),
    );
    let results = outputs(&run.outputs);
    section(
        &mut text,
        out,
        "Outputs",
        results.lines().map(str::to_owned),
    );
    if !out.quiet {
        section(&mut text, out, "Next", next_commands(&run).into_iter());
    }
    text
}

fn head(run: &Run, now: Timestamp, out: &Out) -> String {
    let paint = out.paint();
    let mut rows = vec![("run", run.id.clone())];
    if !run.workflow.is_empty() {
        rows.push((
            "workflow",
            format!("{}, revision {}", run.workflow, run.revision),
        ));
    }
    let took = run.took(now).map(duration).unwrap_or_default();
    let after = if run.ended() { "after" } else { "for" };
    rows.push((
        "status",
        format!(
            "{} {after} {took}",
            paint.status(&run.status.replace('_', " "))
        ),
    ));
    let why = run.why();
    // What it waits for has a part of its own.
    if !why.is_empty() && run.waiting_for.is_empty() {
        rows.push(("why", paint.tone(Tone::of(&run.status), why)));
    }
    let hook = run
        .trigger
        .hook
        .as_ref()
        .filter(|_| !run.requester.starts_with("hook:"));
    let hook = hook
        .map(|hook| format!(", through hook {hook}"))
        .unwrap_or_default();
    rows.push(("asked by", format!("{}{hook}", run.requester)));
    if let Some(at) = run.created_at {
        rows.push(("created", format!("{at:.0} ({} ago)", age(at, now))));
    }
    let room = out.columns().saturating_sub(11);
    let pairs = |map: &mut dyn Iterator<Item = (String, &Value)>| {
        map.map(|(name, value)| format!("{name}={}", inline(value)))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let inputs = run
        .inputs
        .as_object()
        .map(|map| pairs(&mut map.iter().map(|(k, v)| (k.clone(), v))))
        .unwrap_or_default();
    let labels = pairs(&mut run.labels.iter().map(|(k, v)| (k.clone(), v)));
    for (name, shown) in [("inputs", inputs), ("labels", labels)] {
        if !shown.is_empty() {
            rows.push((
                name,
                if out.width.is_some() {
                    fit(&shown, room)
                } else {
                    shown
                },
            ));
        }
    }
    rows.iter()
        .map(|(name, value)| format!("{}{value}\n", paint.dim(pad(name, 11))))
        .collect()
}

fn steps(run: &Run, now: Timestamp, out: &Out) -> String {
    if run.steps.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&["STEP", "~DOES", "STATUS", "TRIES", "TOOK", "~WHY"]);
    for step in &run.steps {
        table.row(vec![
            step.id.clone().into(),
            step.does().into(),
            status(&step.status),
            step.tries().into(),
            step.took(now).map(duration).unwrap_or_default().into(),
            cell(step.why(), Tone::Dim),
        ]);
    }
    format!("\n{}\n", table.render(out))
}

fn waits(waiting: &Waiting, now: Timestamp) -> String {
    let since = waiting
        .since
        .map(|t| format!(" since {}", age(t, now)))
        .unwrap_or_default();
    let end = waiting
        .until
        .map(|t| format!(", ends {}", until(t, now)))
        .unwrap_or_default();
    let id = waiting.id.as_deref().map(short).unwrap_or_default();
    let what = match waiting.kind.as_str() {
        "approval" => format!("for approval {id}"),
        "in_doubt" => "for a person: it is not known whether its change was made".to_owned(),
        "timer" => "for the time".to_owned(),
        "plugin" => format!(
            "for an agent that offers {}",
            if id.is_empty() { "its action" } else { id }
        ),
        other => format!("for {} {id}", other.replace('_', " "))
            .trim_end()
            .to_owned(),
    };
    format!("{} {what}{since}{end}", waiting.step)
        .trim_start()
        .to_owned()
}

fn section(text: &mut String, out: &Out, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.collect();
    if lines.is_empty() {
        return;
    }
    text.push_str(&format!("\n{}\n", out.paint().strong(title)));
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_page_says_why_it_waits_what_it_changed_and_what_comes_next() {
        let run = json!({
            "id": "0197c0de-1111-7abc-8def-0123456789ab", "workflow": "silence", "revision": 3, "status": "waiting",
            "requester": "hook:alerts", "created_at": "2026-01-01T00:00:00Z", "started_at": "2026-01-01T00:00:00Z",
            "inputs": {"alertname": "HighLatency"}, "trigger": {"kind": "hook", "hook": "alerts"},
            "steps": [{"id": "rate", "action": "metrics/range_query", "status": "succeeded",
                       "attempts": [{"number": 1, "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:00.412Z"}]}],
            "waiting_for": [{"kind": "approval", "step": "silence", "id": "0197c0de-1111-7abc-8def-bbbbbbbbbbbb",
                             "since": "2026-01-01T00:00:01Z", "until": "2026-01-01T00:30:00Z"}],
            "changes": [{"step": "page", "item": null, "action": "chat/post", "permission": "MODIFY", "outcome": "succeeded"}],
        });
        let now = "2026-01-01T00:02:00Z".parse().expect("a time");
        let text = page(&run, now, &Out::default());
        for part in [
            "silence, revision 3",
            "waiting for 2m",
            "hook:alerts\n",
            "inputs     alertname=HighLatency",
            "412ms",
            "silence for approval bbbbbbbb since 1m, ends in 28m",
            "page  chat/post (MODIFY)  succeeded",
            "miractl approval approve bbbbbbbb",
            "miractl run cancel 456789ab",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
