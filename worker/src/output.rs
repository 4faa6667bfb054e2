//! A plugin's result, from JSON text to a value that a journal may name.

use engine::code::Code;
use engine::event::Failure;
use engine::job::Job;
use engine::value::{INLINE_BYTES_MAX, Labels, Made, Trust, Value};
use store::Blobs;
use strict_json::Unread;

use crate::Masks;
use crate::failure::{self, patiently};
use crate::schemas::Output;

/// So many violations are told.
const VIOLATIONS_TOLD: usize = 5;

/// What the values of a result weigh at most while they are looked at, in bytes. 4 MiB of points of time series, which
/// are lists of two numbers, weigh some 75 MiB.
pub(crate) const WEIGHT_MAX: usize = 96 * 1024 * 1024;

/// The value of a result: valid by the action's schema, its numbers of the schema's types, without secrets, and in
/// `blobs` when it is large.
pub(crate) async fn accept(
    job: &Job,
    text: &[u8],
    schema: &Output,
    masks: &Masks,
    blobs: &dyn Blobs,
) -> Result<Value, Failure> {
    let made = made(job, text, schema, masks)?;
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

/// The same before it is stored. What it is made from takes much memory, and is gone before anything is waited for.
fn made(job: &Job, text: &[u8], schema: &Output, masks: &Masks) -> Result<Made, Failure> {
    let action = &job.action.name;
    let mut json = strict_json::read_within(text, WEIGHT_MAX)
        .map_err(|unread| unreadable(job, text, &unread))?;
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
    Value::make(&json, labels, INLINE_BYTES_MAX)
        .map_err(|e| wrong(Code::Limit, format!("the result of {action}: {e}")))
}

fn unreadable(job: &Job, text: &[u8], unread: &Unread) -> Failure {
    let (code, is) = match unread {
        Unread::Heavy { .. } => {
            let length = text.len();
            (
                Code::Limit,
                format!("has {length} bytes of too many small values"),
            )
        }
        Unread::Wrong(e) if e.is_data() => {
            (Code::PluginProtocol, "can be read in two ways".to_owned())
        }
        Unread::Wrong(_) => (Code::PluginProtocol, "is no JSON".to_owned()),
    };
    let message = format!("the result of {} {is}: {unread}", job.action.name);
    wrong(code, failure::cut(message))
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
