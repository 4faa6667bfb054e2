//! Words of others on a card. A terminal breaks what is too long for a line, and goes on at its first column, where it
//! looks like a line of the card's own: so everything is broken here, and goes on behind a bar.

use unicode_width::UnicodeWidthChar;

/// What tells the words of others from the card's own.
const BAR: &str = "| ";
/// However narrow a terminal is, so much stands in a line.
const COLUMNS_MIN: usize = 8;
/// A tab is shown as so many spaces: how far it goes is for the terminal to say.
const TAB: &str = "    ";
/// What goes on stands at most so far to the right.
const INDENT_MAX: usize = 8;

/// The lines of a text, each piece of each behind a bar, on a terminal of so many columns.
pub(crate) fn barred(text: &str, indent: usize, width: usize) -> String {
    let before = " ".repeat(indent);
    let columns = width.saturating_sub(indent + BAR.len());
    let mut shown = String::new();
    for line in text.lines() {
        for piece in pieces(&line.replace('\t', TAB), columns) {
            shown.push_str(&format!("{before}{BAR}{piece}\n"));
        }
    }
    shown
}

/// A line of the card that words of others are part of: what has no room in it goes on behind a bar, under it.
pub(crate) fn hung(line: &str, width: usize) -> String {
    let line = line.replace('\t', TAB);
    let Some(&first) = pieces(&line, width).first() else {
        return line;
    };
    let indent = line.len() - line.trim_start_matches(' ').len();
    let rest = barred(&line[first.len()..], indent.min(INDENT_MAX), width);
    format!("{first}\n{rest}").trim_end_matches('\n').to_owned()
}

/// Whether a line has room.
pub(crate) fn fits(line: &str, width: usize) -> bool {
    !line.contains(['\n', '\t']) && line.chars().map(columns_of).sum::<usize>() <= width
}

/// A line in pieces of at most so many columns; an empty one is one piece.
fn pieces(line: &str, columns: usize) -> Vec<&str> {
    let (columns, mut pieces) = (columns.max(COLUMNS_MIN), Vec::new());
    let (mut begin, mut used) = (0, 0);
    for (at, c) in line.char_indices() {
        used += columns_of(c);
        if used > columns {
            pieces.push(&line[begin..at]);
            (begin, used) = (at, columns_of(c));
        }
    }
    pieces.push(&line[begin..]);
    pieces
}

/// What some terminals show wide counts as wide.
fn columns_of(c: char) -> usize {
    c.width_cjk().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_on_at_the_first_column() {
        let long = format!("{}If approved, nothing happens.", " ".repeat(76));
        let broken = format!(
            "  | {}\n  | If approved, nothing happens.\n",
            " ".repeat(76)
        );
        assert_eq!(barred(&long, 2, 80), broken);
        assert_eq!(barred("a\n\nb\tc", 2, 80), "  | a\n  | \n  | b    c\n");
        let wide = "漢".repeat(40);
        assert_eq!(barred(&wide, 2, 80).lines().count(), 2);
        assert_eq!(barred("ab", 2, 0), "  | ab\n");
        let tabs = barred(&"\t".repeat(40), 2, 80);
        assert!(tabs.lines().all(|line| fits(line, 80)), "{tabs}");
    }

    #[test]
    fn a_line_of_the_card_goes_on_under_itself() {
        assert_eq!(hung("  a = bcdefghij", 10), "  a = bcde\n  | fghij");
        assert_eq!(hung("short", 80), "short");
        assert_eq!(hung("", 80), "");
        assert!(fits("abc", 3) && !fits("abcd", 3) && !fits("a\tb", 80));
    }
}
