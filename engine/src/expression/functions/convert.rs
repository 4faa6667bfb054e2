//! From one type to another: `int(x)`, `string(x)`, `type(x)` …; and `size`.

use super::super::meter::{Fault, Meter};
use super::super::output;
use super::super::time::{self, shorten};
use super::super::value::Value;
use super::{P, Signature, function, method, mismatch, text};

pub(super) static TABLE: &[Signature] = &[
    function("bool", &[P::Bool], P::Bool, same),
    function("bool", &[P::String], P::Bool, to_bool),
    function("bytes", &[P::Bytes], P::Bytes, same),
    function("bytes", &[P::String], P::Bytes, to_bytes),
    function("double", &[P::N], P::Double, to_double),
    function("double", &[P::String], P::Double, to_double),
    function("duration", &[P::Duration], P::Duration, same),
    function("duration", &[P::String], P::Duration, to_duration),
    function("dyn", &[P::T], P::Any, same),
    function("int", &[P::N], P::Int, to_int),
    function("int", &[P::String], P::Int, to_int),
    function("int", &[P::Timestamp], P::Int, to_int),
    function("string", &[P::Bool], P::String, to_string),
    function("string", &[P::N], P::String, to_string),
    function("string", &[P::String], P::String, same),
    function("string", &[P::Bytes], P::String, bytes_to_string),
    function("string", &[P::Timestamp], P::String, to_string),
    function("string", &[P::Duration], P::String, to_string),
    function("string", &[P::Kind], P::String, to_string),
    function("timestamp", &[P::Timestamp], P::Timestamp, same),
    function("timestamp", &[P::String], P::Timestamp, to_timestamp),
    function("timestamp", &[P::Int], P::Timestamp, to_timestamp),
    function("type", &[P::T], P::Kind, kind),
    function("uint", &[P::N], P::Uint, to_uint),
    function("uint", &[P::String], P::Uint, to_uint),
    function("size", &[P::String], P::Int, size),
    function("size", &[P::Bytes], P::Int, size),
    function("size", &[P::List], P::Int, size),
    function("size", &[P::Map], P::Int, size),
    method("size", &[P::String], P::Int, size),
    method("size", &[P::Bytes], P::Int, size),
    method("size", &[P::List], P::Int, size),
    method("size", &[P::Map], P::Int, size),
];

type Args<'v, 'a> = &'v [Value<'a>];

fn same<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    args.first()
        .cloned()
        .map_or_else(|| mismatch("a value", None), Ok)
}

fn cannot<'a>(args: Args<'_, '_>, target: &str) -> Result<Value<'a>, Fault> {
    match args {
        [Value::String(text)] => Fault::failed(format!("`{}` is no {target}", shorten(text))),
        [Value::Double(value)] => Fault::failed(format!("{value} is out of the range of {target}")),
        _ => Fault::failed(format!("the number is out of the range of {target}")),
    }
}

fn to_bool<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    match text(args, 0)? {
        "true" | "True" | "TRUE" | "t" | "1" => Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" | "f" | "0" => Ok(Value::Bool(false)),
        _ => cannot(args, "bool"),
    }
}

fn to_bytes<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let text = text(args, 0)?;
    meter.make(text.len())?;
    Ok(Value::Bytes(text.as_bytes().into()))
}

fn bytes_to_string<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let [Value::Bytes(bytes)] = args else {
        return mismatch("bytes", args.first());
    };
    meter.make(bytes.len())?;
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Value::text(text)),
        Err(_) => Fault::failed("the bytes are no UTF-8"),
    }
}

fn to_string<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    match args {
        [value] => Ok(Value::text(output::to_text(meter, value)?)),
        _ => mismatch("a value", None),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "CEL's double(int) rounds to the nearest double"
)]
fn to_double<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let value = match args {
        [Value::Int(value)] => Some(*value as f64),
        [Value::Uint(value)] => Some(*value as f64),
        [Value::Double(value)] => Some(*value),
        [Value::String(text)] => {
            meter.read(text.len())?;
            text.parse().ok()
        }
        _ => None,
    };
    value.map_or_else(|| cannot(args, "double"), |value| Ok(Value::Double(value)))
}

fn to_int<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let value = match args {
        [Value::Int(value)] => Some(*value),
        [Value::Uint(value)] => i64::try_from(*value).ok(),
        [Value::Double(value)] => {
            whole(*value, i64::MIN as f64, i64::MAX as f64).map(|value| value as i64)
        }
        [Value::String(text)] => {
            meter.read(text.len())?;
            text.parse().ok()
        }
        [Value::Timestamp(time)] => Some(time.as_second()),
        _ => None,
    };
    value.map_or_else(|| cannot(args, "int"), |value| Ok(Value::Int(value)))
}

fn to_uint<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let value = match args {
        [Value::Int(value)] => u64::try_from(*value).ok(),
        [Value::Uint(value)] => Some(*value),
        [Value::Double(value)] => whole(*value, -1.0, u64::MAX as f64).map(|value| value as u64),
        [Value::String(text)] => {
            meter.read(text.len())?;
            text.parse().ok()
        }
        _ => None,
    };
    value.map_or_else(|| cannot(args, "uint"), |value| Ok(Value::Uint(value)))
}

/// Rounded towards zero, if it lies strictly between the bounds (which round up to a power of two, out of range).
fn whole(value: f64, above: f64, below: f64) -> Option<f64> {
    (value > above && value < below).then(|| value.trunc())
}

fn to_duration<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let text = text(args, 0)?;
    meter.read(text.len())?;
    time::parse_duration(text).map(Value::Duration)
}

fn to_timestamp<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    if let [Value::Int(seconds)] = args {
        let time = jiff::Timestamp::from_second(*seconds)
            .ok()
            .and_then(time::in_range);
        return time.map_or_else(
            || cannot(args, "timestamp"),
            |time| Ok(Value::Timestamp(time)),
        );
    }
    let text = text(args, 0)?;
    meter.read(text.len())?;
    time::parse_timestamp(text).map(Value::Timestamp)
}

fn kind<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    Ok(Value::Kind(args.first().map_or("null_type", Value::kind)))
}

fn size<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let size = match args {
        [Value::String(text)] => {
            meter.read(text.len())?;
            text.chars().count()
        }
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(list)] => list.len(),
        [Value::Map(map)] => map.len(meter)?,
        _ => return mismatch("text, a list or a mapping", args.first()),
    };
    i64::try_from(size)
        .map(Value::Int)
        .or_else(|_| mismatch("a size", None))
}
