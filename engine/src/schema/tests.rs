use serde_json::{Value, json};

use super::*;

fn coerced(schema: Value, value: Value) -> String {
    Schema::compile(&schema)
        .expect("a schema")
        .coerce(value)
        .to_string()
}

#[test]
fn a_whole_number_becomes_a_double_where_the_schema_says_number() {
    let schema = json!({
        "type": "object",
        "properties": {
            "rate": { "type": "number" },
            "maybe": { "anyOf": [{ "type": "number" }, { "type": "null" }] },
            "count": { "type": "integer" },
            "free": {},
            "pair": { "type": "array", "prefixItems": [{ "type": "integer" }], "items": { "type": "number" } },
            "tree": { "$ref": "#/$defs/tree" },
        },
        "additionalProperties": { "type": ["number", "null"] },
        "$defs": { "tree": { "type": "object", "properties": {
            "value": { "type": "number" },
            "children": { "type": "array", "items": { "$ref": "#/$defs/tree" } },
        } } },
    });
    let value = json!({
        "rate": 1, "maybe": 2, "count": 3.0, "free": 4, "pair": [5.0, 6], "other": 7,
        "tree": { "value": 8, "children": [{ "value": 9 }] },
    });
    let expected = concat!(
        r#"{"count":3,"free":4,"maybe":2.0,"other":7.0,"pair":[5,6.0],"#,
        r#""rate":1.0,"tree":{"children":[{"value":9.0}],"value":8.0}}"#
    );
    assert_eq!(coerced(schema, value), expected);
}

#[test]
fn what_several_schemas_say_of_one_place_counts_together() {
    let both = json!({ "oneOf": [
        { "properties": { "n": { "type": "number" } } },
        { "properties": { "n": { "type": "integer" } } },
    ] });
    assert_eq!(coerced(both, json!({ "n": 3 })), r#"{"n":3}"#);
    let split = json!({ "allOf": [{ "$ref": "#/$defs/a" }], "$defs": { "a": { "type": "number" } }, "minimum": 1 });
    assert_eq!(coerced(split, json!(3)), "3.0");
}

#[test]
fn numbers_without_a_type_and_other_values_stay() {
    let schema = json!({ "type": "object", "properties": { "s": { "type": "string" } } });
    let value = json!({ "s": "1", "n": 1, "d": 1.0 });
    assert_eq!(coerced(schema, value.clone()), value.to_string());
    assert_eq!(coerced(json!({ "type": "integer" }), json!(1.5)), "1.5");
    assert_eq!(coerced(json!(true), json!(1)), "1");
}

#[test]
fn a_schema_that_refers_to_itself_ends() {
    let schema = json!({ "$defs": { "a": { "allOf": [{ "$ref": "#/$defs/a" }], "type": "number" } },
        "properties": { "x": { "$ref": "#/$defs/a" } } });
    let types = Types::of(&schema).expect("few places");
    let mut value = json!({ "x": 1 });
    types.apply(&mut value);
    assert_eq!(value.to_string(), r#"{"x":1.0}"#);
}

#[test]
fn violations_name_the_place_and_never_the_value() {
    let schema = json!({ "type": "object", "required": ["query"], "additionalProperties": false,
        "properties": { "query": { "type": "string" }, "list": { "items": { "type": "integer" } } } });
    let schema = Schema::compile(&schema).expect("a schema");
    assert_eq!(
        schema.validate(&json!({ "query": "up", "list": [1] })),
        Ok(())
    );
    let violations = schema
        .validate(&json!({ "query": "hunter2".len(), "list": [1, "hunter2"], "quary": 1 }))
        .expect_err("three faults");
    let text: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(text.len(), 3, "{text:?}");
    assert!(text.iter().any(|t| t.starts_with("/list/1: ")), "{text:?}");
    assert!(text.iter().any(|t| t.starts_with("/query: ")), "{text:?}");
    assert!(text.iter().all(|t| !t.contains("hunter2")), "{text:?}");
    let many = schema
        .validate(&json!({ "query": "", "list": vec!["x"; 100] }))
        .expect_err("a hundred");
    assert_eq!(many.len(), VIOLATIONS_MAX);
}

#[test]
fn a_schema_that_leaves_the_document_or_backtracks_is_refused() {
    for schema in [
        json!({ "$ref": "https://example.com/schema.json" }),
        json!({ "pattern": "(?=a)b" }),
        json!({ "type": "strng" }),
        json!(3),
    ] {
        let error = Schema::compile(&schema)
            .expect_err("not usable")
            .to_string();
        assert!(error.starts_with("not a usable JSON Schema"), "{error}");
    }
}

/// A schema of so many definitions, each of which `link`s to the next.
fn chain(length: usize, link: impl Fn(Value) -> Value) -> Value {
    let next = |i: usize| json!({ "$ref": format!("#/$defs/d{i}") });
    let mut defs: serde_json::Map<String, Value> = (0..length)
        .map(|i| (format!("d{i}"), link(next(i + 1))))
        .collect();
    defs.insert(format!("d{length}"), json!({ "type": "number" }));
    json!({ "$ref": "#/$defs/d0", "$defs": defs })
}

/// Compiles and uses a schema where there is little room on the stack.
fn on_a_small_stack(schema: Value) -> bool {
    let small = std::thread::Builder::new().stack_size(1024 * 1024);
    let used = small.spawn(move || match Schema::compile(&schema) {
        Ok(schema) => schema.validate(&json!({ "next": 1 })).is_ok(),
        Err(_) => false,
    });
    used.expect("a thread").join().expect("it ends")
}

#[test]
fn a_long_chain_of_references_takes_no_stack() {
    let link = |next| json!({ "properties": { "next": next } });
    assert!(on_a_small_stack(chain(9_000, link)));
}

#[test]
fn a_schema_that_leads_on_without_going_deeper_is_bounded() {
    let links: [fn(Value) -> Value; 4] = [
        |next| next,
        |next| json!({ "anyOf": [next] }),
        |next| json!({ "not": next }),
        |next| json!({ "dependentSchemas": { "next": next } }),
    ];
    for link in links {
        assert!(!on_a_small_stack(chain(9_000, link)), "{}", link(json!({})));
    }
    let most = in_place::CHAIN_MAX - 2;
    let schema = |length| chain(length, |next| next);
    Schema::compile(&schema(most)).expect("the longest");
    Schema::compile(&schema(most + 1)).expect_err("longer");
}

#[test]
fn a_schema_that_leads_back_without_going_deeper_is_refused() {
    for schema in [
        json!({ "$ref": "#" }),
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "allOf": [{ "$ref": "#/$defs/a" }] } } }),
    ] {
        Schema::compile(&schema).expect_err("a circle");
    }
}

#[test]
fn there_is_one_way_to_refer() {
    for schema in [
        json!({ "$ref": "#a", "$defs": { "a": { "$anchor": "a" } } }),
        json!({ "$dynamicRef": "#a", "$defs": { "a": { "$dynamicAnchor": "a" } } }),
        json!({ "properties": { "x": { "$id": "https://example.com/x" } } }),
    ] {
        Schema::compile(&schema).expect_err("another way");
    }
}
