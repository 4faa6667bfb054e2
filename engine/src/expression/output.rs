//! How values leave an expression: as JSON, or inside a longer text.

use serde_json::Value as Json;

use super::RESULT_BYTES_MAX;
use super::meter::{Fault, Meter, over};
use super::time;
use super::value::Value;

/// The value as JSON, charged as the tree that it is printed as, so that shared parts count each time.
pub(super) fn to_json(meter: &mut Meter, value: &Value<'_>) -> Result<Json, Fault> {
    let mut left = RESULT_BYTES_MAX;
    into_json(meter, &mut left, value)
}

fn into_json(meter: &mut Meter, left: &mut usize, value: &Value<'_>) -> Result<Json, Fault> {
    let charge = |meter: &mut Meter, left: &mut usize, bytes: usize| {
        meter.read(bytes)?;
        match left.checked_sub(bytes) {
            Some(rest) => *left = rest,
            None => {
                return Err(over("the result has more than", RESULT_BYTES_MAX));
            }
        }
        Ok(())
    };
    // What the shortest JSON of a value takes; a result that fits so may still be refused by who stores it.
    charge(meter, left, 2)?;
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => (*value).into(),
        Value::Uint(value) => (*value).into(),
        Value::Double(value) => match serde_json::Number::from_f64(*value) {
            Some(number) => Json::Number(number),
            None => return Fault::failed(format!("{value} is no number that JSON has")),
        },
        Value::String(text) => {
            charge(meter, left, text.len())?;
            Json::String(text.to_string())
        }
        Value::List(list) => {
            let items = list.iter().map(|item| into_json(meter, left, &item));
            Json::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Map(map) => {
            let mut object = serde_json::Map::new();
            for key in map.keys() {
                charge(meter, left, key.len() + 4)?;
                if let Some(value) = map.get(&key)? {
                    object.insert(key.to_string(), into_json(meter, left, &value)?);
                }
            }
            Json::Object(object)
        }
        Value::Duration(duration) => Json::String(time::print_duration(*duration)),
        Value::Timestamp(timestamp) => Json::String(timestamp.to_string()),
        Value::Bytes(_) => {
            return Fault::failed("bytes cannot leave an expression: use base64.encode(x)");
        }
        Value::Kind(_) => {
            return Fault::failed(
                "a type cannot leave an expression: use string(…) of it in ==, or drop it",
            );
        }
        Value::Optional(_) => {
            return Fault::failed(
                "an optional cannot leave an expression: end it with .orValue(…)",
            );
        }
    })
}

/// The value inside a longer text: `string(x)`.
pub(super) fn to_text(meter: &mut Meter, value: &Value<'_>) -> Result<String, Fault> {
    Ok(match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => print_double(*value),
        Value::String(text) => {
            meter.make(text.len())?;
            text.to_string()
        }
        Value::Duration(duration) => time::print_duration(*duration),
        Value::Timestamp(timestamp) => timestamp.to_string(),
        Value::Kind(name) => (*name).to_owned(),
        Value::Null => {
            return Fault::failed(
                "null is no text: give a value for that case, as in x.?y.orValue('…')",
            );
        }
        Value::Bytes(_) | Value::List(_) | Value::Map(_) | Value::Optional(_) => {
            return Fault::failed(format!("{} is no text", value.kind()));
        }
    })
}

/// The shortest text that reads back as the same number, without a point when it is whole; as ECMAScript prints it.
pub(super) fn print_double(value: f64) -> String {
    let size = value.abs();
    if value.is_finite() && size != 0.0 && !(1e-6..1e21).contains(&size) {
        return format!("{value:e}");
    }
    format!("{value}")
}
