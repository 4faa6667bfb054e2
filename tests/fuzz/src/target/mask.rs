//! Texts and results of agents, which must not show the secrets that they were given.

use std::sync::LazyLock;

use serde_json::Value;
use worker::Masks;

use crate::parts::text;

/// No secret here is part of what is written in the place of another.
const SECRETS: [(&str, &str); 5] = [
    ("short", "hunter22"),
    ("long", "hunter22-and-more"),
    ("quoted", "say \"friend\"\\"),
    ("lines", "line-number-1\nline-number-2\n"),
    (
        "document",
        r#"{"user": "robot-r2d2", "auth": [{"key": "b\u0061nana"}]}"#,
    ),
];

static MASKS: LazyLock<Masks> = LazyLock::new(|| {
    let mut masks = Masks::default();
    for (name, secret) in SECRETS {
        masks.add(name, secret);
    }
    masks
});

/// What an agent says: as a line, and, where it is JSON, as a result.
pub(crate) fn read(data: &[u8]) {
    let Some(text) = text(data) else {
        return;
    };
    let clean = MASKS.text(text);
    assert_clean(&clean);
    assert_eq!(MASKS.text(&clean), clean);
    let written = MASKS.json(text);
    if let Ok(mut value) = serde_json::from_str::<Value>(text) {
        let written: Value = serde_json::from_str(&written).expect("it was JSON");
        MASKS.value(&mut value);
        for value in [value, written] {
            each_text(&value, &assert_clean);
        }
    }
}

fn assert_clean(text: &str) {
    let parts = ["line-number-1", "line-number-2", "robot-r2d2", "banana"];
    for secret in SECRETS.iter().map(|(_, secret)| *secret).chain(parts) {
        assert!(!text.contains(secret), "{secret:?} is in {text:?}");
    }
}

fn each_text(value: &Value, look: &impl Fn(&str)) {
    match value {
        Value::String(text) => look(text),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, look)),
        Value::Object(map) => map.iter().for_each(|(key, item)| {
            look(key);
            each_text(item, look);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
