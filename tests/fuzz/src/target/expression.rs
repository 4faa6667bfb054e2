//! Expressions: checked, then evaluated within what they may cost.

use std::ops::Range;
use std::sync::LazyLock;

use engine::expression::{
    Budget, Error, Expression, RESULT_BYTES_MAX, Rendered, Scope, Template, Type, Values, View,
};
use serde_json::{Map, Value, json};

use crate::parts::text;

/// So many steps each evaluation has: far fewer than in use, so that many are made in a second.
const STEPS: u64 = 20_000;

/// The source of an expression, and the same as a condition and as a text with expressions in it.
pub(crate) fn read(data: &[u8]) {
    let Some(text) = text(data) else {
        return;
    };
    match Expression::compile(text, &SCOPE, None) {
        Ok(expression) => evaluated(text, &expression),
        Err(problems) => problems.iter().for_each(|p| assert_within(text, &p.span)),
    }
    if let Err(problems) = Expression::condition(text, &SCOPE) {
        problems.iter().for_each(|p| assert_within(text, &p.span));
    }
    match Template::parse(text, &SCOPE, None) {
        Ok(template) => rendered(text, &template),
        Err(problems) => problems.iter().for_each(|p| assert_within(text, &p.span)),
    }
}

/// The same values give the same answer, of the type that the check found.
fn evaluated(text: &str, expression: &Expression) {
    let values = Metered::new();
    let first = expression.evaluate(&values);
    assert_eq!(first, expression.evaluate(&Metered::new()));
    match first {
        Ok(value) => assert_fits(&value, expression.ty()),
        Err(error) => assert_told(text, &error),
    }
}

fn rendered(text: &str, template: &Template) {
    match template.render(&Metered::new()) {
        Ok(Rendered::Value(value)) => assert_fits(&value, template.ty()),
        Ok(Rendered::Secret(parts)) => assert!(!parts.is_empty()),
        Err(error) => assert_told(text, &error),
    }
}

fn assert_fits(value: &Value, ty: &Type) {
    let fits = match ty {
        Type::Bool => value.is_boolean(),
        Type::Int | Type::Uint => value.is_i64() || value.is_u64(),
        Type::Double => value.is_f64(),
        Type::String | Type::Duration | Type::Timestamp => value.is_string(),
        Type::List(_) => value.is_array(),
        Type::Map(_) | Type::Labels | Type::Object(_) => value.is_object(),
        Type::Null => value.is_null(),
        Type::Dyn | Type::Bytes | Type::Kind | Type::Optional(_) | Type::Nullable(_) => true,
    };
    assert!(fits, "{value} is no {ty}");
    assert!(value.to_string().len() <= RESULT_BYTES_MAX);
}

fn assert_told(text: &str, error: &Error) {
    assert_within(text, &error.span);
    assert!(!error.message.is_empty());
}

/// A part of the text that an editor can mark.
fn assert_within(text: &str, span: &Range<usize>) {
    assert!(text.get(span.clone()).is_some(), "{span:?} of {text:?}");
}

/// What is in scope, with every type.
static SCOPE: LazyLock<Scope> = LazyLock::new(|| {
    let alert = Type::object([("labels", Type::Labels), ("status", Type::String)]);
    let inputs = Type::object([
        ("name", Type::String),
        ("window", Type::Duration),
        ("since", Type::Timestamp),
        ("ratio", Type::Double),
        ("n", Type::Int),
        ("on", Type::Bool),
        ("waits", Type::list(Type::Duration)),
        ("any", Type::Dyn),
    ]);
    Scope::new()
        .with("inputs", inputs)
        .with(
            "event",
            Type::object([("alerts", Type::list(alert.clone())), ("alert", alert)]),
        )
        .with("item", Type::Dyn)
        .with("note", Type::nullable(Type::String))
        .with("x", Type::String)
        .with_secrets()
});

static VALUES: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let values = json!({
        "inputs": {
            "name": "Ann \u{e9}\u{1f642}", "window": "1h30m", "since": "2026-01-31T08:00:00+01:00", "ratio": 2, "n": 3,
            "on": true, "waits": ["90s", "1h"], "any": {"a": [1, 2.5, "t", null], "b": 7},
        },
        "event": {
            "alert": {"labels": {"severity": "page", "with-dash": "d"}, "status": "firing"},
            "alerts": [{"labels": {"severity": "page"}, "status": "firing"}, {"labels": {}, "status": "resolved"}],
        },
        "item": {"host": "h1", "port": 80, "huge": 1e300, "low": i64::MIN},
        "note": null,
        "x": "text",
    });
    values.as_object().cloned().expect("it is an object")
});

/// The values with a budget.
struct Metered(Budget);

impl Metered {
    fn new() -> Self {
        Self(Budget::new(STEPS))
    }
}

impl Values for Metered {
    fn get(&self, name: &str) -> Option<View<'_>> {
        VALUES.get(name).map(View::Json)
    }

    fn names(&self) -> Vec<String> {
        VALUES.keys().cloned().collect()
    }

    fn budget(&self) -> Option<&Budget> {
        Some(&self.0)
    }
}
