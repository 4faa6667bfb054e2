//! Numbers: the math extension.

use std::cmp::Ordering;

use super::super::meter::{Fault, Meter};
use super::super::value::{self, List, Value};
use super::{P, Signature, function, mismatch};

pub(super) static TABLE: &[Signature] = &[
    function("math.abs", &[P::N], P::N, abs),
    function("math.bitAnd", &[P::Int, P::Int], P::Int, bit_and),
    function("math.bitAnd", &[P::Uint, P::Uint], P::Uint, bit_and),
    function("math.bitNot", &[P::Int], P::Int, bit_not),
    function("math.bitNot", &[P::Uint], P::Uint, bit_not),
    function("math.bitOr", &[P::Int, P::Int], P::Int, bit_or),
    function("math.bitOr", &[P::Uint, P::Uint], P::Uint, bit_or),
    function("math.bitShiftLeft", &[P::Int, P::Int], P::Int, shift_left),
    function("math.bitShiftLeft", &[P::Uint, P::Int], P::Uint, shift_left),
    function("math.bitShiftRight", &[P::Int, P::Int], P::Int, shift_right),
    function(
        "math.bitShiftRight",
        &[P::Uint, P::Int],
        P::Uint,
        shift_right,
    ),
    function("math.bitXor", &[P::Int, P::Int], P::Int, bit_xor),
    function("math.bitXor", &[P::Uint, P::Uint], P::Uint, bit_xor),
    function("math.ceil", &[P::Double], P::Double, ceil),
    function("math.floor", &[P::Double], P::Double, floor),
    function("math.greatest", &[P::Numbers], P::N, greatest),
    function("math.greatest", &[P::N], P::N, greatest),
    function("math.greatest", &[P::N, P::N], P::N, greatest),
    function("math.greatest", &[P::N, P::N, P::N], P::N, greatest),
    function("math.greatest", &[P::N, P::N, P::N, P::N], P::N, greatest),
    function("math.isFinite", &[P::Double], P::Bool, is_finite),
    function("math.isInf", &[P::Double], P::Bool, is_infinite),
    function("math.isNaN", &[P::Double], P::Bool, is_nan),
    function("math.least", &[P::Numbers], P::N, least),
    function("math.least", &[P::N], P::N, least),
    function("math.least", &[P::N, P::N], P::N, least),
    function("math.least", &[P::N, P::N, P::N], P::N, least),
    function("math.least", &[P::N, P::N, P::N, P::N], P::N, least),
    function("math.round", &[P::Double], P::Double, round),
    function("math.sign", &[P::N], P::N, sign),
    function("math.sqrt", &[P::N], P::Double, sqrt),
    function("math.trunc", &[P::Double], P::Double, trunc),
];

type Args<'v, 'a> = &'v [Value<'a>];
type Answer<'a> = Result<Value<'a>, Fault>;

fn double(args: Args<'_, '_>) -> Result<f64, Fault> {
    match args {
        [Value::Double(value)] => Ok(*value),
        _ => mismatch("double", args.first()),
    }
}

fn ceil<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    Ok(Value::Double(double(args)?.ceil()))
}

fn floor<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    Ok(Value::Double(double(args)?.floor()))
}

/// Half away from zero.
fn round<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    Ok(Value::Double(double(args)?.round()))
}

fn trunc<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    Ok(Value::Double(double(args)?.trunc()))
}

fn is_finite<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    Ok(Value::Bool(double(args)?.is_finite()))
}

fn is_infinite<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    Ok(Value::Bool(double(args)?.is_infinite()))
}

fn is_nan<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    Ok(Value::Bool(double(args)?.is_nan()))
}

#[expect(clippy::cast_precision_loss, reason = "a root is a double")]
fn sqrt<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    Ok(Value::Double(match args {
        [Value::Int(value)] => (*value as f64).sqrt(),
        [Value::Uint(value)] => (*value as f64).sqrt(),
        _ => double(args)?.sqrt(),
    }))
}

fn abs<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    match args {
        [Value::Int(value)] => match value.checked_abs() {
            Some(value) => Ok(Value::Int(value)),
            None => Fault::failed("the number is out of range"),
        },
        [Value::Uint(value)] => Ok(Value::Uint(*value)),
        _ => Ok(Value::Double(double(args)?.abs())),
    }
}

fn sign<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    Ok(match args {
        [Value::Int(value)] => Value::Int(value.signum()),
        [Value::Uint(value)] => Value::Uint((*value).min(1)),
        _ => {
            let value = double(args)?;
            // signum answers 1 for 0.
            Value::Double(if value == 0.0 { 0.0 } else { value.signum() })
        }
    })
}

fn bits<'a>(
    args: Args<'_, 'a>,
    ints: fn(i64, i64) -> i64,
    uints: fn(u64, u64) -> u64,
) -> Answer<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => Ok(Value::Int(ints(*a, *b))),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(uints(*a, *b))),
        _ => mismatch("a whole number", args.last()),
    }
}

fn bit_and<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    bits(args, |a, b| a & b, |a, b| a & b)
}

fn bit_or<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    bits(args, |a, b| a | b, |a, b| a | b)
}

fn bit_xor<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    bits(args, |a, b| a ^ b, |a, b| a ^ b)
}

fn bit_not<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    match args {
        [Value::Int(value)] => Ok(Value::Int(!value)),
        [Value::Uint(value)] => Ok(Value::Uint(!value)),
        _ => mismatch("a whole number", args.first()),
    }
}

/// By 64 and more nothing is left.
fn by(args: Args<'_, '_>) -> Result<u32, Fault> {
    match args {
        [_, Value::Int(by)] => {
            u32::try_from(*by).or_else(|_| Fault::failed("a shift is not negative"))
        }
        _ => mismatch("int", args.last()),
    }
}

fn shift_left<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    let by = by(args)?;
    match args.first() {
        Some(Value::Int(value)) => Ok(Value::Int(value.checked_shl(by).unwrap_or(0))),
        Some(Value::Uint(value)) => Ok(Value::Uint(value.checked_shl(by).unwrap_or(0))),
        other => mismatch("a whole number", other),
    }
}

/// Zeros come in from the left, for signed numbers, too, as the extension has it.
fn shift_right<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    let by = by(args)?;
    match args.first() {
        Some(Value::Int(value)) => {
            let shifted = value.cast_unsigned().checked_shr(by).unwrap_or(0);
            Ok(Value::Int(shifted.cast_signed()))
        }
        Some(Value::Uint(value)) => Ok(Value::Uint(value.checked_shr(by).unwrap_or(0))),
        other => mismatch("a whole number", other),
    }
}

fn greatest<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    pick(meter, args, Ordering::Greater)
}

fn least<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Answer<'a> {
    pick(meter, args, Ordering::Less)
}

/// The first number of which no other is `better`, of the arguments or of the one list.
fn pick<'a>(meter: &mut Meter, args: Args<'_, 'a>, better: Ordering) -> Answer<'a> {
    if let [Value::List(list)] = args {
        return pick_of(meter, list, better);
    }
    pick_of(
        meter,
        &List::Owned(std::sync::Arc::new(args.to_vec())),
        better,
    )
}

fn pick_of<'a>(meter: &mut Meter, list: &List<'a>, better: Ordering) -> Answer<'a> {
    let mut best: Option<Value<'a>> = None;
    for item in list.iter() {
        meter.steps(1)?;
        if !matches!(item, Value::Int(_) | Value::Uint(_) | Value::Double(_)) {
            return mismatch("a number", Some(&item));
        }
        best = match best {
            Some(best) if value::compare(meter, &item, &best)? != Some(better) => Some(best),
            _ => Some(item),
        };
    }
    best.map_or_else(|| Fault::failed("the list is empty"), Ok)
}
