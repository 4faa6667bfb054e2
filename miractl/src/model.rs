//! What the server shows, as far as a person sees it.
//!
//! Decoding is lenient on purpose: a field that is absent, null or of a form that a newer server
//! gave it becomes empty, for a list must not fail because of one cell. Whatever is printed as
//! JSON or YAML is the server's own answer and never goes through these types.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Takes the default where the value does not fit.
pub(crate) fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    from: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Decodes a whole answer for people; what does not fit is empty.
pub(crate) fn decode<T: DeserializeOwned + Default>(value: &Value) -> T {
    serde_json::from_value(clean(value)).unwrap_or_default()
}

/// A value whose texts cannot steer a terminal. Parameters and messages come from outside: an
/// alert's label must not be able to repaint an approval card.
pub(crate) fn clean(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean_text(text)),
        Value::Array(items) => Value::Array(items.iter().map(clean).collect()),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(k, v)| (clean_text(k), clean(v))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// `text` with control characters and those that turn the direction of writing made visible.
pub(crate) fn clean_text(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return text.to_owned();
    }
    let show = |c: char| {
        if steers(c) {
            c.escape_unicode().to_string()
        } else {
            c.to_string()
        }
    };
    text.chars().map(show).collect()
}

macro_rules! shown {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(default)]
        pub(crate) struct $name {
            $($(#[$field_doc])* #[serde(deserialize_with = "lenient")] pub(crate) $field: $kind,)*
        }
    };
}

shown! {
    /// A run.
    Run {
        id: String,
        workflow: String,
        revision: u64,
        status: String,
        reason: Option<String>,
        inputs: Value,
        outputs: Value,
        error: Value,
        labels: BTreeMap<String, Value>,
        requester: String,
        trigger: Trigger,
        created_at: Option<Timestamp>,
        started_at: Option<Timestamp>,
        ended_at: Option<Timestamp>,
        waiting_for: Vec<Waiting>,
        changes: Vec<Change>,
        steps: Vec<Step>,
    }
}

shown! {
    /// What started a run.
    Trigger {
        kind: String,
        hook: Option<String>,
        delivery: Option<String>,
    }
}

shown! {
    /// One thing that a run waits for.
    Waiting {
        kind: String,
        step: String,
        id: Option<String>,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    }
}

shown! {
    /// One call that changed something, or may have.
    Change {
        step: String,
        item: Option<Value>,
        action: String,
        permission: String,
        outcome: String,
    }
}

shown! {
    /// A step of a run.
    Step {
        id: String,
        kind: String,
        status: String,
        skipped: Option<String>,
        action: String,
        permission: String,
        attempts: Vec<Attempt>,
        started_at: Option<Timestamp>,
        ended_at: Option<Timestamp>,
        counts: BTreeMap<String, u64>,
        error: Value,
    }
}

shown! {
    /// One try of a step.
    Attempt {
        number: u64,
        worker: String,
        started_at: Option<Timestamp>,
        ended_at: Option<Timestamp>,
        error: Value,
    }
}

shown! {
    /// An approval.
    Approval {
        id: String,
        run: Value,
        step: String,
        workflow: Option<String>,
        items: Value,
        state: String,
        action: String,
        permission: String,
        environment: Option<String>,
        params: Value,
        sources: Value,
        secrets: Value,
        time_range: Value,
        compensate: Value,
        question: Value,
        timeout_ms: Option<u64>,
        digest: String,
        requester: String,
        by: Vec<String>,
        quorum: u64,
        not_requester: bool,
        decisions: Vec<Decision>,
        i_may_decide: bool,
        created_at: Option<Timestamp>,
        expires_at: Option<Timestamp>,
    }
}

shown! {
    /// One person's decision on an approval.
    Decision {
        who: String,
        decision: String,
        comment: Option<String>,
        at: Option<Timestamp>,
    }
}

impl Run {
    /// Whether nothing more will happen by itself or by anybody.
    pub(crate) fn ended(&self) -> bool {
        matches!(
            self.status.as_str(),
            "succeeded" | "failed" | "rejected" | "cancelled" | "timed_out"
        )
    }

    /// How long it has run, or ran.
    pub(crate) fn took(&self, now: Timestamp) -> Option<SignedDuration> {
        Some(
            self.ended_at
                .unwrap_or(now)
                .duration_since(self.started_at.or(self.created_at)?),
        )
    }

    /// Whether it waits for something of this kind.
    pub(crate) fn waits_for(&self, kind: &str) -> bool {
        self.waiting_for.iter().any(|w| w.kind == kind)
    }

    /// Why it ended as it did, in one line; empty if there is nothing to say.
    pub(crate) fn why(&self) -> String {
        let error = error_text(&self.error);
        let reason = self.reason.clone().unwrap_or_default();
        if error.is_empty() { reason } else { error }
    }
}

impl Step {
    /// How long it has been worked on, up to `now` while it is.
    pub(crate) fn took(&self, now: Timestamp) -> Option<SignedDuration> {
        let first = self.attempts.first().and_then(|a| a.started_at);
        let start = self.started_at.or(first)?;
        let open = matches!(self.status.as_str(), "running" | "waiting");
        let last = self.attempts.last().and_then(|a| a.ended_at);
        let end = if open {
            Some(now)
        } else {
            self.ended_at.or(last)
        };
        Some(end?.duration_since(start))
    }

    /// What it does: its action, else its kind.
    pub(crate) fn does(&self) -> &str {
        if self.action.is_empty() {
            &self.kind
        } else {
            &self.action
        }
    }

    /// What went wrong, from the step itself or its last attempt.
    pub(crate) fn why(&self) -> String {
        let of = |error: &Value| {
            let text = error_text(error);
            text.replacen(&format!("step {}: ", self.id), "", 1)
        };
        let own = of(&self.error);
        if !own.is_empty() {
            return own;
        }
        match (&self.skipped, self.attempts.last()) {
            (Some(reason), _) => skip_reason(reason).to_owned(),
            (None, Some(last)) => of(&last.error),
            (None, None) => String::new(),
        }
    }

    /// How often it was tried; of a fan-out, how many of its items are done.
    pub(crate) fn tries(&self) -> String {
        let count = |name: &str| self.counts.get(name).copied().unwrap_or_default();
        if let Some(total) = self.counts.get("total") {
            let done = count("succeeded") + count("failed") + count("skipped");
            return format!("{done}/{total}");
        }
        if self.attempts.is_empty() {
            String::new()
        } else {
            self.attempts.len().to_string()
        }
    }
}

/// Why a step was skipped, in words.
pub(crate) fn skip_reason(reason: &str) -> &str {
    match reason {
        "condition" => "its condition is false",
        "need" => "a step that it needs did not succeed",
        "stopped" => "the run stops",
        "rejected" => "its approval was refused",
        other => other,
    }
}

impl Approval {
    /// The id of its run, which some answers give as an object.
    pub(crate) fn run_id(&self) -> &str {
        self.run
            .as_str()
            .or_else(|| self.run["id"].as_str())
            .unwrap_or_default()
    }
}

/// An error as the API shows it, `{code, message, step}` or a plain text, in one line.
pub(crate) fn error_text(error: &Value) -> String {
    if let Some(text) = error.as_str() {
        return text.to_owned();
    }
    let part = |name: &str| error[name].as_str().filter(|text| !text.is_empty());
    let step = part("step")
        .map(|step| format!("step {step}: "))
        .unwrap_or_default();
    match (part("message"), part("code")) {
        (Some(message), Some(code)) => format!("{step}{message} ({code})"),
        (Some(text), None) | (None, Some(text)) => format!("{step}{text}"),
        (None, None) => String::new(),
    }
}

/// A text field of a row; empty if there is none.
pub(crate) fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

/// A time field of a row.
pub(crate) fn time(row: &Value, field: &str) -> Option<Timestamp> {
    row[field].as_str()?.parse().ok()
}

/// A value in one line: texts as they are, everything else as JSON.
pub(crate) fn inline(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A list of texts with commas between.
pub(crate) fn joined(list: &Value) -> String {
    let texts = list
        .as_array()
        .map(|items| items.iter().map(inline).collect::<Vec<_>>());
    texts.map_or_else(|| inline_or_empty(list), |texts| texts.join(", "))
}

fn inline_or_empty(value: &Value) -> String {
    if value.is_null() {
        String::new()
    } else {
        inline(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_of_another_form_is_still_shown() {
        let run: Run = decode(&json!({
            "id": "r", "status": "failed", "reason": null, "revision": "3", "steps": [{"id": "a", "attempts": null}],
            "error": {"code": "assert", "message": "no", "step": "a"}, "new_field": {"x": 1},
        }));
        assert_eq!(run.status, "failed");
        assert_eq!(run.revision, 0);
        assert_eq!(run.steps[0].id, "a");
        assert_eq!(run.why(), "step a: no (assert)");
    }

    #[test]
    fn no_text_from_outside_can_steer_the_terminal() {
        let hostile = json!({"params": {"\u{1b}[2J": "a\u{1b}[1A\u{202e}b\r\n\tc"}});
        let approval: Approval = decode(&hostile);
        let shown = approval.params.to_string();
        assert!(
            !shown.contains("\\u001b") && !shown.contains('\u{202e}') && !shown.contains("\\r"),
            "{shown}"
        );
        assert!(
            shown.contains("u{1b}[1A") && shown.contains("\\n\\tc"),
            "{shown}"
        );
    }

    #[test]
    fn an_approval_names_its_run_in_either_form() {
        let plain: Approval = decode(&json!({"run": "r1"}));
        let object: Approval = decode(&json!({"run": {"id": "r1"}}));
        assert_eq!((plain.run_id(), object.run_id()), ("r1", "r1"));
    }
}
