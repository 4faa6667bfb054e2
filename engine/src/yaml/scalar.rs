//! Scalars: how they were written, and what YAML 1.2's core schema takes them for.

use serde_json::Number;

/// How a scalar was quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Not at all; only such a scalar can be something else than text.
    Plain,
    /// `'…'`
    Single,
    /// `"…"`
    Double,
    /// `|` or `>`
    Block,
}

/// Text, a number, a boolean or null, as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    /// The text without quotes, escapes resolved. Of a plain scalar its spelling.
    pub text: String,
    /// How it was quoted.
    pub style: Style,
    /// The source between the quotes where that is one line; it maps offsets in `text` to columns.
    pub(super) raw: Option<String>,
}

/// What the core schema takes a scalar for.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal<'a> {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number; whole ones without point and exponent are integers.
    Number(Number),
    /// Anything else, and everything in quotes.
    Text(&'a str),
}

impl Literal<'_> {
    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Number(number) => serde_json::Value::Number(number.clone()),
            Self::Text(text) => (*text).into(),
        }
    }

    pub(super) fn kind_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
        }
    }
}

impl Scalar {
    /// What it stands for.
    #[must_use]
    pub fn literal(&self) -> Literal<'_> {
        if self.style != Style::Plain {
            return Literal::Text(&self.text);
        }
        match self.text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Literal::Null,
            "true" | "True" | "TRUE" => Literal::Bool(true),
            "false" | "False" | "FALSE" => Literal::Bool(false),
            text => number(text).map_or(Literal::Text(text), Literal::Number),
        }
    }

    /// Whether it is an unquoted number that would not print back the same, in this YAML or an older one: `1.10`,
    /// `0644`, `1234e56`, `0x1F`, `1_000`. Where no schema says that a number is meant, refuse it and say "quote it":
    /// whoever wrote `version: 1.10` did not mean 1.1.
    #[must_use]
    pub fn is_misspelled_number(&self) -> bool {
        if self.style != Style::Plain {
            return false;
        }
        match number(&self.text) {
            Some(number) => number.to_string() != self.text,
            None => looks_like_a_number(&self.text),
        }
    }

    /// How many columns right of the scalar's beginning byte `offset` of its text stands.
    pub(super) fn columns_to(&self, offset: usize) -> usize {
        let Some(raw) = &self.raw else {
            return 0;
        };
        match self.style {
            Style::Plain => raw.get(..offset).map_or(0, |before| before.chars().count()),
            Style::Single => 1 + quoted_columns(raw, offset, single_step),
            Style::Double => 1 + quoted_columns(raw, offset, double_step),
            Style::Block => 0,
        }
    }
}

/// The number that the core schema reads, if JSON has it.
fn number(text: &str) -> Option<Number> {
    if let Some(digits) = text.strip_prefix("0x") {
        return based(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return based(digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !is_decimal(unsigned) {
        return None;
    }
    let whole = unsigned.bytes().all(|b| b.is_ascii_digit());
    let canonical = text.strip_prefix('+').unwrap_or(text);
    if whole && let Ok(value) = canonical.parse::<i64>() {
        return Some(value.into());
    }
    if whole && let Ok(value) = canonical.parse::<u64>() {
        return Some(value.into());
    }
    Number::from_f64(canonical.parse::<f64>().ok()?)
}

fn based(digits: &str, radix: u32) -> Option<Number> {
    // from_str_radix alone would take a sign.
    let all = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
    let value = all.then(|| u64::from_str_radix(digits, radix).ok())??;
    Some(value.into())
}

/// `[0-9]* ( . [0-9]* )? ( [eE] [-+]? [0-9]+ )?` with a digit before the exponent: the core schema without the sign.
fn is_decimal(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_ok = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !unsigned.is_empty() && digits(unsigned)
    });
    digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0 && exponent_ok
}

/// What other YAML readers take for a number: underscores, binary, infinities, and what overflows.
fn looks_like_a_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(
        unsigned,
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN"
    ) {
        return true;
    }
    let plain: String = unsigned.chars().filter(|c| *c != '_').collect();
    let based = ["0x", "0o", "0b"].iter().any(|prefix| {
        plain.strip_prefix(prefix).is_some_and(|digits| {
            !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit())
        })
    });
    unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') && (based || is_decimal(&plain))
}

/// Columns from the opening quote to byte `offset` of the text; `step` eats one character of the source and says how
/// many bytes of source and of text it took.
fn quoted_columns(raw: &str, offset: usize, step: fn(&str) -> (usize, usize)) -> usize {
    let (mut rest, mut text_bytes, mut columns) = (raw, 0, 0);
    while text_bytes < offset && !rest.is_empty() {
        let (source, text) = step(rest);
        let Some(eaten) = rest.get(..source) else {
            break;
        };
        columns += eaten.chars().count();
        text_bytes += text;
        rest = &rest[source..];
    }
    columns
}

fn single_step(rest: &str) -> (usize, usize) {
    if rest.starts_with("''") {
        return (2, 1);
    }
    let bytes = rest.chars().next().map_or(1, char::len_utf8);
    (bytes, bytes)
}

fn double_step(rest: &str) -> (usize, usize) {
    let mut chars = rest.chars();
    let first = chars.next().unwrap_or(' ');
    if first != '\\' {
        return (first.len_utf8(), first.len_utf8());
    }
    let (digits, bytes) = match chars.next() {
        Some('x') => (2, 0),
        Some('u') => (4, 0),
        Some('U') => (8, 0),
        Some('N' | '_') => return (2, 2),
        Some('L' | 'P') => return (2, 3),
        Some(other) => return (1 + other.len_utf8(), 1),
        None => (0, 1),
    };
    let code = rest
        .get(2..2 + digits)
        .and_then(|hex| u32::from_str_radix(hex, 16).ok())
        .and_then(char::from_u32);
    (2 + digits, code.map_or(bytes, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Scalar {
        Scalar {
            text: text.to_owned(),
            style: Style::Plain,
            raw: None,
        }
    }

    #[test]
    fn only_the_core_schema_counts() {
        for text in [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "12:30",
            "0 8 * * 1-5",
            "1-5",
            "e5",
            ".",
            "+",
            "1.2.3",
            "30m",
        ] {
            assert_eq!(plain(text).literal(), Literal::Text(text));
            assert!(!plain(text).is_misspelled_number(), "{text}");
        }
        assert_eq!(plain("true").literal(), Literal::Bool(true));
        assert_eq!(plain("False").literal(), Literal::Bool(false));
        assert_eq!(plain("").literal(), Literal::Null);
        assert_eq!(plain("~").literal(), Literal::Null);
        let quoted = Scalar {
            style: Style::Double,
            ..plain("true")
        };
        assert_eq!(quoted.literal(), Literal::Text("true"));
    }

    #[test]
    fn numbers_that_print_back_the_same_are_numbers() {
        for text in [
            "0",
            "-1",
            "42",
            "1.5",
            "1.0",
            "18446744073709551615",
            "-0.25",
        ] {
            let scalar = plain(text);
            assert!(matches!(scalar.literal(), Literal::Number(_)), "{text}");
            assert!(!scalar.is_misspelled_number(), "{text}");
            assert_eq!(scalar.literal().to_json().to_string(), text);
        }
    }

    #[test]
    fn numbers_that_would_not_print_back_the_same_are_flagged() {
        for text in [
            "1.10",
            "0644",
            "1234e56",
            "0x1F",
            "0o17",
            "1_000",
            "0b101",
            "+5",
            "-0",
            "1.",
            ".5",
            "1e3",
            ".inf",
            "-.Inf",
            ".nan",
            "99999999999999999999",
            "1e999",
        ] {
            assert!(plain(text).is_misspelled_number(), "{text}");
        }
        assert_eq!(plain("0x1F").literal().to_json(), 31);
        assert_eq!(plain("1.10").literal().to_json(), 1.1);
        assert_eq!(plain("1_000").literal(), Literal::Text("1_000"));
        assert_eq!(plain("1e999").literal(), Literal::Text("1e999"));
    }
}
