//! The card of an approval: everything that one consents to, on one screen.

use jiff::Timestamp;
use serde_json::Value;

use crate::human::{age, fit, pad, short, until};
use crate::model::{Approval, Decision, inline};
use crate::output::pretty;
use crate::paint::{Paint, Tone};

/// The card, `width` columns wide. What is consented to is never cut; only labels give way.
pub(crate) fn card(approval: &Approval, now: Timestamp, width: usize, paint: Paint) -> String {
    let mut text = head(approval, now, paint);
    let items: Vec<&Value> = approval.items.as_array().into_iter().flatten().collect();
    if items.is_empty() {
        text.push_str(&format!("\n{}\n", paint.strong("Parameters")));
        let from = &approval.sources;
        text.push_str(&params(&approval.params, from, width, paint));
        text.push_str(&span(&approval.time_range));
    }
    for (n, item) in items.iter().enumerate() {
        let key = item["key"]
            .as_str()
            .map_or_else(|| n.to_string(), str::to_owned);
        let title = format!("Call {} of {}: {key}", n + 1, items.len());
        text.push_str(&format!("\n{}\n", paint.strong(title)));
        text.push_str(&params(&item["params"], &item["sources"], width, paint));
        text.push_str(&span(&item["time_range"]));
    }
    text.push_str(&secrets(&approval.secrets, paint));
    if !approval.compensate.is_null() {
        let undo = undo(&approval.compensate);
        text.push_str(&format!("\n{}  {undo}\n", paint.strong("Undo")));
    }
    for decision in &approval.decisions {
        text.push_str(&decided(decision, now, paint));
    }
    text.push_str(&outcome(approval, items.len(), paint));
    text
}

fn decided(decision: &Decision, now: Timestamp, paint: Paint) -> String {
    let word = match decision.decision.as_str() {
        "approve" => "approved",
        "reject" => "rejected",
        other => other,
    };
    let comment = decision.comment.as_ref().filter(|c| !c.is_empty());
    let comment = comment.map(|c| format!(": {c}")).unwrap_or_default();
    let at = decision
        .at
        .map(|t| format!(" {} ago", age(t, now)))
        .unwrap_or_default();
    format!(
        "\n{} by {}{at}{comment}\n",
        paint.status(word),
        decision.who
    )
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
        let short = inline(value);
        if short.len() + name.len() + 5 > width || short.contains('\n') {
            let whole = value.as_str().map_or_else(|| pretty(value), str::to_owned);
            text.push_str(&format!("  {name} =\n"));
            whole
                .lines()
                .for_each(|line| text.push_str(&format!("      {line}\n")));
        } else {
            text.push_str(&format!("  {name} = {short}\n"));
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

/// Where secrets are filled in: their places in the parameters show as empty.
fn secrets(secrets: &[Value], paint: Paint) -> String {
    if secrets.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n{}\n",
        paint.strong("Secrets, filled in when the call is made")
    );
    for place in secrets {
        let parts = place["parts"].as_array().into_iter().flatten();
        let named = parts.filter_map(|part| {
            let name = part["secret"]["name"].as_str()?;
            Some(format!("{name} version {}", part["secret"]["version"]))
        });
        let named = named.collect::<Vec<_>>().join(", ");
        text.push_str(&format!("  {}: {named}\n", inline(&place["pointer"])));
    }
    text
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

fn outcome(approval: &Approval, items: usize, paint: Paint) -> String {
    if approval.state != "pending" {
        return String::new();
    }
    let calls = match items {
        0 | 1 => "one call is made, with exactly these parameters".to_owned(),
        n => format!("{n} calls are made, with exactly these parameters"),
    };
    let mut text =
        format!("\nIf approved, {calls}.\nIf rejected, nothing is changed by this step.\n");
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
                "/token: am_token version 3",
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
                "Call 1 of 2: api-1\n  host = api-1\n      from step:hosts (plugin)",
                "Call 2 of 2: 1\n  host = api-2",
                "2 calls are made",
            ],
        );
    }
}
