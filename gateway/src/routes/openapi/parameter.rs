//! What the arguments of a request may be: by their names, for the same name is the same everywhere.

use engine::event::RunStatus;
use serde_json::{Value, json};

/// The id of an approval: `RUN.STEP.ASKING`.
const APPROVAL: &str = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[0-9]{1,9}\.[0-9]{1,9}$";
/// The name of a step, or of an item of a fan-out: `STEP[KEY]`.
const ITEM: &str = r"^[a-z][a-z0-9_]{0,62}(\[[\s\S]*\])?$";
/// `a=1,b=2`: what stands after a comma is another pair, or another value of the same name.
const LABELS: &str = r"^,*([^,=]*=[\s\S]*)?$";

/// Gives each parameter of a description its schema.
pub(super) fn refine(document: &mut Value) {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, item) in paths {
        for operation in item.as_object_mut().into_iter().flatten() {
            let parameters = operation.1.get_mut("parameters");
            let parameters = parameters.and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default();
                let schema = match parameter["in"].as_str() {
                    Some("path") => of_path(path, name),
                    Some("query") => of_query(path, name),
                    _ => of_key(),
                };
                parameter["schema"] = schema;
            }
        }
    }
}

/// A part of the path. All names are alike, but for those of agents and of secrets, which stand in expressions.
fn of_path(path: &str, name: &str) -> Value {
    match name {
        "name" if path.starts_with("/api/v1/secrets/") => text("^[a-z][a-z0-9_]{0,62}$"),
        "name" if path.starts_with("/api/v1/agents/") => text("^[a-z0-9][a-z0-9_-]{0,62}$"),
        "name" | "tenant" => text("^[a-z0-9][a-z0-9-]{0,62}$"),
        "sha256" => text("^[0-9a-f]{64}$"),
        // Where a step is looked at or settled, an item is as good.
        "step" if !path.contains("/items") => text(ITEM),
        "step" | "action" => text("^[a-z][a-z0-9_]{0,62}$"),
        "id" if path.starts_with("/api/v1/approvals/") => text(APPROVAL),
        "id" => json!({"type": "string", "format": "uuid"}),
        _ => json!({"type": "string", "minLength": 1}),
    }
}

/// An argument in the query.
fn of_query(path: &str, name: &str) -> Value {
    match name {
        "limit" => json!({"type": "integer", "minimum": 1, "maximum": 1_000, "default": 50}),
        "revision" => json!({"type": "integer", "minimum": 1}),
        "wait" => json!({"type": "integer", "minimum": 0}),
        "i_may_decide" => json!({"type": "boolean"}),
        "until" if path.ends_with("/{id}") => json!({"enum": ["", "end", "attention", "change"]}),
        "since" | "until" => {
            let time = json!({"type": "string", "format": "date-time"});
            json!({"anyOf": [time, {"const": ""}]})
        }
        "status" => some_of(RunStatus::ALL.iter().map(|status| status.as_str())),
        "state" => {
            let states = "pending approved rejected expired withdrawn used";
            some_of(states.split(' '))
        }
        "run" => {
            let id = json!({"type": "string", "format": "uuid"});
            json!({"anyOf": [id, {"const": ""}]})
        }
        "cursor" => text("^[A-Za-z0-9_-]*$"),
        "ending" => text("^([0-9a-f-]{6,36})?$"),
        "label" => text(LABELS),
        "parent" | "environment" => json!({"type": "string", "maxLength": 0}),
        _ => json!({"type": "string"}),
    }
}

/// `Idempotency-Key`.
fn of_key() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]([ -~]*[!-~])?$"})
}

/// Some of these words, with commas between them, or none.
fn some_of<'a>(words: impl Iterator<Item = &'a str>) -> Value {
    let one = words.collect::<Vec<_>>().join("|");
    text(&format!("^(({one})(,({one}))*)?$"))
}

fn text(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}
