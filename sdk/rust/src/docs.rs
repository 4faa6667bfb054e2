//! An agent's page for people, made from its manifest.

use std::fmt::Write;

use proto::manifest::{Action, Manifest, Setting};
use serde_json::{Map, Value};

use crate::Duration;

/// How deep nested fields are shown.
const DEPTH_MAX: usize = 4;

/// The page. It changes only with the manifest, so it can be checked in and compared.
pub(crate) fn markdown(manifest: &Manifest) -> String {
    let mut page = format!(
        "# {}\n\n{}\n\n<!-- Made from the agent's manifest. Its test writes it with UPDATE_GOLDEN=1. -->\n",
        manifest.name, manifest.description
    );
    settings(&mut page, manifest);
    page.push_str("\n## Actions\n");
    for a in &manifest.actions {
        action(&mut page, &manifest.name, a);
    }
    page
}

fn settings(page: &mut String, manifest: &Manifest) {
    page.push_str("\n## Settings\n\n");
    if manifest.settings.is_empty() {
        page.push_str("None.\n");
        return;
    }
    line(
        page,
        &format!(
            "Set with `miractl agent config-set {} KEY=VALUE`.\n",
            manifest.name
        ),
    );
    line(page, "| key | type | default | |\n|---|---|---|---|");
    for setting in &manifest.settings {
        let default = default(setting);
        let secret = if setting.secret {
            " Secret: its value is never shown."
        } else {
            ""
        };
        line(
            page,
            &format!(
                "| `{}` | {} | {default} | {}{secret} |",
                setting.key,
                setting.kind.name(),
                cell(&setting.description)
            ),
        );
    }
}

fn default(setting: &Setting) -> String {
    match (&setting.default, setting.required) {
        (Some(value), _) => format!("`{value}`"),
        (None, true) => "required".to_owned(),
        (None, false) => "not set".to_owned(),
    }
}

fn action(page: &mut String, agent: &str, action: &Action) {
    line(
        page,
        &format!(
            "\n### {agent}/{}\n\n{}\n\n{}",
            action.id,
            action.description,
            traits(action)
        ),
    );
    fields(page, "Parameters", &action.input_schema, true);
    fields(page, "Result", &action.output_schema, false);
}

/// What the engine makes of the action, in one line.
fn traits(action: &Action) -> String {
    let level = serde_json::to_value(action.permission).expect("an enum of words");
    let mut line = format!("**{}**", level.as_str().expect("written as a word"));
    if action.idempotent {
        line.push_str(" · idempotent");
    }
    if action.lookup {
        line.push_str(" · an earlier call can be looked up");
    }
    if let Some(ms) = action.timeout_ms {
        let _ = write!(
            line,
            " · may take {} by default",
            Duration::from(std::time::Duration::from_millis(ms))
        );
    }
    line
}

fn fields(page: &mut String, title: &str, schema: &Value, of_input: bool) {
    let mut rows = Vec::new();
    collect(&mut rows, "", schema, of_input, 0);
    if rows.is_empty() {
        let nothing = if of_input && closed(schema) {
            "none"
        } else {
            "any JSON object"
        };
        return line(page, &format!("\n{title}: {nothing}."));
    }
    line(page, &format!("\n| {title} | type | |\n|---|---|---|"));
    for row in rows {
        line(page, &row);
    }
}

/// Nothing but what it names, and it names nothing.
fn closed(schema: &Value) -> bool {
    schema.get("additionalProperties") == Some(&Value::Bool(false))
        || schema.get("properties").is_none() && schema.get("additionalProperties").is_none()
}

/// A row for each field, required ones first.
fn collect(rows: &mut Vec<String>, path: &str, schema: &Value, of_input: bool, depth: usize) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut properties: Vec<_> = properties.into_iter().flatten().collect();
    properties.sort_by_key(|(name, _)| !is_required(schema, name));
    for (name, field) in properties {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let note = match (is_required(schema, name), of_input, allows_null(field)) {
            (false, _, _) => ", optional",
            (true, false, true) => " or null",
            (true, _, _) => "",
        };
        let field = without_null(field);
        rows.push(format!(
            "| `{path}` | {}{note} | {} |",
            type_of(field),
            describe(field)
        ));
        if depth < DEPTH_MAX {
            collect(rows, &path, field, of_input, depth + 1);
            if let Some(items) = field.get("items") {
                collect(
                    rows,
                    &format!("{path}[]"),
                    without_null(items),
                    of_input,
                    depth + 1,
                );
            }
        }
    }
}

fn allows_null(schema: &Value) -> bool {
    let null = Value::from("null");
    let listed = schema
        .get("type")
        .and_then(Value::as_array)
        .is_some_and(|types| types.contains(&null));
    listed || !std::ptr::eq(without_null(schema), schema)
}

/// `anyOf: [X, null]` is how an optional object is written.
fn without_null(schema: &Value) -> &Value {
    let variants = schema
        .get("anyOf")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    match variants {
        [inner, null] if null.get("type").is_some_and(|t| t == "null") => inner,
        _ => schema,
    }
}

fn is_required(schema: &Value, name: &str) -> bool {
    schema
        .get("required")
        .and_then(Value::as_array)
        .is_some_and(|names| names.iter().any(|n| n == name))
}

fn type_of(schema: &Value) -> String {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words: Vec<_> = words
            .iter()
            .filter(|w| !w.is_null())
            .map(|w| format!("`{}`", text(w)))
            .collect();
        return words.join(" or ");
    }
    match schema.get("type") {
        Some(Value::Array(types)) => types
            .iter()
            .map(text)
            .filter(|t| t != "null")
            .collect::<Vec<_>>()
            .join(" or "),
        Some(Value::String(name)) if name == "array" => match schema.get("items") {
            Some(items) => format!("array of {}", type_of(without_null(items))),
            None => "array".to_owned(),
        },
        Some(Value::String(name)) if name == "object" => object(schema),
        Some(one) => text(one),
        None => "any".to_owned(),
    }
}

fn object(schema: &Value) -> String {
    match schema.get("additionalProperties") {
        Some(values @ Value::Object(_)) => format!("object of {}", type_of(values)),
        Some(_) | None => "object".to_owned(),
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn describe(schema: &Value) -> String {
    let empty = Map::new();
    let schema = schema.as_object().unwrap_or(&empty);
    let description = schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match schema.get("default").filter(|value| !value.is_null()) {
        Some(value) => cell(&format!("{description} Default: `{}`.", text(value))),
        None => cell(description),
    }
}

/// One line that does not end its table cell.
fn cell(text: &str) -> String {
    text.split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}

fn line(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}
