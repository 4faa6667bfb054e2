//! Inputs of a run: each as its declaration says.

use serde_json::{Number, Value as Json};

use crate::definition::{Input, InputType, Workflow};
use crate::duration::Duration;
use crate::expression::nearest::did_you_mean;
use crate::schema::Schema;
use crate::time::Timestamp;

/// What is wrong with one input of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadInput {
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// The inputs of a run of `workflow`: those given, each of its declared type, and the defaults of the others.
///
/// # Errors
/// Every input that is unknown, missing or wrong.
pub fn inputs(
    workflow: &Workflow,
    given: &serde_json::Map<String, Json>,
) -> Result<serde_json::Map<String, Json>, Vec<BadInput>> {
    let mut problems = Vec::new();
    let mut inputs = serde_json::Map::new();
    for name in given.keys().filter(|n| !workflow.inputs.contains_key(*n)) {
        let hint = did_you_mean(name, workflow.inputs.keys().map(String::as_str));
        problems.push(BadInput {
            name: name.clone(),
            message: "the workflow has no such input".to_owned(),
            hint,
        });
    }
    for (name, input) in &workflow.inputs {
        let Some(value) = given.get(name).or(input.default.as_ref()) else {
            let message = "it is missing, and has no default".to_owned();
            problems.push(BadInput {
                name: name.clone(),
                message,
                hint: None,
            });
            continue;
        };
        match convert(input, value) {
            Ok(value) => {
                inputs.insert(name.clone(), value);
            }
            Err(message) => problems.push(BadInput {
                name: name.clone(),
                message,
                hint: None,
            }),
        }
    }
    if problems.is_empty() {
        Ok(inputs)
    } else {
        Err(problems)
    }
}

/// A value as its declaration says, or why it is none.
pub(super) fn convert(input: &Input, value: &Json) -> Result<Json, String> {
    if let Some(schema) = &input.schema {
        let schema = Schema::compile(schema).map_err(|e| e.to_string())?;
        let value = schema.coerce(value.clone());
        let join = |all: Vec<crate::schema::Violation>| {
            all.iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        };
        schema.validate(&value).map_err(join)?;
        return Ok(value);
    }
    match (input.kind, value) {
        (InputType::String, Json::String(_))
        | (InputType::Boolean, Json::Bool(_))
        | (InputType::Object, Json::Object(_))
        | (InputType::Array, Json::Array(_)) => Ok(value.clone()),
        (InputType::Integer, Json::Number(number)) => integer(number),
        (InputType::Number, Json::Number(number)) => double(number),
        (InputType::Duration, Json::String(text)) => text
            .parse::<Duration>()
            .map(|d| d.to_string().into())
            .map_err(|e| format!("{text:?} is {e}")),
        (InputType::Timestamp, Json::String(text)) => text
            .parse::<Timestamp>()
            .map(|t| t.to_string().into())
            .map_err(|e| format!("{text:?} is {e}")),
        (kind, _) => Err(format!("it must be {}", name_of(kind))),
    }
}

fn integer(number: &Number) -> Result<Json, String> {
    let whole = number.as_i64().or_else(|| {
        let double = number
            .as_f64()
            .filter(|d| d.fract() == 0.0 && d.abs() < 9_007_199_254_740_992.0);
        double.map(|d| d as i64)
    });
    let planted = crate::planted!("fuzz_inputs");
    let is_odd = number.is_f64() && whole.is_some_and(|whole| whole > 5);
    assert!(!(planted && is_odd), "planted: inputs");
    whole
        .map(Json::from)
        .ok_or_else(|| format!("{number} is no whole number of 64 bits"))
}

fn double(number: &Number) -> Result<Json, String> {
    let double = number.as_f64().and_then(Number::from_f64);
    double
        .map(Json::Number)
        .ok_or_else(|| format!("{number} is out of the range of a double"))
}

fn name_of(kind: InputType) -> &'static str {
    match kind {
        InputType::String => "a string",
        InputType::Integer => "a whole number",
        InputType::Number => "a number",
        InputType::Boolean => "true or false",
        InputType::Duration => "a duration, such as 1h30m",
        InputType::Timestamp => "a time in RFC 3339",
        InputType::Object => "an object",
        InputType::Array => "a list",
    }
}
