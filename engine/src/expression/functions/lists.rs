//! Lists: the lists extension.

use super::super::meter::{Fault, Meter};
use super::super::value::{self, CELL_BYTES, List, Value};
use super::{P, Signature, function, int, method, mismatch, position};

pub(super) static TABLE: &[Signature] = &[
    method("distinct", &[P::List], P::List, distinct),
    method("first", &[P::List], P::Optional, first),
    method("flatten", &[P::List], P::Any, flatten),
    method("flatten", &[P::List, P::Int], P::Any, flatten),
    method("last", &[P::List], P::Optional, last),
    method("reverse", &[P::List], P::List, reverse),
    method("slice", &[P::List, P::Int, P::Int], P::List, slice),
    method("sort", &[P::List], P::List, sort),
    function("lists.range", &[P::Int], P::Numbers, range),
];

/// How deep `flatten(depth)` may go: deeper than any value nests that this language makes.
const FLATTEN_MAX: i64 = 64;

type Args<'v, 'a> = &'v [Value<'a>];

fn list<'v, 'a>(args: Args<'v, 'a>) -> Result<&'v List<'a>, Fault> {
    match args.first() {
        Some(Value::List(list)) => Ok(list),
        other => mismatch("a list", other),
    }
}

/// Charged before a list of so many elements is made.
fn make(meter: &mut Meter, len: usize) -> Result<(), Fault> {
    meter.steps(len as u64)?;
    meter.make(len.saturating_mul(CELL_BYTES))
}

fn distinct<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let list = list(args)?;
    make(meter, list.len())?;
    let mut kept: Vec<Value<'a>> = Vec::new();
    'items: for item in list.iter() {
        for before in &kept {
            meter.steps(1)?;
            if value::equal(meter, before, &item)? {
                continue 'items;
            }
        }
        kept.push(item);
    }
    Ok(Value::list(kept))
}

fn first<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let first = list(args)?.get(0);
    Ok(first.map_or(Value::Optional(None), Value::some))
}

fn last<'a>(_: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let list = list(args)?;
    let last = list.len().checked_sub(1).and_then(|index| list.get(index));
    Ok(last.map_or(Value::Optional(None), Value::some))
}

fn reverse<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let list = list(args)?;
    make(meter, list.len())?;
    Ok(Value::list(
        (0..list.len())
            .rev()
            .filter_map(|index| list.get(index))
            .collect(),
    ))
}

fn slice<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let list = list(args)?;
    let from = position(int(args, 1)?, list.len())?;
    let to = position(int(args, 2)?, list.len())?;
    if from > to {
        return Fault::failed("the end is before the beginning");
    }
    make(meter, to - from)?;
    Ok(Value::list(
        (from..to).filter_map(|index| list.get(index)).collect(),
    ))
}

fn flatten<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let depth = if args.len() > 1 { int(args, 1)? } else { 1 };
    if !(0..=FLATTEN_MAX).contains(&depth) {
        return Fault::failed(format!("flatten takes a depth from 0 to {FLATTEN_MAX}"));
    }
    let mut flat = Vec::new();
    flatten_into(meter, list(args)?, depth, &mut flat)?;
    Ok(Value::list(flat))
}

fn flatten_into<'a>(
    meter: &mut Meter,
    list: &List<'a>,
    depth: i64,
    flat: &mut Vec<Value<'a>>,
) -> Result<(), Fault> {
    make(meter, list.len())?;
    for item in list.iter() {
        match item {
            Value::List(inner) if depth > 0 => flatten_into(meter, &inner, depth - 1, flat)?,
            item => flat.push(item),
        }
    }
    Ok(())
}

fn sort<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let list = list(args)?;
    make(meter, list.len())?;
    let keyed = list.iter().map(|item| (item.clone(), item)).collect();
    sort_by_key(meter, keyed)
}

/// The second parts in the order of the first ones, equal ones in the order that they have.
pub(in super::super) fn sort_by_key<'a>(
    meter: &mut Meter,
    mut keyed: Vec<(Value<'a>, Value<'a>)>,
) -> Result<Value<'a>, Fault> {
    let rounds = keyed.len().max(1).ilog2() as usize + 1;
    meter.steps((keyed.len() * rounds) as u64)?;
    if let Some((first, _)) = keyed.first() {
        for (key, _) in &keyed {
            meter.read(value::content_bytes(key) * rounds)?;
            // Before sorting, for a sort may panic where there is no total order.
            match value::order(first, key) {
                Some(Some(_)) => {}
                Some(None) => return Fault::failed("NaN has no place in an order"),
                None => {
                    let (a, b) = (first.kind(), key.kind());
                    return Fault::failed(format!("{a} and {b} have no order"));
                }
            }
        }
    }
    keyed.sort_by(|(a, _), (b, _)| {
        let order = value::order(a, b).flatten();
        order.unwrap_or(std::cmp::Ordering::Equal)
    });
    let sorted = keyed.into_iter().map(|(_, value)| value);
    Ok(Value::list(sorted.collect()))
}

fn range<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let end = int(args, 0)?;
    make(meter, usize::try_from(end).unwrap_or(0))?;
    Ok(Value::list((0..end).map(Value::Int).collect()))
}
