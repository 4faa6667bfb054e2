//! `+ - * / %`, and what they do with numbers, text, lists, mappings and time.

use std::collections::BTreeMap;

use super::super::meter::{Fault, Meter};
use super::super::time;
use super::super::value::{CELL_BYTES, List, Map, Value};
use super::{P, Signature, function, mismatch};

pub(super) static TABLE: &[Signature] = &[
    function("+", &[P::Int, P::Int], P::Int, add),
    function("+", &[P::Uint, P::Uint], P::Uint, add),
    function("+", &[P::Double, P::Double], P::Double, add),
    function("+", &[P::String, P::String], P::String, concatenate),
    function("+", &[P::Bytes, P::Bytes], P::Bytes, concatenate),
    function("+", &[P::List, P::List], P::List, concatenate),
    function("+", &[P::Map, P::Map], P::Map, concatenate),
    function("+", &[P::Timestamp, P::Duration], P::Timestamp, add_time),
    function("+", &[P::Duration, P::Timestamp], P::Timestamp, add_time),
    function("+", &[P::Duration, P::Duration], P::Duration, add_time),
    function("-", &[P::Int, P::Int], P::Int, subtract),
    function("-", &[P::Uint, P::Uint], P::Uint, subtract),
    function("-", &[P::Double, P::Double], P::Double, subtract),
    function(
        "-",
        &[P::Timestamp, P::Timestamp],
        P::Duration,
        subtract_time,
    ),
    function(
        "-",
        &[P::Timestamp, P::Duration],
        P::Timestamp,
        subtract_time,
    ),
    function("-", &[P::Duration, P::Duration], P::Duration, subtract_time),
    function("-", &[P::Int], P::Int, negate),
    function("-", &[P::Double], P::Double, negate),
    function("*", &[P::Int, P::Int], P::Int, multiply),
    function("*", &[P::Uint, P::Uint], P::Uint, multiply),
    function("*", &[P::Double, P::Double], P::Double, multiply),
    function("/", &[P::Int, P::Int], P::Int, divide),
    function("/", &[P::Uint, P::Uint], P::Uint, divide),
    function("/", &[P::Double, P::Double], P::Double, divide),
    function("%", &[P::Int, P::Int], P::Int, remainder),
    function("%", &[P::Uint, P::Uint], P::Uint, remainder),
];

type Args<'v, 'a> = &'v [Value<'a>];

/// The two numbers, computed with, or "overflow".
fn compute<'a>(
    args: Args<'_, 'a>,
    ints: fn(i64, i64) -> Option<i64>,
    uints: fn(u64, u64) -> Option<u64>,
    doubles: fn(f64, f64) -> f64,
) -> Result<Value<'a>, Fault> {
    let value = match args {
        [Value::Int(a), Value::Int(b)] => ints(*a, *b).map(Value::Int),
        [Value::Uint(a), Value::Uint(b)] => uints(*a, *b).map(Value::Uint),
        [Value::Double(a), Value::Double(b)] => Some(Value::Double(doubles(*a, *b))),
        _ => return mismatch("a number", args.last()),
    };
    value.ok_or_else(|| Fault::Failed("the number is out of range".to_owned()))
}

fn add<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    compute(args, i64::checked_add, u64::checked_add, |a, b| a + b)
}

fn subtract<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    compute(args, i64::checked_sub, u64::checked_sub, |a, b| a - b)
}

fn multiply<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    compute(args, i64::checked_mul, u64::checked_mul, |a, b| a * b)
}

fn divide<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    refuse_zero(args)?;
    compute(args, i64::checked_div, u64::checked_div, |a, b| a / b)
}

fn remainder<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    refuse_zero(args)?;
    compute(args, i64::checked_rem, u64::checked_rem, |a, b| a % b)
}

fn refuse_zero(args: Args<'_, '_>) -> Result<(), Fault> {
    match args.last() {
        Some(Value::Int(0) | Value::Uint(0)) => Fault::failed("division by zero"),
        _ => Ok(()),
    }
}

fn negate<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    match args {
        [Value::Int(value)] => match value.checked_neg() {
            Some(value) => Ok(Value::Int(value)),
            None => Fault::failed("the number is out of range"),
        },
        [Value::Double(value)] => Ok(Value::Double(-value)),
        _ => mismatch("a number", args.first()),
    }
}

fn concatenate<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    match args {
        [Value::String(a), Value::String(b)] => {
            meter.make(a.len() + b.len())?;
            Ok(Value::text([&**a, &**b].concat()))
        }
        [Value::Bytes(a), Value::Bytes(b)] => {
            meter.make(a.len() + b.len())?;
            Ok(Value::Bytes([&**a, &**b].concat().into()))
        }
        [Value::List(a), Value::List(b)] => lists(meter, a, b),
        [Value::Map(a), Value::Map(b)] => maps(meter, a, b),
        _ => mismatch("text or a list", args.last()),
    }
}

fn lists<'a>(meter: &mut Meter, a: &List<'a>, b: &List<'a>) -> Result<Value<'a>, Fault> {
    meter.make((a.len() + b.len()) * CELL_BYTES)?;
    Ok(Value::list(a.iter().chain(b.iter()).collect()))
}

/// The entries of both; where both have a key, the right one's.
fn maps<'a>(meter: &mut Meter, a: &Map<'a>, b: &Map<'a>) -> Result<Value<'a>, Fault> {
    let mut entries = BTreeMap::new();
    for map in [a, b] {
        let keys = map.keys(meter)?;
        meter.make(keys.len() * 2 * CELL_BYTES)?;
        for key in keys {
            if let Some(value) = map.get(&key)? {
                entries.insert(key, value);
            }
        }
    }
    Ok(Value::map(entries))
}

fn add_time<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let value = match args {
        [Value::Timestamp(at), Value::Duration(by)]
        | [Value::Duration(by), Value::Timestamp(at)] => at
            .checked_add(*by)
            .ok()
            .and_then(time::in_range)
            .map(Value::Timestamp),
        [Value::Duration(a), Value::Duration(b)] => a.checked_add(*b).map(Value::Duration),
        _ => return mismatch("a time", args.last()),
    };
    value.ok_or_else(out_of_range)
}

fn subtract_time<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let value = match args {
        [Value::Timestamp(a), Value::Timestamp(b)] => Some(Value::Duration(a.duration_since(*b))),
        [Value::Timestamp(at), Value::Duration(by)] => at
            .checked_sub(*by)
            .ok()
            .and_then(time::in_range)
            .map(Value::Timestamp),
        [Value::Duration(a), Value::Duration(b)] => a.checked_sub(*b).map(Value::Duration),
        _ => return mismatch("a time", args.last()),
    };
    value.ok_or_else(out_of_range)
}

fn out_of_range() -> Fault {
    Fault::Failed("the time is out of range".to_owned())
}
