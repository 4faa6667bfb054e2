//! The card of an approval: everything that one consents to, on one screen.

use jiff::Timestamp;
use serde_json::Value;

use crate::bar::{barred, fits, hung};
use crate::human::{age, fit, pad, short, until};
use crate::model::{Approval, Decision, inline};
use crate::output::pretty;
use crate::paint::{Paint, Tone};
use crate::question;

/// The card, `width` columns wide. What is consented to is never cut; only labels give way.
pub(crate) fn card(approval: &Approval, now: Timestamp, width: usize, paint: Paint) -> String {
    let mut text = head(approval, now, paint);
    let items: Vec<&Value> = approval.items.as_array().into_iter().flatten().collect();
    let asks = !approval.question.is_null();
    if asks {
        text.push_str(&question::question(&approval.question, width, paint));
    } else if items.is_empty() {
        let call = Call {
            params: &approval.params,
            sources: &approval.sources,
            secrets: &approval.secrets,
            time_range: &approval.time_range,
        };
        text.push_str(&format!("\n{}\n", paint.strong("Parameters")));
        text.push_str(&call.shown(width, paint));
    }
    for (n, item) in items.iter().enumerate() {
        let call = Call {
            params: &item["params"],
            sources: &item["sources"],
            secrets: &item["secrets"],
            time_range: &item["time_range"],
        };
        // Keys may be made of an outsider's words: quoted, they cannot begin a line of the card.
        let key = item["key"]
            .as_str()
            .map_or_else(|| n.to_string(), |key| format!("{key:?}"));
        let title = hung(&format!("Call {} of {}: {key}", n + 1, items.len()), width);
        text.push_str(&format!("\n{}\n", paint.strong(title)));
        text.push_str(&call.shown(width, paint));
    }
    if !approval.compensate.is_null() {
        let undo = one_line(&undo(&approval.compensate));
        let undo = match fits(&format!("Undo  {undo}"), width) {
            true => format!("  {undo}\n"),
            false => format!("\n{}", barred(&undo, 2, width)),
        };
        text.push_str(&format!("\n{}{undo}", paint.strong("Undo")));
    }
    for decision in &approval.decisions {
        text.push_str(&decided(decision, now, width, paint));
    }
    text.push_str(&outcome(approval, (!asks).then_some(items.len()), paint));
    text
}

/// One call that is consented to.
struct Call<'a> {
    params: &'a Value,
    sources: &'a Value,
    secrets: &'a Value,
    time_range: &'a Value,
}

impl Call<'_> {
    fn shown(&self, width: usize, paint: Paint) -> String {
        let mut text = params(self.params, self.sources, width, paint);
        text.push_str(&secrets(self.secrets, width, paint));
        text.push_str(&span(self.time_range));
        text
    }
}

fn decided(decision: &Decision, now: Timestamp, width: usize, paint: Paint) -> String {
    let word = match decision.decision.as_str() {
        "approve" => "approved",
        "reject" => "rejected",
        other => other,
    };
    let comment = decision.comment.as_ref().filter(|c| !c.is_empty());
    let comment = comment.map(|c| one_line(c)).unwrap_or_default();
    let at = decision
        .at
        .map(|t| format!(" {} ago", age(t, now)))
        .unwrap_or_default();
    let of = format!("by {}{at}", decision.who);
    let said = match comment.is_empty() {
        true => String::new(),
        false if fits(&format!("{word} {of}: {comment}"), width) => format!(": {comment}"),
        false => format!("\n{}", barred(&comment, 2, width).trim_end()),
    };
    format!("\n{} {of}{said}\n", paint.status(word))
}

fn head(approval: &Approval, now: Timestamp, paint: Paint) -> String {
    let admin = approval.permission == "ADMIN";
    let tone = if admin { Tone::Bad } else { Tone::Attention };
    let state = paint.tone(state_tone(&approval.state), &approval.state);
    let permission = paint.tone(tone, &approval.permission);
    let asked = approval
        .created_at
        .map(|t| format!(", {} ago", age(t, now)))
        .unwrap_or_default();
    let run = short(approval.run_id());
    let of = approval
        .workflow
        .as_ref()
        .map(|w| format!(" ({w})"))
        .unwrap_or_default();
    let mut rows = vec![
        ("approval", format!("{}  {state}", approval.id)),
        (
            "action",
            format!("{}  {permission}", paint.strong(&approval.action)),
        ),
        ("step", format!("{} of run {run}{of}", approval.step)),
        ("asked by", format!("{}{asked}", approval.requester)),
        ("deciders", deciders(approval)),
    ];
    if let Some(environment) = &approval.environment {
        rows.push(("env", environment.clone()));
    }
    if let Some(end) = approval.expires_at {
        rows.push(("expires", format!("{} ({end:.0})", until(end, now))));
    }
    rows.push(("digest", approval.digest.clone()));
    let row = |(name, value): &(&str, String)| format!("{}{value}\n", paint.dim(pad(name, 9)));
    rows.iter().map(row).collect()
}

fn deciders(approval: &Approval) -> String {
    let mut text = approval.by.join(", ");
    if text.is_empty() {
        text.push_str("whoever has the right");
    }
    if approval.quorum > 1 {
        text.push_str(&format!(", {} of them", approval.quorum));
    }
    if approval.not_requester {
        text.push_str(", but not who asked");
    }
    text
}

fn state_tone(state: &str) -> Tone {
    if state == "pending" {
        Tone::Attention
    } else {
        Tone::of(state)
    }
}

/// Each parameter with the places it comes from, so that words of outsiders are seen as such.
fn params(params: &Value, sources: &Value, width: usize, paint: Paint) -> String {
    let Some(map) = params.as_object().filter(|map| !map.is_empty()) else {
        return "  none\n".to_owned();
    };
    let mut text = String::new();
    for (name, value) in map {
        let line = format!("  {} = {}", one_line(name), inline(value));
        if fits(&line, width) {
            text.push_str(&format!("{line}\n"));
        } else {
            let name = hung(&format!("  {} =", one_line(name)), width);
            text.push_str(&format!("{name}\n{}", lines_of(value, width)));
        }
        let from = labels(&sources[name]);
        if !from.is_empty() {
            let outside = from.contains("outside") || from.contains("model");
            let tone = if outside { Tone::Attention } else { Tone::Dim };
            let line = fit(&format!("      from {from}"), width);
            text.push_str(&format!("{}\n", paint.tone(tone, line)));
        }
    }
    text
}

/// What span of time the call looks at.
fn span(range: &Value) -> String {
    if range.is_null() {
        return String::new();
    }
    format!(
        "  looks at {} to {}\n",
        inline(&range["start"]),
        inline(&range["end"])
    )
}

/// The lines of a long value. A bar before those of a text tells them from the card's own.
fn lines_of(value: &Value, width: usize) -> String {
    if let Some(text) = value.as_str() {
        return barred(text, 6, width);
    }
    let whole = pretty(value);
    let lines = whole.lines();
    let lines = lines.map(|line| hung(&format!("      {line}"), width) + "\n");
    lines.collect()
}

/// What the texts with secrets are put together from: in the parameters their places show as empty.
fn secrets(secrets: &Value, width: usize, paint: Paint) -> String {
    let Some(places) = secrets.as_array().filter(|places| !places.is_empty()) else {
        return String::new();
    };
    let title = "filled in when the call is made";
    let mut text = format!("  {}\n", paint.tone(Tone::Attention, title));
    for place in places {
        let parts = place["parts"].as_array().into_iter().flatten();
        let parts: Vec<String> = parts.map(part).collect();
        let at = one_line(&inline(&place["pointer"]));
        let line = format!("      {at} = {}", parts.join(" + "));
        text.push_str(&format!("{}\n", hung(&line, width)));
    }
    text
}

/// A part as it stands: text in quotes, a secret by its name. What this version does not know is shown as it came.
fn part(part: &Value) -> String {
    match (&part["text"], part["secret"]["name"].as_str()) {
        (Value::String(text), _) => format!("{text:?}"),
        (_, Some(name)) => format!("secret {name} version {}", part["secret"]["version"]),
        _ => part.to_string(),
    }
}

/// What may hold anybody's words, without beginning a line of its own.
fn one_line(text: &str) -> String {
    text.replace('\n', "\\n")
}

/// Labels such as `source=hook:alerts` and `trust=outside`: sources first, then how far to trust them.
fn labels(labels: &Value) -> String {
    let all: Vec<String> = match labels.as_array() {
        Some(list) => list.iter().map(inline).collect(),
        None if labels.is_null() => return String::new(),
        None => return inline(labels),
    };
    let part = |name: &str| {
        let found: Vec<&str> = all
            .iter()
            .filter_map(|l| l.strip_prefix(name)?.strip_prefix('='))
            .collect();
        found.join(", ")
    };
    let (source, trust) = (part("source"), part("trust"));
    match (source.is_empty(), trust.is_empty()) {
        (true, true) => all.join(", "),
        (false, true) => source,
        (true, false) => trust,
        (false, false) => format!("{source} ({trust})"),
    }
}

fn undo(compensate: &Value) -> String {
    match compensate["uses"]
        .as_str()
        .or_else(|| compensate["action"].as_str())
    {
        Some(action) => format!(
            "{action} {}",
            inline(compensate.get("with").unwrap_or(&compensate["params"]))
        ),
        None => inline(compensate),
    }
}

fn outcome(approval: &Approval, items: Option<usize>, paint: Paint) -> String {
    if approval.state != "pending" {
        return String::new();
    }
    let calls = match items {
        Some(0 | 1) => "one call is made, with exactly these parameters".to_owned(),
        Some(n) => format!("{n} calls are made, with exactly these parameters"),
        None => String::new(),
    };
    let mut text = if items.is_none() {
        question::outcome().to_owned()
    } else {
        format!("\nIf approved, {calls}.\nIf rejected, nothing is changed by this step.\n")
    };
    if !approval.i_may_decide {
        let sorry = "You may not decide this one: `miractl whoami` shows your rights.";
        text.push_str(&format!("{}\n", paint.tone(Tone::Attention, sorry)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::decode;
    use serde_json::json;

    fn shown(approval: &Value) -> String {
        let now = "2026-01-01T00:02:00Z".parse().expect("a time");
        card(&decode(approval), now, 80, Paint(false))
    }

    fn assert_has(text: &str, parts: &[&str]) {
        for part in parts {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn the_card_shows_everything_that_is_consented_to() {
        let text = shown(&json!({
            "id": "0197c0de-1111-7abc-8def-0123456789ab.3.1", "run": "0197c0de-1111-7abc-8def-0123456789ab", "step": "silence",
            "workflow": "quiet", "state": "pending", "action": "alertmanager/create_silence", "permission": "MODIFY", "digest": "sha256:9b0d",
            "params": {"duration": "1h", "token": "", "matchers": [{"name": "alertname", "value": "HighErrorRateOnAllOfTheFrontends", "more": "so that it is long"}]},
            "sources": {"matchers": ["source=hook:alerts", "tenant=default", "trust=outside"]},
            "secrets": [{"pointer": "/token", "parts": [{"text": "Bearer "}, {"secret": {"name": "am_token", "version": 3}}]}],
            "time_range": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:30:00Z"},
            "compensate": {"uses": "alertmanager/expire_silence", "with": {"id": "${{ output.id }}"}},
            "requester": "hook:alerts", "by": ["role:engineer"], "quorum": 2, "not_requester": true, "i_may_decide": false,
            "decisions": [{"who": "key:ada", "decision": "approve", "comment": "fine", "at": "2026-01-01T00:01:00Z"}],
            "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T00:30:00Z",
        }));
        assert_has(
            &text,
            &[
                "alertmanager/create_silence  MODIFY",
                "silence of run 456789ab (quiet)",
                "hook:alerts, 2m ago",
                "role:engineer, 2 of them, but not who asked",
                "in 28m (2026-01-01T00:30:00Z)",
                "sha256:9b0d",
                "duration = 1h",
                "HighErrorRateOnAllOfTheFrontends",
                "from hook:alerts (outside)",
                "looks at 2026-01-01T00:00:00Z to 2026-01-01T00:30:00Z",
                "\n      /token = \"Bearer \" + secret am_token version 3\n",
                "Undo  alertmanager/expire_silence {\"id\":\"${{ output.id }}\"}",
                "approved by key:ada 1m ago: fine",
                "one call is made, with exactly these parameters",
                "You may not decide this one",
            ],
        );
    }

    #[test]
    fn every_call_of_a_fan_out_is_on_the_card() {
        let text = shown(&json!({
            "state": "pending", "i_may_decide": true,
            "items": [{"key": "api-1", "params": {"host": "api-1"}, "sources": {"host": ["source=step:hosts", "trust=plugin"]}},
                      {"key": null, "params": {"host": "api-2"}, "sources": {}}],
        }));
        assert_has(
            &text,
            &[
                "Call 1 of 2: \"api-1\"\n  host = api-1\n      from step:hosts (plugin)",
                "Call 2 of 2: 1\n  host = api-2",
                "2 calls are made",
            ],
        );
    }

    #[test]
    fn what_stands_beside_a_secret_is_on_the_card_for_each_call() {
        let secrets = |host: &str| {
            let text = format!("https://{host}/hook?t=");
            json!([{"pointer": "/url", "parts": [{"text": text}, {"secret": {"name": "tok", "version": 3}}, {"text": "\n&x"}]}])
        };
        let one =
            shown(&json!({"state": "pending", "params": {"url": ""}, "secrets": secrets("evil")}));
        let put_together = |host: &str| {
            format!(
                "\n      /url = \"https://{host}/hook?t=\" + secret tok version 3 + \"\\n&x\"\n"
            )
        };
        assert_has(&one, &[&put_together("evil")]);
        let many = shown(&json!({
            "state": "pending",
            "items": [{"key": "a", "params": {"url": ""}, "secrets": secrets("evil")},
                      {"key": "b", "params": {"url": ""}, "secrets": secrets("worse")}],
        }));
        let (first, second) = many.split_once("Call 2 of 2").expect("two calls");
        assert_has(first, &[&put_together("evil")]);
        assert_has(second, &[&put_together("worse")]);
    }

    #[test]
    fn nobody_else_draws_lines_on_the_card() {
        let text = shown(&json!({
            "state": "pending",
            "items": [{"key": "a\nIf approved, nothing happens.", "params": {
                "of\n  false = 1": 1, "note": "x\n      from key:ada (person)",
            }}],
            "decisions": [{"who": "key:eve", "decision": "approve", "comment": "fine\n\nUndo  demo/undo {}"}],
        }));
        let drawn = |line: &&str| {
            ["If approved, n", "  false", "      from", "Undo"]
                .iter()
                .any(|begin| line.starts_with(begin))
        };
        assert_eq!(text.lines().find(drawn), None, "{text}");
        // Nor by what a terminal breaks.
        let long = |words: &str| format!("x{}{words}", " \t".repeat(90));
        let broken = shown(&json!({
            "state": "pending",
            "items": [{"key": long("If approved, nothing happens."), "params": {
                "note": long("If approved, n."), long("If approved, n"): {"deep": [long("If approved, nothing")]},
            }, "secrets": [{"pointer": "/note", "parts": [{"text": long("If approved, n")}]}]}],
            "compensate": {"uses": "demo/undo", "with": {"why": long("If approved, no")}},
            "decisions": [{"who": "key:eve", "decision": "approve", "comment": long("If approved, n")}],
        }));
        let drawn = |line: &&str| line.starts_with("If approved, n");
        assert_eq!(broken.lines().find(drawn), None, "{broken}");
        assert_eq!(
            broken.lines().find(|line| !fits(line, 80)),
            None,
            "{broken}"
        );
        assert_has(
            &text,
            &[
                r#"Call 1 of 1: "a\nIf approved, nothing happens.""#,
                "      | x\n",
            ],
        );
    }
}
