//! `format`: values put into a text as its verbs say.

use std::fmt::Write;

use super::super::meter::{Fault, Meter};
use super::super::output;
use super::super::value::Value;
use super::strings::list;
use super::text;

/// Longer fractions say nothing of a double, and the formatter refuses them above 65,535.
const PRECISION_MAX: usize = 100;

type Args<'v, 'a> = &'v [Value<'a>];

/// `'%s is %.2f'.format([a, b])`: s, d, f, e, b, o, x, X and %%.
pub(super) fn format<'a>(meter: &mut Meter, args: Args<'_, 'a>) -> Result<Value<'a>, Fault> {
    let values = list(args, 1)?;
    let mut rest = text(args, 0)?;
    meter.make(rest.len())?;
    let (mut out, mut used) = (String::new(), 0);
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            out.push('%');
            rest = after;
            continue;
        }
        let (verb, precision, after) = verb(after)?;
        let Some(value) = values.get(used) else {
            return Fault::failed(format!(
                "the format wants more than the {} values given",
                values.len()
            ));
        };
        used += 1;
        let text = formatted(meter, verb, precision, &value)?;
        meter.make(text.len())?;
        out.push_str(&text);
        rest = after;
    }
    out.push_str(rest);
    Ok(Value::text(out))
}

/// The letter after `%`, the number of digits after the point if it says one, and what follows.
fn verb(after: &str) -> Result<(char, Option<usize>, &str), Fault> {
    let (precision, after) = match after.strip_prefix('.') {
        None => (None, after),
        Some(after) => {
            let end = after
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(after.len());
            let digits = after[..end]
                .parse::<usize>()
                .ok()
                .filter(|digits| *digits <= PRECISION_MAX);
            match digits {
                Some(digits) => (Some(digits), &after[end..]),
                None => {
                    return Fault::failed(format!(
                        "a format shows at most {PRECISION_MAX} digits after the point"
                    ));
                }
            }
        }
    };
    let mut chars = after.chars();
    match chars.next() {
        Some(verb) => Ok((verb, precision, chars.as_str())),
        None => Fault::failed("the format ends after %"),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "%f and %e show a whole number as the nearest double"
)]
fn formatted(
    meter: &mut Meter,
    verb: char,
    precision: Option<usize>,
    value: &Value<'_>,
) -> Result<String, Fault> {
    let digits = precision.unwrap_or(6);
    Ok(match (verb, value) {
        ('s', Value::List(_) | Value::Map(_) | Value::Null) => {
            output::to_json(meter, value)?.to_string()
        }
        ('s', _) => output::to_text(meter, value)?,
        ('d' | 'b' | 'o' | 'x' | 'X', Value::Int(value)) => signed(verb, *value),
        ('d', Value::Uint(value)) => value.to_string(),
        ('b', Value::Bool(value)) => u8::from(*value).to_string(),
        ('b' | 'o' | 'x' | 'X', Value::Uint(value)) => based(verb, *value),
        ('x' | 'X', Value::String(text)) => hex(meter, verb, text.as_bytes())?,
        ('x' | 'X', Value::Bytes(bytes)) => hex(meter, verb, bytes)?,
        ('f', Value::Double(value)) => format!("{value:.digits$}"),
        ('f', Value::Int(value)) => format!("{:.digits$}", *value as f64),
        ('e', Value::Double(value)) => scientific(*value, digits),
        ('e', Value::Int(value)) => scientific(*value as f64, digits),
        ('d' | 'b' | 'o' | 'x' | 'X' | 'f' | 'e', other) => {
            return Fault::failed(format!("%{verb} does not take {}", other.kind()));
        }
        _ => {
            return Fault::failed(format!(
                "%{verb} is not known: use %s, %d, %f, %e, %b, %o, %x, %X or %%"
            ));
        }
    })
}

fn signed(verb: char, value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", based(verb, value.unsigned_abs()))
}

fn based(verb: char, value: u64) -> String {
    match verb {
        'b' => format!("{value:b}"),
        'o' => format!("{value:o}"),
        'x' => format!("{value:x}"),
        'X' => format!("{value:X}"),
        _ => value.to_string(),
    }
}

fn hex(meter: &mut Meter, verb: char, bytes: &[u8]) -> Result<String, Fault> {
    meter.make(2 * bytes.len())?;
    let mut out = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let written = if verb == 'x' {
            write!(out, "{byte:02x}")
        } else {
            write!(out, "{byte:02X}")
        };
        written.expect("writing into a String cannot fail");
    }
    Ok(out)
}

/// `1.500000e+02`, as C prints it.
fn scientific(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{mantissa}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}
