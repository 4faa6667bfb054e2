//! How an input is taken apart.

use engine::yaml::Position;

/// What stands between two parts of an input, on a line of its own.
pub(crate) const BETWEEN: &str = "\n%%\n";

/// An input that is text.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// The two parts of a text.
pub(crate) fn halves(data: &[u8]) -> Option<(&str, &str)> {
    text(data)?.split_once(BETWEEN)
}

/// The first byte, which chooses, and the rest.
pub(crate) fn choice(data: &[u8]) -> Option<(u8, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((*first, rest))
}

/// Asserts that an editor can go there: to a character of the text, or behind the last one of a line.
pub(crate) fn assert_inside(text: &str, at: Position) {
    let line = lines(text).nth(at.line.wrapping_sub(1));
    let columns = line.map(|line| line.chars().count() + 1);
    let is_there = columns.is_some_and(|columns| (1..=columns).contains(&at.column));
    assert!(is_there, "{at} is not in {text:?}");
}

/// The lines as YAML counts them (section 5.4).
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some(at) = text.find(['\n', '\r']) else {
            return Some(text);
        };
        let width = if text[at..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[at + width..]);
        Some(&text[..at])
    })
}
