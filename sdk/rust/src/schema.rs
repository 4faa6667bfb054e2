//! JSON Schemas made from Rust types, and inputs held to them.

use jsonschema::{Draft, Validator};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// How many problems of one input are told.
const PROBLEMS_MAX: usize = 10;

/// The schema of what an action takes. Parameters that it does not name are refused unless the type says
/// otherwise, since a misspelt optional parameter would be ignored in silence.
pub(crate) fn of_input<T: JsonSchema>() -> Value {
    let mut schema = root::<T>(SchemaSettings::draft2020_12().for_deserialize());
    if schema.contains_key("properties") && !schema.contains_key("additionalProperties") {
        schema.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    schema.entry("type").or_insert_with(|| json!("object"));
    Value::Object(schema)
}

/// The schema of what an action gives.
pub(crate) fn of_output<T: JsonSchema>() -> Value {
    Value::Object(root::<T>(SchemaSettings::draft2020_12().for_serialize()))
}

/// Self-contained (no references), and without the type's name, which is nobody's business.
fn root<T: JsonSchema>(settings: SchemaSettings) -> Map<String, Value> {
    let settings = settings.with(|s| {
        s.inline_subschemas = true;
        s.meta_schema = None;
    });
    match settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
    {
        Value::Object(mut schema) => {
            schema.remove("title");
            schema
        }
        // `true`: anything.
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// A schema, compiled once.
pub(crate) fn compile(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .build(schema)
        .map_err(|e| e.to_string())
}

/// All that is wrong with an input, as a sentence. Values are not repeated, since they may be secret.
pub(crate) fn problems(validator: &Validator, input: &Value) -> Option<String> {
    if validator.is_valid(input) {
        return None;
    }
    let problems: Vec<_> = validator
        .iter_errors(input)
        .take(PROBLEMS_MAX)
        .map(|e| match e.instance_path().as_str() {
            "" => e.masked().to_string(),
            path => format!("{path}: {}", e.masked()),
        })
        .collect();
    Some(problems.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, JsonSchema)]
    struct Query {
        /// What to ask.
        query: String,
        step: Option<crate::Duration>,
    }

    #[test]
    fn an_input_schema_refuses_what_it_does_not_name() {
        assert_eq!(
            of_input::<Query>(),
            json!({
                "type": "object", "required": ["query"], "additionalProperties": false,
                "properties": {
                    "query": { "type": "string", "description": "What to ask." },
                    "step": { "type": ["string", "null"], "pattern": "^([0-9]+(ms|s|m|h|d))+$" },
                },
            })
        );
    }

    #[test]
    fn a_schema_is_always_an_object() {
        assert_eq!(of_input::<Value>(), json!({ "type": "object" }));
        assert_eq!(of_output::<Value>(), json!({}));
    }

    #[test]
    fn problems_name_the_place_and_hide_the_value() {
        let validator = compile(&of_input::<Query>()).expect("our own schema");
        assert_eq!(problems(&validator, &json!({ "query": "up" })), None);
        let text =
            problems(&validator, &json!({ "query": 1234, "stp": "1m" })).expect("two problems");
        assert!(
            text.contains("/query: ") && text.contains("stp") && !text.contains("1234"),
            "{text}"
        );
    }
}
