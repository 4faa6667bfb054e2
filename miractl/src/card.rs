//! The card of an approval: everything that one consents to, on one screen.

use jiff::Timestamp;
use serde_json::Value;

use crate::human::{age, fit, pad, short, until};
use crate::model::{Approval, inline, joined};
use crate::output::pretty;
use crate::paint::{Paint, Tone};

/// The card, `width` columns wide. What is consented to is never cut; only labels give way.
pub(crate) fn card(approval: &Approval, now: Timestamp, width: usize, paint: Paint) -> String {
    let mut text = head(approval, now, paint);
    text.push_str(&params(approval, width, paint));
    if !approval.items.is_null() {
        let items = approval.items.as_array().map_or(0, Vec::len);
        if items > 0 {
            text.push_str(&format!(
                "\n{} ({items})\n",
                paint.strong("Items, each with its own call")
            ));
            for item in approval.items.as_array().into_iter().flatten() {
                text.push_str(&format!("  {}\n", item_line(item)));
            }
        }
    }
    if !approval.compensate.is_null() {
        text.push_str(&format!(
            "\n{}  {}\n",
            paint.strong("Undo"),
            undo(&approval.compensate)
        ));
    }
    for decision in &approval.decisions {
        let comment = decision
            .comment
            .as_ref()
            .map(|c| format!(": {c}"))
            .unwrap_or_default();
        let at = decision
            .at
            .map(|t| format!(" {} ago", age(t, now)))
            .unwrap_or_default();
        text.push_str(&format!(
            "\n{} by {}{at}{comment}\n",
            decision.decision, decision.who
        ));
    }
    text.push_str(&outcome(approval, paint));
    text
}

fn head(approval: &Approval, now: Timestamp, paint: Paint) -> String {
    let tone = if approval.permission == "ADMIN" {
        Tone::Bad
    } else {
        Tone::Attention
    };
    let mut rows = vec![
        (
            "approval",
            format!(
                "{}  {}",
                approval.id,
                paint.tone(state_tone(&approval.state), &approval.state)
            ),
        ),
        (
            "action",
            format!(
                "{}  {}",
                paint.strong(&approval.action),
                paint.tone(tone, &approval.permission)
            ),
        ),
        (
            "step",
            format!("{} of run {}", approval.step, short(approval.run_id())),
        ),
        (
            "asked by",
            format!(
                "{}{}",
                approval.requester,
                approval
                    .created_at
                    .map(|t| format!(", {} ago", age(t, now)))
                    .unwrap_or_default()
            ),
        ),
    ];
    let by = if approval.by.is_empty() {
        "whoever has the right".to_owned()
    } else {
        approval.by.join(", ")
    };
    let quorum = if approval.quorum > 1 {
        format!(", {} of them", approval.quorum)
    } else {
        String::new()
    };
    rows.push(("deciders", format!("{by}{quorum}")));
    if let Some(environment) = &approval.environment {
        rows.push(("env", environment.clone()));
    }
    if let Some(end) = approval.expires_at {
        rows.push(("expires", format!("{} ({end:.0})", until(end, now))));
    }
    rows.push(("digest", approval.digest.clone()));
    rows.iter()
        .map(|(name, value)| format!("{}{value}\n", paint.dim(pad(name, 9))))
        .collect()
}

fn state_tone(state: &str) -> Tone {
    if state == "pending" {
        Tone::Attention
    } else {
        Tone::of(state)
    }
}

/// Each parameter with the places it comes from, so that words of outsiders are seen as such.
fn params(approval: &Approval, width: usize, paint: Paint) -> String {
    let Some(map) = approval.params.as_object() else {
        return if approval.params.is_null() {
            String::new()
        } else {
            format!("\n{}\n", pretty(&approval.params))
        };
    };
    let mut text = format!("\n{}\n", paint.strong("Parameters"));
    if map.is_empty() {
        text.push_str("  none\n");
    }
    for (name, value) in map {
        let short = inline(value);
        let long = short.len() + name.len() + 4 > width || short.contains('\n');
        if long {
            let whole = value.as_str().map_or_else(|| pretty(value), str::to_owned);
            text.push_str(&format!("  {name} =\n"));
            whole
                .lines()
                .for_each(|line| text.push_str(&format!("      {line}\n")));
        } else {
            text.push_str(&format!("  {name} = {short}\n"));
        }
        let from = labels(&approval.sources[name]);
        if !from.is_empty() {
            let outside = from.contains("outside") || from.contains("model");
            let line = fit(&format!("      from {from}"), width);
            text.push_str(&format!(
                "{}\n",
                paint.tone(if outside { Tone::Attention } else { Tone::Dim }, line)
            ));
        }
    }
    if !approval.sources.is_object() && !approval.sources.is_null() {
        text.push_str(&format!(
            "  {}\n",
            paint.dim(format!("from {}", joined(&approval.sources)))
        ));
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

fn item_line(item: &Value) -> String {
    match item["key"].as_str() {
        Some(key) => format!(
            "{key}: {}",
            inline(item.get("params").unwrap_or(&item["item"]))
        ),
        None => inline(item),
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

fn outcome(approval: &Approval, paint: Paint) -> String {
    if approval.state != "pending" {
        return String::new();
    }
    let calls = match approval.items.as_array().map_or(0, Vec::len) {
        0 | 1 => "one call is made, with exactly these parameters".to_owned(),
        n => format!("{n} calls are made, with exactly these parameters"),
    };
    let mut text =
        format!("\nIf approved, {calls}.\nIf rejected, nothing is changed by this step.\n");
    if !approval.i_may_decide {
        text.push_str(&format!(
            "{}\n",
            paint.tone(
                Tone::Attention,
                "You may not decide this one: `miractl whoami` shows your rights."
            )
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::decode;
    use serde_json::json;

    #[test]
    fn the_card_shows_everything_that_is_consented_to() {
        let approval: Approval = decode(&json!({
            "id": "0197c0de-1111-7abc-8def-bbbbbbbbbbbb", "run": "0197c0de-1111-7abc-8def-0123456789ab", "step": "silence",
            "state": "pending", "action": "alertmanager/create_silence", "permission": "MODIFY", "digest": "sha256:9b0d",
            "params": {"duration": "1h", "comment": "run 0197", "matchers": [{"name": "alertname", "value": "HighErrorRateOnAllOfTheFrontends", "more": "so that it is long"}]},
            "sources": {"matchers": ["source=hook:alerts", "tenant=default", "trust=outside"]},
            "compensate": {"uses": "alertmanager/expire_silence", "with": {"id": "${{ output.id }}"}},
            "requester": "hook:alerts", "by": ["role:engineer"], "quorum": 2, "i_may_decide": false,
            "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T00:30:00Z",
        }));
        let text = card(
            &approval,
            "2026-01-01T00:02:00Z".parse().expect("a time"),
            80,
            Paint(false),
        );
        for part in [
            "alertmanager/create_silence  MODIFY",
            "silence of run 456789ab",
            "hook:alerts, 2m ago",
            "role:engineer, 2 of them",
            "in 28m (2026-01-01T00:30:00Z)",
            "sha256:9b0d",
            "duration = 1h",
            "HighErrorRateOnAllOfTheFrontends",
            "from hook:alerts (outside)",
            "Undo  alertmanager/expire_silence {\"id\":\"${{ output.id }}\"}",
            "one call is made, with exactly these parameters",
            "You may not decide this one",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
