//! Records of a journal as lines for people: when, which step, what happened.
//!
//! The events' names are those of the engine. One that this version does not know is shown by its
//! name, in words: a newer server's timeline must not have holes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::human::{self, count, pad};
use crate::model::{clean, error_text, skip_reason, text, time};
use crate::paint::{Paint, Tone};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// When it was decided.
    pub(crate) at: Option<Timestamp>,
    /// The step, or `run`.
    pub(crate) subject: String,
    /// What happened.
    pub(crate) text: String,
    /// What that means.
    pub(crate) tone: Tone,
}

/// Turns records into lines, in the order in which they come.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Steps are numbers in the journal; the events that add them tell their names.
    names: BTreeMap<u64, String>,
}

impl Timeline {
    /// The lines of one record.
    pub(crate) fn lines(&mut self, record: &Value) -> Vec<Line> {
        let record = clean(record);
        let at = time(&record, "at");
        let events = record["events"].as_array().cloned().unwrap_or_default();
        let told_by_end = |event: &Value| events.iter().any(|later| is_end_of(later, event));
        let mut lines = Vec::new();
        for event in &events {
            self.learn(event);
            if !told_by_end(event)
                && let Some((text, tone)) = say(event, at)
            {
                let subject = self.subject(event);
                let own = format!("step {subject}: ");
                lines.push(Line {
                    at,
                    text: text.replacen(&own, "", 1),
                    subject,
                    tone,
                });
            }
        }
        lines
    }

    /// The name of the step that an event or a progress message is about; `run` if it is about none.
    pub(crate) fn subject(&self, event: &Value) -> String {
        let step = &event["step"];
        match (step.as_u64(), step.as_str()) {
            (Some(number), _) => self
                .names
                .get(&number)
                .cloned()
                .unwrap_or_else(|| format!("step {number}")),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "run".to_owned(),
        }
    }

    fn learn(&mut self, event: &Value) {
        if let (Some(number), Some(name)) = (event["step"].as_u64(), event["name"].as_str()) {
            self.names.insert(number, name.to_owned());
        }
    }
}

impl Line {
    /// As it is printed: local time, subject, text.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let clock = self.at.map_or_else(|| "        ".to_owned(), clock);
        format!(
            "{}  {}  {}",
            paint.dim(clock),
            pad(&self.subject, 16),
            paint.tone(self.tone, &self.text)
        )
    }
}

/// A time of day where this is read.
pub(crate) fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::system())
        .strftime("%H:%M:%S")
        .to_string()
}

/// Whether `later` tells what `event` tells, and more: a last failed attempt ends its step, and what
/// stops a run ends it where nothing else is left to do.
fn is_end_of(later: &Value, event: &Value) -> bool {
    match (text(event, "type"), text(later, "type")) {
        ("AttemptFailed", "StepEnded") => event["step"] == later["step"],
        ("RunStopping", "RunEnded") => true,
        _ => false,
    }
}

/// What an event says; `None` for those that only the engine needs.
fn say(event: &Value, at: Option<Timestamp>) -> Option<(String, Tone)> {
    let kind = text(event, "type");
    if matches!(kind, "StepAdded" | "StepPrepared") {
        return None;
    }
    let said = of_run(kind, event)
        .or_else(|| of_step(kind, event, at))
        .or_else(|| of_attempt(kind, event, at))
        .or_else(|| of_approval(kind, event, at));
    // An inner `None` is an event that is told by another one.
    said.unwrap_or_else(|| Some((words(kind), Tone::Plain)))
}

type Said = Option<Option<(String, Tone)>>;

fn line(text: impl Into<String>, tone: Tone) -> Said {
    Some(Some((text.into(), tone)))
}

fn of_run(kind: &str, event: &Value) -> Said {
    let who = || text(event, "who");
    match kind {
        "RunCreated" => line(
            format!("created by {}", human::dash(text(event, "requester"))),
            Tone::Plain,
        ),
        "RunStarted" => line("started", Tone::Plain),
        "RunEnded" => Some(Some(ended(event))),
        "RunStopping" => line(
            with_reason("stops".to_owned(), &error_text(&event["failure"])),
            Tone::Attention,
        ),
        "RunTimedOut" => line("its time is over", Tone::Bad),
        "RunResumed" => line(format!("resumed by {}", who()), Tone::Plain),
        "RunParked" | "RunRestored" => line(
            with_reason("parked".to_owned(), &error_text(&event["failure"])),
            Tone::Attention,
        ),
        "CancelRequested" => line(
            with_reason(format!("cancel asked by {}", who()), text(event, "reason")),
            Tone::Attention,
        ),
        "SectionEntered" => Some(section(text(event, "section"))),
        _ => None,
    }
}

fn of_step(kind: &str, event: &Value, now: Option<Timestamp>) -> Said {
    match kind {
        "StepSkipped" => line(
            format!("skipped: {}", skip_reason(text(event, "reason"))),
            Tone::Dim,
        ),
        "WaitStarted" => line(
            format!("waits until {}", at_clock(event, "until", now)),
            Tone::Plain,
        ),
        "FanOutOpened" => {
            let items = event["keys"].as_array().map_or(0, Vec::len);
            line(format!("opens {}", count(items, "item")), Tone::Plain)
        }
        "StepInDoubt" => line(
            format!("in doubt: {}", text(event, "reason")),
            Tone::Attention,
        ),
        "StepResolved" => Some(Some(resolved(event))),
        "StepSucceeded" => line("succeeded", Tone::Good),
        "StepEnded" => Some(Some(ended(event))),
        _ => None,
    }
}

fn of_attempt(kind: &str, event: &Value, now: Option<Timestamp>) -> Said {
    match kind {
        "AttemptDispatched" => line(attempt(event, "running"), Tone::Busy),
        "AttemptGranted" => line(
            format!("{} may make its call", human::dash(text(event, "worker"))),
            Tone::Busy,
        ),
        "AttemptNotCalled" => line("given back before its call was made", Tone::Dim),
        "AttemptLost" => line(
            "its worker is gone; it is handed out again",
            Tone::Attention,
        ),
        "AttemptFailed" => line(
            with_reason(attempt(event, "failed"), &error_text(&event["failure"])),
            Tone::Attention,
        ),
        "RetryScheduled" => line(
            format!("tried again at {}", at_clock(event, "at", now)),
            Tone::Plain,
        ),
        "SettlementScheduled" => line(
            format!(
                "outcome not known; settled from {} on",
                at_clock(event, "at", now)
            ),
            Tone::Attention,
        ),
        "LookUpDispatched" => line("the agent is asked what became of the call", Tone::Busy),
        _ => None,
    }
}

fn of_approval(kind: &str, event: &Value, now: Option<Timestamp>) -> Said {
    match kind {
        "ApprovalRequested" | "QuestionAsked" => line(
            format!(
                "{} for an approval ({}) until {}",
                if kind == "QuestionAsked" {
                    "its agent asks"
                } else {
                    "waits"
                },
                text(event, "permission"),
                at_clock(event, "expires_at", now)
            ),
            Tone::Attention,
        ),
        "QuestionClosed" if !event["decision"].is_null() => Some(Some(decided(&event["decision"]))),
        "QuestionClosed" => Some(closed(event)),
        "ApprovalDecided" => Some(Some(decided(&event["decision"]))),
        "ApprovalClosed" => Some(closed(event)),
        _ => None,
    }
}

fn ended(event: &Value) -> (String, Tone) {
    let status = text(event, "status");
    (
        with_reason(status.replace('_', " "), &error_text(&event["failure"])),
        Tone::of(status),
    )
}

fn decided(decision: &Value) -> (String, Tone) {
    let approved = decision["approve"]
        .as_bool()
        .unwrap_or_else(|| text(decision, "decision").starts_with("approve"));
    let (word, tone) = if approved {
        ("approved", Tone::Good)
    } else {
        ("rejected", Tone::Bad)
    };
    (
        with_reason(
            format!("{word} by {}", text(decision, "who")),
            text(decision, "comment"),
        ),
        tone,
    )
}

fn closed(event: &Value) -> Option<(String, Tone)> {
    let state = text(event, "state");
    // A decision has a line of its own, and so has the outcome that uses an approval up.
    let told = matches!(state, "approved" | "rejected" | "used");
    (!told).then(|| {
        (
            with_reason(format!("approval {state}"), text(event, "reason")),
            Tone::Attention,
        )
    })
}

fn resolved(event: &Value) -> (String, Tone) {
    let outcome = if event["done"].as_bool().unwrap_or(false) {
        "done"
    } else {
        "not done"
    };
    (
        with_reason(
            format!("resolved as {outcome} by {}", text(event, "who")),
            text(event, "comment"),
        ),
        Tone::Plain,
    )
}

fn section(section: &str) -> Option<(String, Tone)> {
    (section != "steps").then(|| (format!("goes on with {section}"), Tone::Attention))
}

fn attempt(event: &Value, word: &str) -> String {
    match event["attempt"].as_u64() {
        Some(number) if number > 1 => format!("{word} (attempt {number})"),
        Some(_) | None => word.to_owned(),
    }
}

/// A time that is named beside `now`: with its date where that is another day.
fn at_clock(event: &Value, field: &str, now: Option<Timestamp>) -> String {
    let Some(then) = time(event, field) else {
        return "?".to_owned();
    };
    let day = |t: Timestamp| t.to_zoned(TimeZone::system()).date();
    let date = now
        .is_none_or(|now| day(now) != day(then))
        .then(|| format!("{} ", day(then)));
    format!("{}{}", date.unwrap_or_default(), clock(then))
}

fn with_reason(mut text: String, reason: &str) -> String {
    if !reason.is_empty() {
        text.push_str(": ");
        text.push_str(reason);
    }
    text
}

/// `StepSignalled` as `step signalled`.
fn words(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.extend(c.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(events: &Value) -> Vec<(String, String)> {
        let record = json!({"n": 1, "at": "2026-01-01T00:00:00Z", "events": events});
        Timeline::default()
            .lines(&record)
            .into_iter()
            .map(|l| (l.subject, l.text))
            .collect()
    }

    #[test]
    fn steps_are_named_and_not_numbered() {
        let lines = told(&json!([
            {"type": "StepAdded", "step": 0, "name": "rate", "origin": {}},
            {"type": "AttemptDispatched", "step": 0, "attempt": 2},
            {"type": "StepEnded", "step": 0, "status": "timed_out", "failure": {"code": "timeout", "message": "20s passed"}},
            {"type": "StepSucceeded", "step": 7},
        ]));
        let expected = [
            ("rate", "running (attempt 2)"),
            ("rate", "timed out: 20s passed (timeout)"),
            ("step 7", "succeeded"),
        ];
        assert_eq!(lines, expected.map(|(s, t)| (s.to_owned(), t.to_owned())));
    }

    #[test]
    fn a_last_failure_is_told_once_and_without_its_own_name() {
        let failure = json!({"code": "timeout", "message": "20s passed", "step": "rate"});
        let lines = told(&json!([
            {"type": "AttemptFailed", "step": "rate", "attempt": 3, "failure": failure},
            {"type": "StepEnded", "step": "rate", "status": "timed_out", "failure": failure},
            {"type": "RunStopping", "status": "failed", "failure": failure},
            {"type": "RunEnded", "status": "failed", "failure": failure},
        ]));
        let expected = [
            ("rate", "timed out: 20s passed (timeout)"),
            ("run", "failed: step rate: 20s passed (timeout)"),
        ];
        assert_eq!(lines, expected.map(|(s, t)| (s.to_owned(), t.to_owned())));
    }

    #[test]
    fn a_time_on_another_day_has_its_date() {
        let near =
            told(&json!([{"type": "WaitStarted", "step": "w", "until": "2026-01-01T00:00:05Z"}]));
        assert!(!near[0].1.contains("2026"), "{near:?}");
        let far =
            told(&json!([{"type": "WaitStarted", "step": "w", "until": "2026-03-01T00:00:05Z"}]));
        assert!(
            far[0].1.contains("2026-03-01") || far[0].1.contains("2026-02-28"),
            "{far:?}"
        );
    }

    #[test]
    fn a_decision_is_told_once_with_its_comment() {
        let lines = told(&json!([
            {"type": "ApprovalDecided", "step": "silence", "decision": {"who": "key:alice", "approve": true, "comment": "ok"}},
            {"type": "ApprovalClosed", "step": "silence", "state": "approved", "reason": null},
            {"type": "ApprovalClosed", "step": "silence", "state": "withdrawn", "reason": "alert resolved"},
        ]));
        let expected = [
            ("silence", "approved by key:alice: ok"),
            ("silence", "approval withdrawn: alert resolved"),
        ];
        assert_eq!(lines, expected.map(|(s, t)| (s.to_owned(), t.to_owned())));
    }

    #[test]
    fn an_unknown_event_is_shown_in_words() {
        assert_eq!(
            told(&json!([{"type": "RunMovedAway"}])),
            [("run".to_owned(), "run moved away".to_owned())]
        );
    }
}
