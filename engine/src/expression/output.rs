//! How values leave an expression: as JSON, or inside a longer text.

use serde_json::Value as Json;

use super::RESULT_BYTES_MAX;
use super::meter::{Fault, Meter, over};
use super::time;
use super::value::{CELL_BYTES, List, Map, Value};

/// The shortest JSON of a value, with what parts it from the next. A result that fits so may still be refused by who
/// stores it: escapes and long numbers are not counted.
const CELL_TEXT_BYTES: usize = 2;

/// The value as JSON, charged as the text that it is printed as, so that shared parts count each time.
pub(super) fn to_json(meter: &mut Meter, value: &Value<'_>) -> Result<Json, Fault> {
    let left = RESULT_BYTES_MAX;
    Printer { meter, left }.json(value)
}

struct Printer<'m> {
    meter: &'m mut Meter,
    /// Bytes of the result that may still come.
    left: usize,
}

impl Printer<'_> {
    fn charge(&mut self, bytes: usize) -> Result<(), Fault> {
        self.meter.read(bytes)?;
        match self.left.checked_sub(bytes) {
            Some(rest) => self.left = rest,
            None => return Err(over("makes a result of more than", RESULT_BYTES_MAX)),
        }
        Ok(())
    }

    fn json(&mut self, value: &Value<'_>) -> Result<Json, Fault> {
        self.charge(CELL_TEXT_BYTES)?;
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
                self.charge(text.len())?;
                Json::String(text.to_string())
            }
            Value::List(List::Json(items)) => {
                self.charge_all(items)?;
                Json::Array(items.to_vec())
            }
            Value::List(list) => self.list(list)?,
            Value::Map(Map::Json(map)) => {
                self.charge_fields(map)?;
                Json::Object((*map).clone())
            }
            Value::Map(map) => self.map(map)?,
            Value::Duration(duration) => Json::String(time::print_duration(*duration)),
            Value::Timestamp(timestamp) => Json::String(timestamp.to_string()),
            Value::Bytes(_) => {
                return Fault::failed("bytes cannot leave an expression: use base64.encode(x)");
            }
            Value::Kind(_) => return Fault::failed("a type cannot leave an expression"),
            Value::Optional(_) => {
                let message = "an optional cannot leave an expression: end it with .orValue(…)";
                return Fault::failed(message);
            }
        })
    }

    fn list(&mut self, list: &List<'_>) -> Result<Json, Fault> {
        self.meter.make(list.len() * CELL_BYTES)?;
        let items = list.iter().map(|item| self.json(&item));
        Ok(Json::Array(items.collect::<Result<_, _>>()?))
    }

    fn map(&mut self, map: &Map<'_>) -> Result<Json, Fault> {
        let mut object = serde_json::Map::new();
        for key in map.keys(self.meter)? {
            self.meter.make(2 * CELL_BYTES)?;
            self.charge(key.len())?;
            if let Some(value) = map.get(&key)? {
                object.insert(key.to_string(), self.json(&value)?);
            }
        }
        Ok(Json::Object(object))
    }

    /// Charges JSON that is copied as it is.
    fn charge_json(&mut self, json: &Json) -> Result<(), Fault> {
        self.charge(CELL_TEXT_BYTES)?;
        match json {
            Json::Null | Json::Bool(_) | Json::Number(_) => Ok(()),
            Json::String(text) => self.charge(text.len()),
            Json::Array(items) => self.charge_all(items),
            Json::Object(map) => self.charge_fields(map),
        }
    }

    fn charge_all(&mut self, items: &[Json]) -> Result<(), Fault> {
        items.iter().try_for_each(|item| self.charge_json(item))
    }

    fn charge_fields(&mut self, map: &serde_json::Map<String, Json>) -> Result<(), Fault> {
        map.iter().try_for_each(|(key, value)| {
            self.charge(key.len())?;
            self.charge_json(value)
        })
    }
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
