//! From the parser's marks to lines and columns, and what to say about a text that is no YAML.

use serde_saphyr::granit_parser::{ErrorKind, Marker, ScanError};

use super::{DEPTH_MAX, Position, Problem};

pub(super) const QUOTE: &str = "quote the expression: \"${{ … }}\"";

pub(super) fn position(mark: Marker) -> Position {
    Position {
        line: mark.line().max(1),
        column: mark.col() + 1,
    }
}

/// What the parser could not read.
pub(super) fn unreadable(text: &str, error: &ScanError) -> Problem {
    let at = position(*error.marker());
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        return too_deep(at);
    }
    if matches!(error.kind(), ErrorKind::DirectiveDisallowed) {
        return Problem {
            at,
            message: "YAML directives are not supported".to_owned(),
            hint: Some("leave the line with % out".to_owned()),
        };
    }
    Problem {
        at,
        message: format!("not YAML: {}", error.info()),
        hint: looks_like_an_expression(text, at.line).then(|| QUOTE.to_owned()),
    }
}

pub(super) fn too_deep(at: Position) -> Problem {
    Problem {
        at,
        message: format!("nested more than {DEPTH_MAX} deep"),
        hint: Some("flatten it".to_owned()),
    }
}

/// Whether an unquoted expression is the likely cause: the line, or the one before it, has `${{` or a ternary.
fn looks_like_an_expression(text: &str, line: usize) -> bool {
    text.lines()
        .skip(line.saturating_sub(2))
        .take(2)
        .any(|line| line.contains("${{") || is_ternary(line))
}

/// Whether `text` reads like `a ? b : c`, which YAML takes for a mapping.
pub(super) fn is_ternary(text: &str) -> bool {
    text.split_once(" ? ")
        .is_some_and(|(_, rest)| rest.contains(" :"))
}
