//! Runs, steps and approvals as the API shows them.

pub(crate) mod approval;
pub(crate) mod run;
pub(crate) mod step;

use std::collections::BTreeMap;

use engine::code::Code;
use engine::event::Failure;
use engine::value::Value as Stored;
use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::ToSchema;

/// Larger values are shown by reference, in bytes.
const INLINE_MAX: u32 = 16 * 1024;

/// Why something did not succeed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Failure)]
pub(crate) struct ShownFailure {
    /// A stable code, or an action's own.
    code: String,
    /// What happened, where, and what to do.
    message: String,
    /// The step at whose door it happened.
    step: Option<String>,
}

impl ShownFailure {
    pub(crate) fn of(failure: &Failure) -> Self {
        Self {
            code: failure.code.clone(),
            message: failure.message.clone(),
            step: failure.step.clone(),
        }
    }

    /// Of a run whose journal cannot be read.
    pub(crate) fn damaged(what: &str) -> Self {
        Self {
            code: Code::RecordDamaged.to_string(),
            message: format!("its journal is damaged: {what}"),
            step: None,
        }
    }
}

/// A value: itself when it is small, else `{blob, size, sha256}` with the address that it can be read from.
pub(crate) fn value(value: &Stored, blobs: &str) -> Json {
    let inline = (value.size <= INLINE_MAX).then(|| value.inline_json());
    inline.flatten().unwrap_or_else(|| {
        json!({
            "blob": format!("{blobs}/{}", value.digest),
            "size": value.size,
            "sha256": value.digest,
        })
    })
}

/// Named values.
pub(crate) fn values(values: &BTreeMap<String, Stored>, blobs: &str) -> BTreeMap<String, Json> {
    values
        .iter()
        .map(|(name, stored)| (name.clone(), value(stored, blobs)))
        .collect()
}
