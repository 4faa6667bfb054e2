//! Text: CEL's standard methods, the strings extension, and `strings.quote`.

use std::fmt::Write;

use super::super::meter::{Fault, Meter};
use super::super::value::{CELL_BYTES, List, Value};
use super::{P, Signature, function, int, method, mismatch, text};

pub(super) static TABLE: &[Signature] = &[
    method("contains", &[P::String, P::String], P::Bool, contains),
    method("startsWith", &[P::String, P::String], P::Bool, starts_with),
    method("endsWith", &[P::String, P::String], P::Bool, ends_with),
    method(
        "matches",
        &[P::String, P::String],
        P::Bool,
        super::regexes::matches,
    ),
    function(
        "matches",
        &[P::String, P::String],
        P::Bool,
        super::regexes::matches,
    ),
    method("charAt", &[P::String, P::Int], P::String, char_at),
    method("indexOf", &[P::String, P::String], P::Int, index_of),
    method("indexOf", &[P::String, P::String, P::Int], P::Int, index_of),
    method(
        "lastIndexOf",
        &[P::String, P::String],
        P::Int,
        last_index_of,
    ),
    method(
        "lastIndexOf",
        &[P::String, P::String, P::Int],
        P::Int,
        last_index_of,
    ),
    method("lowerAscii", &[P::String], P::String, lower_ascii),
    method("upperAscii", &[P::String], P::String, upper_ascii),
    method(
        "replace",
        &[P::String, P::String, P::String],
        P::String,
        replace,
    ),
    method(
        "replace",
        &[P::String, P::String, P::String, P::Int],
        P::String,
        replace,
    ),
    method("split", &[P::String, P::String], P::Strings, split),
    method("split", &[P::String, P::String, P::Int], P::Strings, split),
    method("substring", &[P::String, P::Int], P::String, substring),
    method(
        "substring",
        &[P::String, P::Int, P::Int],
        P::String,
        substring,
    ),
    method("trim", &[P::String], P::String, trim),
    method("reverse", &[P::String], P::String, reverse),
    method("join", &[P::Strings], P::String, join),
    method("join", &[P::Strings, P::String], P::String, join),
    method(
        "format",
        &[P::String, P::List],
        P::String,
        super::format::format,
    ),
    function("strings.quote", &[P::String], P::String, quote),
];

type Args<'v, 'a> = &'v [Value<'a>];

fn contains<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let (whole, part) = (text(args, 0)?, text(args, 1)?);
    meter.read(whole.len() + part.len())?;
    Ok(Value::Bool(whole.contains(part)))
}

fn starts_with<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    meter.read(text(args, 1)?.len())?;
    Ok(Value::Bool(text(args, 0)?.starts_with(text(args, 1)?)))
}

fn ends_with<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    meter.read(text(args, 1)?.len())?;
    Ok(Value::Bool(text(args, 0)?.ends_with(text(args, 1)?)))
}

/// The byte at which character `index` of the text begins; its end for one past the last.
fn byte_of(whole: &str, index: i64) -> Result<usize, Fault> {
    let beginnings = whole.char_indices().map(|(byte, _)| byte);
    let wanted = usize::try_from(index).unwrap_or(usize::MAX);
    match beginnings.chain([whole.len()]).nth(wanted) {
        Some(byte) => Ok(byte),
        None => Fault::failed(format!(
            "index {index} is out of range: there are {} characters",
            whole.chars().count()
        )),
    }
}

fn char_at<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let whole = text(args, 0)?;
    meter.read(whole.len())?;
    let rest = &whole[byte_of(whole, int(args, 1)?)?..];
    Ok(Value::text(rest.chars().take(1).collect::<String>()))
}

fn characters(text: &str) -> Value<'static> {
    Value::Int(i64::try_from(text.chars().count()).unwrap_or(i64::MAX))
}

fn index_of<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let (whole, part) = (text(args, 0)?, text(args, 1)?);
    meter.read(2 * whole.len() + part.len())?;
    let from = if args.len() > 2 {
        byte_of(whole, int(args, 2)?)?
    } else {
        0
    };
    Ok(match whole[from..].find(part) {
        Some(byte) => characters(&whole[..from + byte]),
        None => Value::Int(-1),
    })
}

fn last_index_of<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let (whole, part) = (text(args, 0)?, text(args, 1)?);
    meter.read(2 * whole.len() + part.len())?;
    // With an offset: the last one that begins there or before.
    let end = match args.len() {
        2 => whole.len(),
        _ => (byte_of(whole, int(args, 2)?)? + part.len()).min(whole.len()),
    };
    let end = (end..=whole.len())
        .find(|end| whole.is_char_boundary(*end))
        .unwrap_or(whole.len());
    Ok(match whole[..end].rfind(part) {
        Some(byte) => characters(&whole[..byte]),
        None => Value::Int(-1),
    })
}

fn lower_ascii<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    meter.make(text(args, 0)?.len())?;
    Ok(Value::text(text(args, 0)?.to_ascii_lowercase()))
}

fn upper_ascii<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    meter.make(text(args, 0)?.len())?;
    Ok(Value::text(text(args, 0)?.to_ascii_uppercase()))
}

/// How often at most, from a limit that is absent or negative for "always".
fn times(args: Args<'_, '_>, index: usize) -> Result<usize, Fault> {
    if args.len() <= index {
        return Ok(usize::MAX);
    }
    Ok(usize::try_from(int(args, index)?).unwrap_or(usize::MAX))
}

fn replace<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let (whole, old, new) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let limit = times(args, 3)?;
    meter.read(whole.len())?;
    let found = whole.matches(old).take(limit).count();
    meter
        .make((whole.len() - found * old.len()).saturating_add(found.saturating_mul(new.len())))?;
    Ok(Value::text(whole.replacen(old, new, limit)))
}

fn split<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let (whole, by) = (text(args, 0)?, text(args, 1)?);
    let limit = times(args, 2)?;
    meter.read(whole.len())?;
    let parts = whole.matches(by).take(limit).count() + 1;
    meter.make(whole.len().saturating_add(parts * 2 * CELL_BYTES))?;
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    let parts = if by.is_empty() {
        characters_of(whole, limit)
    } else {
        whole.splitn(limit, by).collect()
    };
    Ok(Value::list(parts.into_iter().map(Value::text).collect()))
}

/// Each character by itself, the last part with all that is left.
fn characters_of(whole: &str, limit: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = whole;
    while let Some(first) = rest.chars().next() {
        let end = if parts.len() + 1 >= limit {
            rest.len()
        } else {
            first.len_utf8()
        };
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    parts
}

fn substring<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let whole = text(args, 0)?;
    meter.read(whole.len())?;
    let from = byte_of(whole, int(args, 1)?)?;
    let to = if args.len() > 2 {
        byte_of(whole, int(args, 2)?)?
    } else {
        whole.len()
    };
    let Some(part) = whole.get(from..to) else {
        return Fault::failed("the end is before the beginning");
    };
    meter.make(part.len())?;
    Ok(Value::text(part))
}

fn trim<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    meter.make(text(args, 0)?.len())?;
    Ok(Value::text(text(args, 0)?.trim()))
}

fn reverse<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    meter.make(text(args, 0)?.len())?;
    Ok(Value::text(
        text(args, 0)?.chars().rev().collect::<String>(),
    ))
}

pub(super) fn list<'v, 'a>(args: Args<'v, 'a>, index: usize) -> Result<&'v List<'a>, Fault> {
    match args.get(index) {
        Some(Value::List(list)) => Ok(list),
        other => mismatch("a list", other),
    }
}

fn join<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let by = if args.len() > 1 { text(args, 1)? } else { "" };
    let mut joined = String::new();
    for (index, item) in list(args, 0)?.iter().enumerate() {
        let Value::String(part) = item else {
            return Fault::failed(format!(
                "join takes text, and element {index} is {}",
                item.kind()
            ));
        };
        let by = if index == 0 { "" } else { by };
        meter.make(by.len() + part.len())?;
        joined.push_str(by);
        joined.push_str(&part);
        meter.steps(1)?;
    }
    Ok(Value::text(joined))
}

/// The text in double quotes, safe inside a PromQL or LogsQL query: backslash, quote and everything that does not print
/// is escaped in the way that both read.
fn quote<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let plain = text(args, 0)?;
    meter.make(plain.len() + 2)?;
    let mut quoted = String::with_capacity(plain.len() + 2);
    quoted.push('"');
    for c in plain.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                meter.make(6)?;
                write!(quoted, "\\u{:04x}", u32::from(c))
                    .expect("writing into a String cannot fail");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(Value::text(quoted))
}
