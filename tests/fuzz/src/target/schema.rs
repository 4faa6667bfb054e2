//! JSON Schemas as agents and workflows bring them, and values that are held to them.

use engine::expression::Type;
use engine::schema::Schema;
use serde_json::Value;

use crate::parts::halves;

/// A schema and a value.
pub(crate) fn read(data: &[u8]) {
    let Some((schema, value)) = halves(data) else {
        return;
    };
    let Ok(schema) = serde_json::from_str::<Value>(schema) else {
        return;
    };
    let _ = Type::from_schema(&schema);
    let Ok(compiled) = Schema::compile(&schema) else {
        return;
    };
    let Ok(value) = serde_json::from_str::<Value>(value) else {
        return;
    };
    let found = compiled.validate(&value);
    if let Err(violations) = &found {
        assert!((1..=20).contains(&violations.len()));
        for violation in violations {
            assert!(value.pointer(&violation.pointer).is_some(), "{violation}");
        }
    }
    let coerced = compiled.coerce(value);
    assert_eq!(compiled.coerce(coerced.clone()), coerced);
    if found.is_ok() {
        assert_eq!(compiled.validate(&coerced), Ok(()));
    }
}
