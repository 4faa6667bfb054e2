//! Values that may be absent: the optionals extension. (`x.?y` and `x[?y]` are syntax.)

use super::super::meter::{Fault, Meter};
use super::super::value::Value;
use super::{P, Signature, function, method, mismatch};

pub(super) static TABLE: &[Signature] = &[
    function("optional.none", &[], P::Optional, none),
    function("optional.of", &[P::T], P::Optional, of),
    function("optional.ofNonZeroValue", &[P::T], P::Optional, of_non_zero),
    method("hasValue", &[P::Optional], P::Bool, has_value),
    method("or", &[P::Optional, P::Optional], P::Optional, or),
    method("orValue", &[P::Optional, P::T], P::T, or_value),
    method("value", &[P::Optional], P::T, value),
];

type Args<'v, 'a> = &'v [Value<'a>];

fn none<'a>(_: &mut Meter, _: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    Ok(Value::Optional(None))
}

fn of<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    args.first().map_or_else(
        || mismatch("a value", None),
        |value| Ok(value.clone().some()),
    )
}

fn of_non_zero<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let Some(value) = args.first() else {
        return mismatch("a value", None);
    };
    let zero = match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) => true,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.len() == 0,
        Value::Map(map) => map.len(meter)? == 0,
        Value::Duration(duration) => duration.is_zero(),
        Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Timestamp(_)
        | Value::Kind(_)
        | Value::Optional(_) => false,
    };
    Ok(if zero {
        Value::Optional(None)
    } else {
        value.clone().some()
    })
}

fn optional<'v, 'a>(args: Args<'v, 'a>) -> Result<Option<&'v Value<'a>>, Fault> {
    match args.first() {
        Some(Value::Optional(inner)) => Ok(inner.as_deref()),
        other => mismatch("an optional", other),
    }
}

fn has_value<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    Ok(Value::Bool(optional(args)?.is_some()))
}

fn value<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    match optional(args)? {
        Some(value) => Ok(value.clone()),
        None => Fault::failed("the value is absent: use .orValue(…)"),
    }
}

fn or<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let chosen = if optional(args)?.is_some() {
        args.first()
    } else {
        args.get(1)
    };
    chosen
        .cloned()
        .map_or_else(|| mismatch("an optional", None), Ok)
}

fn or_value<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let chosen = optional(args)?.or(args.get(1));
    chosen
        .cloned()
        .map_or_else(|| mismatch("a value", None), Ok)
}
