//! The agent whose actions documents are checked against.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use engine::manifest::{Action, ActionName, Actions};
use serde_json::{Value, json};

/// An action of each permission; between them, their schemas have every type.
pub(crate) static ACTIONS: LazyLock<Actions> = LazyLock::new(|| {
    let named = |action: Action| {
        let name = ActionName {
            agent: "demo".to_owned(),
            action: action.id.clone(),
        };
        (name, action)
    };
    let actions: Vec<Action> =
        serde_json::from_value(declared()).expect("it is written as manifests are");
    BTreeMap::from_iter(actions.into_iter().map(named))
});

/// As a manifest declares them.
pub(crate) fn declared() -> Value {
    let value = json!({
        "type": "object",
        "properties": {
            "text": {"type": "string"}, "count": {"type": "integer"}, "ratio": {"type": "number"},
            "on": {"type": "boolean"}, "list": {"type": "array", "items": {"$ref": "#/$defs/row"}},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "note": {"type": ["string", "null"]}, "level": {"enum": ["low", "high"]},
        },
        "required": ["text"],
        "additionalProperties": false,
        "$defs": {"row": {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "number"}}}},
    });
    json!([
        {"id": "read", "permission": "READ", "input": value, "output": value},
        {"id": "change", "permission": "MODIFY", "input": value, "output": value, "lookup": true, "settle_ms": 1000},
        {"id": "wipe", "permission": "ADMIN", "input": value, "idempotent": true, "timeout_ms": 5000},
        {"id": "any", "permission": "READ", "input": {"type": "object"}},
    ])
}
