//! A plugin's result, from JSON text to a value that a journal may name.

use engine::code::Code;
use engine::event::Failure;
use engine::job::Job;
use engine::value::{INLINE_BYTES_MAX, Labels, Trust, Value};
use store::Blobs;

use crate::Masks;
use crate::failure::{self, patiently};
use crate::schemas::Output;

/// So many violations are told.
const VIOLATIONS_TOLD: usize = 5;

/// The value of a result: valid by the action's schema, its numbers of the schema's types, without secrets, and in
/// `blobs` when it is large.
pub(crate) async fn accept(
    job: &Job,
    text: &[u8],
    schema: &Output,
    masks: &Masks,
    blobs: &dyn Blobs,
) -> Result<Value, Failure> {
    let action = &job.action.name;
    let mut json: serde_json::Value = serde_json::from_slice(text).map_err(|e| {
        wrong(
            Code::PluginProtocol,
            format!("the result of {action} is no JSON: {e}"),
        )
    })?;
    if let Some(schema) = schema.as_ref() {
        schema.validate(&json).map_err(|violations| {
            let told: Vec<String> = violations
                .iter()
                .take(VIOLATIONS_TOLD)
                .map(ToString::to_string)
                .collect();
            let told = told.join("; ");
            wrong(
                Code::OutputInvalid,
                format!("the result of {action} does not fit its schema: {told}"),
            )
        })?;
        json = schema.coerce(json);
    }
    masks.value(&mut json);
    let labels = Labels::new(
        Trust::Plugin,
        &format!("step:{}", step_id(&job.name)),
        job.key.tenant.as_str(),
    );
    let made = Value::make(&json, labels, INLINE_BYTES_MAX)
        .map_err(|e| wrong(Code::Limit, format!("the result of {action}: {e}")))?;
    if let Some(bytes) = made.blob {
        patiently(|| blobs.put(&job.key, made.value.digest, &bytes))
            .await
            .map_err(|e| Failure {
                not_made: false,
                ..failure::of_store(&e)
            })?;
    }
    Ok(made.value)
}

/// A failure after the call: whatever the action did stands.
fn wrong(code: Code, message: String) -> Failure {
    Failure {
        not_made: false,
        ..failure::made(code, message)
    }
}

/// The id of the step that a step or an item of a fan-out (`id[key]`) belongs to.
fn step_id(name: &str) -> &str {
    name.split_once('[').map_or(name, |(id, _)| id)
}
