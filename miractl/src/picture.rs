//! One picture of a run: a line a step, as it stands at one moment. Pure, so that it can be tested.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::human::{duration, fit, pad, short, until};
use crate::model::{Run, Step};
use crate::paint::{Paint, Tone};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const SPINNER_ASCII: [&str; 4] = ["|", "/", "-", "\\"];
/// Wider names of steps are cut.
const NAME_MAX: usize = 24;

/// How and when it is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// The moment.
    pub(crate) now: Timestamp,
    /// Columns.
    pub(crate) width: usize,
    /// Rows; the picture never has more.
    pub(crate) height: usize,
    /// Counts up, to turn the spinner.
    pub(crate) beat: usize,
    /// Colours or none.
    pub(crate) paint: Paint,
    /// More than ASCII can be shown.
    pub(crate) utf8: bool,
}

/// The lines of the picture.
pub(crate) fn picture(run: &Run, progress: &BTreeMap<String, String>, look: &Look) -> Vec<String> {
    let mut lines = vec![head(run, look)];
    let waits = waits(run, look);
    // The last row stays free for the cursor.
    let room = look.height.saturating_sub(waits.len() + 3).max(1);
    let (above, shown, below) = window(&run.steps, room);
    let name = shown
        .iter()
        .map(|s| s.id.chars().count())
        .max()
        .unwrap_or(0)
        .min(NAME_MAX);
    if above > 0 {
        lines.push(look.paint.dim(format!("    {above} more above")));
    }
    lines.extend(
        shown
            .iter()
            .map(|step| step_line(step, name, progress.get(&step.id), look)),
    );
    if below > 0 {
        lines.push(look.paint.dim(format!("    {below} more below")));
    }
    lines.extend(waits);
    // A very small terminal shows the beginning; the cursor needs the last row.
    lines.truncate(look.height.saturating_sub(1).max(1));
    lines
}

fn head(run: &Run, look: &Look) -> String {
    let took = run.took(look.now).map(duration).unwrap_or_default();
    let name = if run.workflow.is_empty() {
        "run"
    } else {
        &run.workflow
    };
    let sign = sign(&run.status, look);
    let words = run.status.replace('_', " ");
    let left = pad(
        &format!("{name} {}", short(&run.id)),
        look.width.saturating_sub(words.len() + took.len() + 6),
    );
    format!(
        "{sign} {}  {}  {took}",
        look.paint.strong(left),
        look.paint.tone(Tone::of(&run.status), words)
    )
}

fn step_line(step: &Step, name: usize, progress: Option<&String>, look: &Look) -> String {
    let took = step.took(look.now).map(duration).unwrap_or_default();
    let words = step.status.replace('_', " ");
    let mut what = step.does().to_owned();
    if let (Some(progress), "running") = (progress, step.status.as_str()) {
        what = format!("{what}  {progress}");
    }
    match (step.counts.is_empty(), step.attempts.len()) {
        (false, _) => what = format!("{what}  {}", step.tries()),
        (true, 2..) => what = format!("{what}  attempt {}", step.tries()),
        (true, _) => {}
    }
    // sign, name, status and duration keep their columns; what stands between gives way.
    let rest = look.width.saturating_sub(4 + name + 2 + 2 + 10 + 2 + 7);
    format!(
        "  {} {}  {}  {}  {took:>6}",
        sign(&step.status, look),
        pad(&step.id, name),
        look.paint.dim(pad(&what, rest)),
        look.paint.tone(Tone::of(&step.status), pad(&words, 10)),
    )
}

/// What it waits for, and the command that settles it on a line of its own, to be copied.
fn waits(run: &Run, look: &Look) -> Vec<String> {
    let mut lines = Vec::new();
    for waiting in run.waiting_for.iter().take(5) {
        let end = waiting
            .until
            .map(|end| format!(", ends {}", until(end, look.now)));
        let end = end.unwrap_or_default();
        let id = short(waiting.id.as_deref().unwrap_or(&run.id));
        let (what, command) = match waiting.kind.as_str() {
            "approval" => (
                "waits for an approval".to_owned(),
                Some(format!("miractl approval approve {id}")),
            ),
            "in_doubt" => (
                "is in doubt".to_owned(),
                Some(format!("miractl run get {}", short(&run.id))),
            ),
            "timer" => ("waits".to_owned(), None),
            other => (format!("waits for {}", other.replace('_', " ")), None),
        };
        let said = fit(&format!("  {} {what}{end}", waiting.step), look.width);
        lines.push(look.paint.tone(Tone::Attention, said));
        lines.extend(command.map(|command| format!("    {command}")));
    }
    lines
}

/// The steps that fit: around the first one that has not ended.
fn window(steps: &[Step], room: usize) -> (usize, &[Step], usize) {
    if steps.len() <= room {
        return (0, steps, 0);
    }
    let room = room.saturating_sub(2).max(1); // for the two lines that tell what is not shown
    let front = steps.iter().position(|s| {
        matches!(
            s.status.as_str(),
            "running" | "waiting" | "pending" | "in_doubt"
        )
    });
    let front = front.unwrap_or(steps.len());
    let start = front.saturating_sub(room / 3).min(steps.len() - room);
    (
        start,
        &steps[start..start + room],
        steps.len() - start - room,
    )
}

fn sign(status: &str, look: &Look) -> String {
    let sign = match (status, look.utf8) {
        ("running", true) => SPINNER[look.beat % SPINNER.len()],
        ("running", false) => SPINNER_ASCII[look.beat % SPINNER_ASCII.len()],
        ("succeeded", true) => "✓",
        ("succeeded", false) => "+",
        ("failed" | "rejected" | "timed_out", true) => "✗",
        ("failed" | "rejected" | "timed_out", false) => "x",
        ("waiting" | "in_doubt" | "parked", _) => "?",
        ("skipped" | "cancelled", true) => "–",
        ("skipped" | "cancelled", false) => "-",
        (_, true) => "·",
        (_, false) => ".",
    };
    look.paint.tone(Tone::of(status), sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::decode;
    use serde_json::json;
    use unicode_width::UnicodeWidthStr;

    fn look(height: usize, utf8: bool) -> Look {
        Look {
            now: "2026-01-01T00:01:00Z".parse().expect("a time"),
            width: 80,
            height,
            beat: 0,
            paint: Paint(false),
            utf8,
        }
    }

    fn run(steps: usize) -> Run {
        let step = |n: usize| {
            json!({
                "id": format!("step_{n}"), "action": "metrics/range_query", "permission": "READ",
                "status": if n < 20 { "succeeded" } else if n == 20 { "running" } else { "pending" },
                "attempts": [{"number": 1, "started_at": "2026-01-01T00:00:58Z", "ended_at": "2026-01-01T00:00:59Z"}],
            })
        };
        decode(&json!({
            "id": "0197c0de-1111-7abc-8def-0123456789ab", "workflow": "silence-noisy-alert", "status": "running",
            "created_at": "2026-01-01T00:00:00Z", "steps": (0..steps).map(step).collect::<Vec<_>>(),
            "waiting_for": [{"kind": "approval", "step": "silence", "id": "0197c0de-1111-7abc-8def-aaaaaaaaaaaa", "until": "2026-01-01T00:30:00Z"}],
        }))
    }

    #[test]
    fn it_never_has_more_rows_and_columns_than_the_terminal() {
        for (steps, height) in [(3, 24), (100, 24), (100, 5), (0, 10)] {
            let lines = picture(&run(steps), &BTreeMap::new(), &look(height, true));
            assert!(
                lines.len() < height,
                "{steps} steps in {height} rows: {}",
                lines.join("\n")
            );
            assert!(
                lines.iter().all(|l| l.width() <= 80),
                "{}",
                lines.join("\n")
            );
        }
    }

    #[test]
    fn what_runs_now_is_always_in_sight() {
        let lines = picture(&run(100), &BTreeMap::new(), &look(12, true)).join("\n");
        assert!(lines.contains("step_20 "), "{lines}");
        assert!(
            lines.contains("more above") && lines.contains("more below"),
            "{lines}"
        );
        assert!(
            lines.contains("miractl approval approve aaaaaaaa"),
            "{lines}"
        );
    }

    #[test]
    fn a_plain_locale_gets_ascii() {
        let lines = picture(&run(30), &BTreeMap::new(), &look(usize::MAX, false)).join("\n");
        assert!(lines.is_ascii(), "{lines}");
        assert_eq!(lines.matches("succeeded").count(), 20);
    }
}
