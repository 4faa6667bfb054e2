//! `matches`: regular expressions that run in time linear in the text, with a small constant.

use regex::{Regex, RegexBuilder};

use super::super::meter::{Fault, Meter};
use super::super::value::Value;
use super::text;

/// No longer pattern, in bytes: what people write by hand.
const PATTERN_BYTES_MAX: usize = 512;
/// No larger program, in bytes. Matching takes up to (program × text) steps in the worst case, so both are bounded.
const PROGRAM_BYTES_MAX: usize = 64 * 1024;
/// No longer text is searched, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Charged for making a program while evaluating, in steps: about what it takes.
const PROGRAM_STEPS: u64 = 20_000;
/// Charged for searching, in bytes read for each byte of text: what the worst patterns within these bounds take, 200 ns.
const SEARCH_COST: usize = 16;

/// Makes the program of a pattern.
pub(in super::super) fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!(
            "a pattern of {} bytes is over the limit of {PATTERN_BYTES_MAX}",
            pattern.len()
        ));
    }
    let built = RegexBuilder::new(pattern)
        .size_limit(PROGRAM_BYTES_MAX)
        .dfa_size_limit(1024 * 1024)
        .nest_limit(32)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            "the pattern is too large: shorten its repetitions, or use [0-9a-z] instead of \\w and \\d".to_owned()
        }
        other => {
            // The last line says what is wrong; those before draw the pattern.
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("no regular expression: {}", last.trim_start_matches("error: "))
        }
    })
}

/// Whether the pattern is found anywhere in the text.
pub(in super::super) fn search<'a>(
    meter: &mut Meter,
    regex: &Regex,
    text: &str,
) -> Result<Value<'a>, Fault> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Fault::Limit(format!(
            "matches searches at most {TEXT_BYTES_MAX} bytes, and this text has {}",
            text.len()
        )));
    }
    meter.read(text.len() * SEARCH_COST)?;
    Ok(Value::Bool(regex.is_match(text)))
}

/// `matches` with a pattern that is known only now.
pub(super) fn matches<'a>(meter: &mut Meter, args: &[Value<'a>]) -> Result<Value<'a>, Fault> {
    meter.steps(PROGRAM_STEPS)?;
    let regex = compile(text(args, 1)?).map_err(Fault::Failed)?;
    search(meter, &regex, text(args, 0)?)
}
