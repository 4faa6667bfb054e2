//! What is in scope where, with its type.

use serde_json::Value as Json;

use crate::definition::{Input, InputType, Step, StepKind, Workflow};
use crate::expression::{Scope, Type};
use crate::manifest::Actions;

/// Everywhere but in `on`.
pub(super) fn base(workflow: &Workflow) -> Scope {
    let inputs = workflow
        .inputs
        .iter()
        .map(|(name, i)| (name.clone(), input(i)));
    Scope::new()
        .with("inputs", Type::object(inputs))
        .with("run", run())
        .with("trigger", trigger())
        .with("environment", Type::Null)
}

pub(super) fn input(input: &Input) -> Type {
    if let Some(schema) = &input.schema {
        return Type::from_schema(schema);
    }
    match input.kind {
        InputType::String => Type::String,
        InputType::Integer => Type::Int,
        InputType::Number => Type::Double,
        InputType::Boolean => Type::Bool,
        InputType::Duration => Type::Duration,
        InputType::Timestamp => Type::Timestamp,
        InputType::Object => Type::map(Type::Dyn),
        InputType::Array => Type::list(Type::Dyn),
    }
}

fn run() -> Type {
    Type::object([
        ("id", Type::String),
        ("url", Type::String),
        ("workflow", Type::nullable(Type::String)),
        ("revision", Type::nullable(Type::Int)),
        ("created_at", Type::Timestamp),
        ("started_at", Type::nullable(Type::Timestamp)),
        ("requester", Type::String),
        ("labels", Type::Labels),
        ("now", Type::Timestamp),
    ])
}

fn trigger() -> Type {
    let text = || Type::nullable(Type::String);
    Type::object([
        ("kind", Type::String),
        ("hook", text()),
        ("delivery", text()),
        ("redelivery_of", text()),
    ])
}

/// `error` in `retry.if`.
pub(super) fn error() -> Type {
    Type::object([
        ("code", Type::String),
        ("message", Type::String),
        ("retryable", Type::Bool),
    ])
}

/// `failure` in handlers. In `finally` it is null when the run succeeded.
pub(super) fn failure() -> Type {
    let fields = [
        ("step", Type::nullable(Type::String)),
        ("code", Type::String),
        ("message", Type::String),
    ];
    Type::nullable(Type::object(fields))
}

/// `steps.X`
pub(super) fn step(step: &Step, actions: &Actions) -> Type {
    let output = match &step.kind {
        StepKind::Uses { action, .. } => actions
            .get(action)
            .and_then(|a| a.output.as_ref())
            .map(Type::from_schema),
        StepKind::Wait { .. } | StepKind::Assert { .. } => Some(Type::Null),
    };
    let output = output.unwrap_or_default();
    let mut fields = vec![
        ("status", Type::String),
        ("error", Type::nullable(step_error())),
    ];
    if step.for_each.is_some() {
        let item = Type::object([
            ("key", Type::String),
            ("item", Type::Dyn),
            ("status", Type::String),
            ("output", Type::nullable(output.clone())),
            ("error", Type::nullable(step_error())),
        ]);
        let counts = Type::object([
            ("succeeded", Type::Int),
            ("failed", Type::Int),
            ("skipped", Type::Int),
        ]);
        fields.push(("items", Type::list(item)));
        fields.push(("counts", counts));
        fields.push(("output", Type::nullable(Type::list(Type::nullable(output)))));
    } else {
        fields.push(("output", Type::nullable(output)));
    }
    Type::object(fields)
}

fn step_error() -> Type {
    let mut fields = vec![
        ("not_made", Type::Bool),
        ("step", Type::nullable(Type::String)),
    ];
    fields.extend([
        ("code", Type::String),
        ("message", Type::String),
        ("retryable", Type::Bool),
    ]);
    Type::object(fields)
}

/// `event` in `on`: of whichever type the hook is.
pub(super) fn event() -> Type {
    Type::object([
        ("alert", alert()),
        (
            "group",
            Type::object([
                ("key", Type::String),
                ("labels", Type::Labels),
                ("receiver", Type::String),
                ("external_url", Type::String),
            ]),
        ),
        ("alerts", Type::list(alert())),
        ("type", Type::String),
        ("action", Type::String),
        ("delivery", Type::String),
        ("id", Type::String),
        ("headers", Type::Labels),
        ("body", Type::Dyn),
    ])
}

fn alert() -> Type {
    Type::object([
        ("status", Type::String),
        ("labels", Type::Labels),
        ("annotations", Type::Labels),
        ("starts_at", Type::Timestamp),
        ("ends_at", Type::nullable(Type::Timestamp)),
        ("fingerprint", Type::String),
        ("generator_url", Type::String),
    ])
}

/// The type of a literal.
pub(super) fn literal(json: &Json) -> Type {
    match json {
        Json::Null => Type::Null,
        Json::Bool(_) => Type::Bool,
        Json::Number(number) if number.is_f64() => Type::Double,
        Json::Number(_) => Type::Int,
        Json::String(_) => Type::String,
        Json::Array(_) => Type::list(Type::Dyn),
        Json::Object(map) => Type::object(
            map.iter()
                .map(|(name, value)| (name.clone(), literal(value))),
        ),
    }
}
