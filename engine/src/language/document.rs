//! The documents as their authors write them: what the JSON Schema is generated from, and which keys there are.
//!
//! Nothing is read into these types; the reader walks the spanned tree, so that every problem has its place. Which keys
//! it takes comes from here.

#![expect(
    dead_code,
    reason = "the fields are what the schema is generated from; nothing reads them"
)]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::definition::{HookType, InputType, Mode, OnReject, OnTimeout, Per, Resolved};
use crate::principal::{Permission, Role};

/// A workflow: steps that are done in order, under the consent that policy demands.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Workflow {
    /// Its name: `[a-z0-9][a-z0-9-]{0,62}`.
    workflow: String,
    /// For people.
    description: Option<String>,
    /// Text by name; also on its runs.
    labels: Option<BTreeMap<String, String>>,
    /// Who answers for it.
    owner: Option<String>,
    /// Where to read what to do.
    runbook: Option<String>,
    /// What starts it besides people.
    on: Option<Vec<On>>,
    /// What it is given.
    inputs: Option<BTreeMap<String, Input>>,
    /// Named values, computed once when a run starts. They may use each other in the order of their names.
    vars: Option<BTreeMap<String, Value>>,
    /// How far it goes by itself. Default: `guided`.
    mode: Option<Mode>,
    /// The ceiling of what its steps may do. Default: the highest level of its steps.
    permission: Option<Permission>,
    /// Everything, waiting included. Default: `7d`.
    timeout: Option<String>,
    /// A run that has not started by then is cancelled. Default: `1h` for runs of hooks, no limit otherwise.
    start_within: Option<String>,
    /// What is done: 1 to 1,000 steps.
    steps: Vec<Step>,
    /// What a run answers: each a template.
    outputs: Option<BTreeMap<String, Value>>,
    /// Steps that are done when the run failed; `failure.step`, `failure.code`, `failure.message` are in scope.
    on_failure: Option<Vec<Step>>,
    /// Steps that are done in every case.
    finally: Option<Vec<Step>>,
}

/// Something outside that starts a run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct On {
    /// The name of a hook.
    hook: String,
    /// Only events for which this expression over `event` is true.
    r#if: Option<String>,
    /// The run's inputs: templates over `event`.
    with: Option<BTreeMap<String, Value>>,
    /// What a resolved alert does. Default: `cancel`.
    resolved: Option<Resolved>,
    /// A run for each alert, or one for the group. Default: `alert`.
    per: Option<Per>,
}

/// Something that a workflow is given.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// Its type; or write `schema`.
    r#type: Option<InputType>,
    /// A JSON Schema (2020-12) instead of a type.
    schema: Option<Value>,
    /// What holds when it is not given; without one it must be given.
    default: Option<Value>,
    /// For people.
    description: Option<String>,
}

/// A step. Exactly one of `uses`, `wait` and `assert` says what it does.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    /// Its id: `[a-z][a-z0-9_]{0,62}`.
    id: String,
    /// An action: `agent/action`.
    uses: Option<String>,
    /// The action's parameters: templates.
    with: Option<BTreeMap<String, Value>>,
    /// Waits so long: `5m`, or a template that gives a duration.
    wait: Option<String>,
    /// Fails unless this expression is true.
    assert: Option<String>,
    /// What to say when `assert` is false: a template.
    message: Option<String>,
    /// The steps that it waits for. Default: the step above; `[]` starts at once.
    needs: Option<Vec<String>>,
    /// Skipped unless this expression is true.
    r#if: Option<String>,
    /// Once for each item of the list that this expression gives; `item` and `index` are in scope.
    for_each: Option<String>,
    /// A template that gives each item a stable name. Default: its index.
    key: Option<String>,
    /// How many items at once: 1 to 1,000. Default: 10.
    max_parallel: Option<u32>,
    /// How many items may fail: a number, or a percentage such as `5%`. Default: 0.
    max_failed: Option<Value>,
    /// One attempt, from grant or dispatch to result. Default: the action's own, else `1m` READ, `10m` MODIFY and ADMIN.
    timeout: Option<String>,
    /// How often it is tried.
    retry: Option<Retry>,
    /// Its failure does not fail the run.
    continue_on_error: Option<bool>,
    /// What span of time it looks at.
    time_range: Option<TimeRange>,
    /// Who must consent, where it changes a system.
    approval: Option<Approval>,
}

/// How often a step is tried.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retry {
    /// Calls, the first included: 1 to 100. Default: 3 for READ, 1 for MODIFY and ADMIN.
    attempts: Option<u32>,
    /// Before the second call. Default: `1s`.
    delay: Option<String>,
    /// Each further delay is so many times the one before: 1 to 100. Default: 2.
    factor: Option<f64>,
    /// No delay is longer. Default: `30s`.
    max_delay: Option<String>,
    /// Only for errors for which this expression over `error` is true.
    r#if: Option<String>,
}

/// What span of time a step looks at: `last`, or `start` and `end`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeRange {
    /// The last so and so long: a template that gives a duration.
    last: Option<String>,
    /// The earlier end: a template that gives a time.
    start: Option<String>,
    /// The later end: a template that gives a time.
    end: Option<String>,
}

/// Who must consent to a step.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Approval {
    /// `role:NAME` entries: that role or higher. Default: everybody with the right.
    by: Option<Vec<String>>,
    /// How many different principals: 1 to 10. Default: 1.
    quorum: Option<u32>,
    /// How long the question stands. Default: `24h`.
    timeout: Option<String>,
    /// What a refusal does. Default: `stop`.
    on_reject: Option<OnReject>,
    /// What silence does. Default: `reject`.
    on_timeout: Option<OnTimeout>,
}

/// A hook: a named, authenticated entrance for events from outside.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hook {
    /// Its name: `[a-z0-9][a-z0-9-]{0,62}`.
    hook: String,
    /// For people.
    description: Option<String>,
    /// What comes in.
    r#type: HookType,
    /// How the sender proves itself.
    auth: Auth,
    /// The role of its service account, `hook:NAME`. Default: `operator`.
    role: Option<Role>,
    /// No more deliveries than this are taken.
    rate: Option<Rate>,
    /// `generic`: which headers an event shows.
    headers: Option<Vec<String>>,
    /// `generic`: an expression over `event` that makes two deliveries one, or `none`.
    dedupe: Option<String>,
}

/// How the sender proves itself: exactly one of them.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Auth {
    /// `Authorization: Bearer …`: one value, or two while rotating.
    bearer: Option<Vec<String>>,
    /// `Authorization: Basic …`: `user:password`, one value, or two while rotating.
    basic: Option<Vec<String>>,
    /// HMAC-SHA256 of the raw body, in hexadecimal, in a header.
    hmac: Option<Hmac>,
}

/// HMAC-SHA256 of the raw body.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hmac {
    /// The header that carries it; `github` has its own.
    header: Option<String>,
    /// What stands before the digits, such as `sha256=`; `github` has its own.
    prefix: Option<String>,
    /// The keys: one, or two while rotating.
    secrets: Vec<String>,
}

/// So many per so long.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    /// How many: 1 to 1,000,000.
    max: u32,
    /// In which time.
    per: String,
}

/// The JSON Schema of a document: a workflow or a hook.
pub(super) fn schema() -> Value {
    #[derive(Deserialize, JsonSchema)]
    #[serde(untagged)]
    enum Document {
        Workflow(Box<Workflow>),
        Hook(Box<Hook>),
    }
    let mut schema = schemars::schema_for!(Document);
    schema.insert(
        "title".to_owned(),
        "A document of Mirastack: a workflow or a hook".into(),
    );
    schema.to_value()
}

/// The keys of a mapping, from its type.
pub(super) fn keys<T: JsonSchema>() -> Vec<String> {
    let schema = schemars::schema_for!(T).to_value();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .map(|p| p.keys().cloned().collect())
        .unwrap_or_default()
}
