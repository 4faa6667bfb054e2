//! Values while an expression is evaluated: they borrow from the JSON they come from.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value as Json;

use super::meter::{Fault, Meter};
use super::values::{Values, View};

/// What every value costs beside its content, about.
pub(super) const CELL_BYTES: usize = 32;

#[derive(Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    List(List<'a>),
    Map(Map<'a>),
    Duration(SignedDuration),
    Timestamp(Timestamp),
    Kind(&'static str),
    Optional(Option<Arc<Value<'a>>>),
}

#[derive(Clone)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Owned(Arc<str>),
}

#[derive(Clone)]
pub(super) enum List<'a> {
    Json(&'a [Json]),
    Owned(Arc<Vec<Value<'a>>>),
}

#[derive(Clone)]
pub(super) enum Map<'a> {
    Json(&'a serde_json::Map<String, Json>),
    Lazy(&'a dyn Values),
    Owned(Arc<BTreeMap<Text<'a>, Value<'a>>>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl std::borrow::Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self
    }
}

impl<'a> List<'a> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Json(items) => items.len(),
            Self::Owned(items) => items.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Json(items) => items.get(index).map(Value::from_json),
            Self::Owned(items) => items.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl<'a> Map<'a> {
    pub(super) fn len(&self, meter: &mut Meter) -> Result<usize, Fault> {
        Ok(match self {
            Self::Json(map) => map.len(),
            Self::Lazy(_) => self.keys(meter)?.len(),
            Self::Owned(map) => map.len(),
        })
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Value<'a>>, Fault> {
        Ok(match self {
            Self::Json(map) => map.get(key).map(Value::from_json),
            Self::Lazy(values) => return values.get(key).map(Value::from_view).transpose(),
            Self::Owned(map) => map.get(key).cloned(),
        })
    }

    /// The keys, sorted.
    pub(super) fn keys(&self, meter: &mut Meter) -> Result<Vec<Text<'a>>, Fault> {
        Ok(match self {
            Self::Json(map) => {
                meter.steps(map.len() as u64)?;
                map.keys().map(|key| Text::Borrowed(key)).collect()
            }
            Self::Lazy(values) => {
                let mut names = values.names();
                meter.steps(names.len() as u64)?;
                names.sort_unstable();
                let names = names.into_iter();
                names.map(|name| Text::Owned(name.into())).collect()
            }
            Self::Owned(map) => {
                meter.steps(map.len() as u64)?;
                map.keys().cloned().collect()
            }
        })
    }
}

impl<'a> Value<'a> {
    pub(super) fn from_json(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => from_number(number),
            Json::String(text) => Self::String(Text::Borrowed(text)),
            Json::Array(items) => Self::List(List::Json(items)),
            Json::Object(map) => Self::Map(Map::Json(map)),
        }
    }

    pub(super) fn from_view(view: View<'a>) -> Result<Self, Fault> {
        Ok(match view {
            View::Json(json) => Self::from_json(json),
            View::Values(values) => Self::Map(Map::Lazy(values)),
            View::Missing(what) => return Err(Fault::Missing(what)),
        })
    }

    pub(super) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::String(Text::Owned(text.into()))
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(List::Owned(Arc::new(items)))
    }

    pub(super) fn map(entries: BTreeMap<Text<'a>, Self>) -> Self {
        Self::Map(Map::Owned(Arc::new(entries)))
    }

    pub(super) fn some(self) -> Self {
        Self::Optional(Some(Arc::new(self)))
    }

    /// What `type(x)` answers and messages say.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Duration(_) => "duration",
            Self::Timestamp(_) => "timestamp",
            Self::Kind(_) => "type",
            Self::Optional(_) => "optional_type",
        }
    }
}

fn from_number<'a>(number: &serde_json::Number) -> Value<'a> {
    if let Some(value) = number.as_i64() {
        return Value::Int(value);
    }
    match number.as_u64() {
        Some(value) => Value::Uint(value),
        None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// Whether two values are equal. Numbers are compared as numbers, whatever their kind.
pub(super) fn equal(meter: &mut Meter, a: &Value<'_>, b: &Value<'_>) -> Result<bool, Fault> {
    meter.read(CELL_BYTES)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => {
            meter.read(a.len().min(b.len()))?;
            a == b
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            meter.read(a.len().min(b.len()))?;
            a == b
        }
        (Value::List(a), Value::List(b)) => {
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(meter, &a, &b)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => equal_maps(meter, a, b)?,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Kind(a), Value::Kind(b)) => a == b,
        (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Optional(Some(a)), Value::Optional(Some(b))) => equal(meter, a, b)?,
        _ => numbers(a, b).is_some_and(|order| order == Some(Ordering::Equal)),
    })
}

fn equal_maps(meter: &mut Meter, a: &Map<'_>, b: &Map<'_>) -> Result<bool, Fault> {
    let keys = a.keys(meter)?;
    if keys.len() != b.len(meter)? {
        return Ok(false);
    }
    for key in keys {
        let (Some(a), Some(b)) = (a.get(&key)?, b.get(&key)?) else {
            return Ok(false);
        };
        if !equal(meter, &a, &b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Which of two values is smaller; `None` for NaN, which is in no order with anything.
pub(super) fn compare(
    meter: &mut Meter,
    a: &Value<'_>,
    b: &Value<'_>,
) -> Result<Option<Ordering>, Fault> {
    meter.read(content_bytes(a).min(content_bytes(b)))?;
    match order(a, b) {
        Some(order) => Ok(order),
        None => Fault::failed(format!("{} and {} have no order", a.kind(), b.kind())),
    }
}

/// The order of two values; the inner `None` is NaN, the outer one "not of one kind". Total among the values that are
/// in an order with one of them.
pub(super) fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Option<Ordering>> {
    Some(Some(match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
        (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
        _ => return numbers(a, b),
    }))
}

/// How much of a text or of bytes there is to look at.
pub(super) fn content_bytes(value: &Value<'_>) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        _ => 0,
    }
}

/// The order of two numbers; the inner `None` is NaN, the outer one "not both numbers".
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Option<Ordering>> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    let double = |value: &Value<'_>| match value {
        Value::Double(value) => Some(*value),
        _ => None,
    };
    Some(match (whole(a), whole(b), double(a), double(b)) {
        (Some(a), Some(b), ..) => Some(a.cmp(&b)),
        (_, _, Some(a), Some(b)) => a.partial_cmp(&b),
        (Some(a), _, _, Some(b)) => whole_and_double(a, b),
        (_, Some(b), Some(a), _) => whole_and_double(b, a).map(Ordering::reverse),
        _ => return None,
    })
}

/// Exact: a whole number of 64 bits need not fit a double.
fn whole_and_double(whole: i128, double: f64) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // Saturates, and every 64-bit number lies well within 128 bits.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturating is what is wanted"
    )]
    let floor = double.floor() as i128;
    let order = whole.cmp(&floor);
    let fraction = double.fract() != 0.0 && order == Ordering::Equal;
    Some(if fraction { Ordering::Less } else { order })
}
