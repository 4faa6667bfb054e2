//! The only place that knows the parser: source to syntax tree, within bounds.

use cel_core::SpannedExpr;
use cel_core::parser::{ParseOptions, parse_with_options};

use super::scan::Scanner;
use super::{Problem, SOURCE_BYTES_MAX};

/// No more brackets inside each other. The parser takes 7 KiB of stack a level (30 KiB without optimisation).
const BRACKETS_MAX: usize = 32;
/// No more conditionals (`a ? b : c`) in an expression; they may all be inside each other.
const CONDITIONALS_MAX: usize = 64;
/// No more `!` and `-` in a row.
const UNARY_MAX: usize = 16;

/// The syntax tree. Macros stay calls, for the checker knows them itself.
pub(super) fn parse(source: &str) -> Result<SpannedExpr, Vec<Problem>> {
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!(
            "an expression of {} bytes is over the limit of {SOURCE_BYTES_MAX}",
            source.len()
        );
        return Err(vec![
            Problem::new(0..source.len(), message).hint("use several steps or vars"),
        ]);
    }
    if source.trim().is_empty() {
        return Err(vec![Problem::new(0..source.len(), "an empty expression")]);
    }
    bound_nesting(source).map_err(|problem| vec![problem])?;
    let parsed = parse_with_options(source, ParseOptions::without_macros());
    if parsed.errors.is_empty()
        && let Some(tree) = parsed.ast
    {
        return Ok(tree);
    }
    let problems = parsed.errors.into_iter().map(|error| {
        let span = error.span.start.min(source.len())..error.span.end.min(source.len());
        let problem = Problem::new(
            span.clone(),
            format!("not an expression: {}", error.message),
        );
        match hint(source, &span) {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    });
    // One mistake makes the parser report several; the first says where it is.
    Err(problems.take(1).collect())
}

/// What people write out of habit of other languages.
fn hint(source: &str, span: &std::ops::Range<usize>) -> Option<&'static str> {
    let around = &source.as_bytes()[span.start.saturating_sub(1)..];
    let after = source.get(span.start..).unwrap_or_default();
    if around.starts_with(b"=") || after.starts_with('=') {
        return Some("equality is ==");
    }
    if after.starts_with('|') {
        return Some("there are no pipes: call a function, as in x.trim(); or is ||");
    }
    if after.starts_with('&') {
        return Some("and is &&");
    }
    match after.split(|c: char| !c.is_ascii_alphabetic()).next() {
        Some("and") => Some("and is &&"),
        Some("or") => Some("or is ||"),
        Some("not") => Some("not is !"),
        Some("if") => Some("a conditional is: condition ? a : b"),
        _ => None,
    }
}

fn bound_nesting(source: &str) -> Result<(), Problem> {
    let mut scanner = Scanner::new(source);
    let (mut depth, mut conditionals, mut unary) = (0_usize, 0, 0);
    let mut last = ' ';
    while let Some(seen) = scanner.next()? {
        let char = seen.char;
        match char {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '?' if !matches!(last, '.' | '[' | '{' | ',') => conditionals += 1,
            '/' if last == '/' => {
                return Err(Problem::new(
                    seen.at - 1..seen.at + 1,
                    "comments cannot stand in an expression",
                ));
            }
            _ => {}
        }
        match char {
            '!' | '-' => unary += 1,
            ' ' | '\t' | '\r' | '\n' | '\u{c}' => {}
            _ => unary = 0,
        }
        if depth > BRACKETS_MAX || conditionals > CONDITIONALS_MAX || unary > UNARY_MAX {
            let problem = Problem::new(seen.at..seen.at + 1, "nested too deep");
            return Err(problem.hint("use several steps or vars"));
        }
        last = char;
    }
    Ok(())
}
