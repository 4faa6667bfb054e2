//! How far a schema leads without going deeper into the value.
//!
//! A validator follows `$ref`, `allOf` and their like by calling itself, once for each level of the value. So their
//! chains are bounded before a schema is used, and there is one way to refer, so that none is overlooked.

use std::collections::BTreeMap;

use serde_json::Value;

/// No longer chain: with the deepest value that JSON is read to, this fits twice into the stack of a thread.
pub(super) const CHAIN_MAX: usize = 32;

/// How long the chain from a schema is; `None` while that is being found out.
type Known = BTreeMap<*const Value, Option<usize>>;

/// Checks every chain of `root`.
pub(super) fn check(root: &Value) -> Result<(), String> {
    let mut known = Known::new();
    let mut open = vec![root];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(map) => {
                check_references(value, root)?;
                chain(value, root, 1, &mut known)?;
                open.extend(map.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

fn check_references(schema: &Value, root: &Value) -> Result<(), String> {
    let text = |key: &str| schema.get(key).and_then(Value::as_str);
    if let Some(reference) = text("$ref")
        && referred(schema, root).is_none()
    {
        return Err(format!(
            "$ref {reference:?} is not `#/…` with what stands there"
        ));
    }
    if text("$dynamicRef").is_some() {
        return Err("$dynamicRef is not supported: use $ref".to_owned());
    }
    if text("$id").is_some() && !std::ptr::eq(schema, root) {
        return Err("$id is possible only at the top".to_owned());
    }
    Ok(())
}

/// How many schemas follow each other at most from here, this one included. `depth` have led here.
fn chain(schema: &Value, root: &Value, depth: usize, known: &mut Known) -> Result<usize, String> {
    let place = std::ptr::from_ref(schema);
    match known.get(&place) {
        Some(Some(length)) => return Ok(*length),
        // It says no more about the value the second time.
        Some(None) => return Err("a $ref leads back to itself without going deeper".to_owned()),
        None => {}
    }
    let too_long = || format!("more than {CHAIN_MAX} of $ref, allOf and their like in each other");
    if depth > CHAIN_MAX {
        return Err(too_long());
    }
    known.insert(place, None);
    let mut length = 1;
    for next in spoken(schema, root).chain(asked(schema)) {
        length = length.max(1 + chain(next, root, depth + 1, known)?);
    }
    if length > CHAIN_MAX {
        return Err(too_long());
    }
    known.insert(place, Some(length));
    Ok(length)
}

/// The schemas that say, like this one, how a value of this place is.
pub(super) fn spoken<'a>(schema: &'a Value, root: &'a Value) -> impl Iterator<Item = &'a Value> {
    let lists = ["allOf", "anyOf", "oneOf"];
    let listed = lists
        .into_iter()
        .filter_map(|key| schema.get(key)?.as_array());
    let single = ["then", "else"]
        .into_iter()
        .filter_map(|key| schema.get(key));
    listed.flatten().chain(single).chain(referred(schema, root))
}

/// The schemas that are only asked whether they fit a value of this place.
fn asked(schema: &Value) -> impl Iterator<Item = &Value> {
    let single = ["if", "not"].into_iter().filter_map(|key| schema.get(key));
    let dependent = schema.get("dependentSchemas").and_then(Value::as_object);
    single.chain(dependent.into_iter().flat_map(|map| map.values()))
}

fn referred<'a>(schema: &Value, root: &'a Value) -> Option<&'a Value> {
    let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
    root.pointer(pointer)
}
