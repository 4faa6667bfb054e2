//! Tables without borders, in the manner of kubectl.
//!
//! On a terminal a row is one line: the columns named as flexible give way with `…`. Elsewhere
//! nothing is cut, so that `grep` and `awk` see everything.

use comfy_table::{
    Attribute, Cell as Inner, ColumnConstraint, ContentArrangement, Row, Table as Grid, Width,
    presets,
};

use crate::output::Out;
use crate::paint::Tone;

/// One cell.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

/// A cell of a meaning.
pub(crate) fn cell(text: impl Into<String>, tone: Tone) -> Cell {
    Cell {
        text: text.into(),
        tone,
    }
}

/// A status word in its colour.
pub(crate) fn status(word: &str) -> Cell {
    cell(word, Tone::of(word))
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        cell(text, Tone::Plain)
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        cell(text, Tone::Plain)
    }
}

/// A table that grows row by row.
pub(crate) struct Table {
    columns: Vec<&'static str>,
    flexible: Vec<usize>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these headings; one that starts with `~` may be cut.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        let flexible = headings
            .iter()
            .enumerate()
            .filter(|(_, h)| h.starts_with('~'))
            .map(|(n, _)| n);
        Self {
            flexible: flexible.collect(),
            columns: headings.iter().map(|h| h.trim_start_matches('~')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; empty cells show a dash.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as text, without a newline at its end.
    pub(crate) fn render(&self, out: &Out) -> String {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        grid.set_truncation_indicator("…");
        // Cells are cut where the column ends and not at the last space before.
        grid.set_delimiter('\0');
        if out.colour_out {
            grid.enforce_styling()
        } else {
            grid.force_no_tty()
        };
        match out.width {
            Some(width) => grid
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width),
            None => grid.set_content_arrangement(ContentArrangement::Disabled),
        };
        grid.set_header(Row::from(
            self.columns.iter().map(|h| heading(h)).collect::<Vec<_>>(),
        ));
        for cells in &self.rows {
            let mut row = Row::from(cells.iter().map(inner).collect::<Vec<_>>());
            row.max_height(1);
            grid.add_row(row);
        }
        for (n, column) in grid.column_iter_mut().enumerate() {
            column.set_padding((0, 2));
            column.set_constraint(if self.flexible.contains(&n) {
                ColumnConstraint::LowerBoundary(Width::Fixed(8))
            } else {
                ColumnConstraint::ContentWidth
            });
        }
        let lines: Vec<String> = grid
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        lines.join("\n")
    }
}

fn heading(text: &str) -> Inner {
    Inner::new(text).add_attribute(Attribute::Bold)
}

fn inner(cell: &Cell) -> Inner {
    let text = cell.text.replace(['\n', '\r', '\t'], " ");
    let made = Inner::new(if text.is_empty() { "-" } else { &text });
    match cell.tone.color() {
        Some(color) => made.fg(color),
        None => made,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    fn sample() -> Table {
        let mut table = Table::new(&["ID", "~WORKFLOW", "STATUS"]);
        table.row(vec![
            "456789ab".into(),
            "a-workflow-with-quite-a-long-name-and-more".into(),
            status("failed"),
        ]);
        table.row(vec!["456789ac".into(), "b".into(), "".into()]);
        table
    }

    #[test]
    fn a_row_is_one_line_and_fits_the_terminal() {
        let out = Out {
            width: Some(40),
            ..Out::default()
        };
        let text = sample().render(&out);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().all(|line| line.width() <= 40), "{text}");
        assert!(
            text.contains("456789ab") && text.contains('…') && text.contains("failed"),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_cut_and_coloured_where_a_program_reads() {
        let text = sample().render(&Out::default());
        assert!(
            text.contains("a-workflow-with-quite-a-long-name-and-more"),
            "{text}"
        );
        assert!(!text.contains('\x1b'));
        assert!(
            text.lines().last().is_some_and(|line| line.ends_with('-')),
            "{text}"
        );
    }
}
