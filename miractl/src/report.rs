//! How a failure looks: what happened, where, and what to do next.

use std::fmt;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode,
};

use crate::exit::{Exit, Failure, Source, Spot};
use crate::output::Out;
use crate::paint::Tone;

/// Prints a failure on stderr.
pub(crate) fn print(failure: &Failure, out: &Out) {
    if failure.exit == Exit::Ok {
        return;
    }
    out.err(render(failure, out).trim_end());
}

/// A failure as text.
pub(crate) fn render(failure: &Failure, out: &Out) -> String {
    let paint = out.paint_err();
    let word = paint.tone(Tone::Bad, "error:");
    let mut text = format!("{word} {}{}\n", document(failure), failure.message);
    // A place without a line whose message is the failure's own adds nothing but its hint.
    let is_told = |spot: &&Spot| spot.line == 0 && failure.message.contains(&spot.message);
    for spot in failure.spots.iter().filter(|spot| !is_told(spot)) {
        text.push_str(&place(spot, failure.source.as_ref(), "error", out));
    }
    let hints = failure
        .spots
        .iter()
        .filter(is_told)
        .filter_map(|spot| spot.hint.as_ref());
    for hint in hints.chain(&failure.hint) {
        text.push_str(&format!("{} {hint}\n", paint.tone(Tone::Busy, "hint:")));
    }
    let code = failure.code.as_ref().map(|code| format!("code {code}"));
    let request = failure
        .request_id
        .as_ref()
        .map(|id| format!("request {id}"));
    let trace: Vec<String> = [code, request].into_iter().flatten().collect();
    if !trace.is_empty() {
        text.push_str(&format!("{}\n", paint.dim(trace.join(", "))));
    }
    text
}

/// The document that a failure is about, where no place below names it.
fn document(failure: &Failure) -> String {
    let placed = failure.spots.iter().any(|spot| spot.line > 0);
    let source = failure.source.as_ref().filter(|_| !placed);
    source.map_or_else(String::new, |source| format!("{}: ", source.name))
}

/// One place that is wrong or doubtful, with its line of the source and a caret where that is known.
pub(crate) fn place(
    spot: &Spot,
    source: Option<&Source>,
    severity: &'static str,
    out: &Out,
) -> String {
    match source.and_then(|source| Shown::new(spot, source, severity)) {
        Some(shown) => shown.render(out),
        None => bare(spot, severity, out),
    }
}

fn bare(spot: &Spot, severity: &str, out: &Out) -> String {
    let place = match (spot.line, spot.pointer.as_str()) {
        (0, "") => String::new(),
        (0, pointer) => format!("{pointer}: "),
        (line, _) => format!("line {line}, column {}: ", spot.column.max(1)),
    };
    let hint = spot
        .hint
        .as_ref()
        .map(|hint| format!("\n    {hint}"))
        .unwrap_or_default();
    let word = if severity == "error" {
        String::new()
    } else {
        format!("{}: ", out.paint_err().tone(Tone::Attention, severity))
    };
    format!("  {word}{place}{}{hint}\n", spot.message)
}

/// A spot as the report library wants it.
#[derive(Debug)]
struct Shown {
    spot: Spot,
    source: NamedSource<String>,
    offset: usize,
    length: usize,
    severity: &'static str,
}

impl Shown {
    fn new(spot: &Spot, source: &Source, severity: &'static str) -> Option<Self> {
        let line = spot.line.checked_sub(1)? + source.lines_before;
        let start = offset_of_line(&source.text, line)?;
        let text = source.text[start..].lines().next().unwrap_or_default();
        let column = spot.column.saturating_sub(1);
        let within = text
            .char_indices()
            .nth(column)
            .map_or(text.len(), |(at, _)| at);
        let length = text[within..]
            .find([' ', ',', '}', ']'])
            .unwrap_or(text.len() - within);
        Some(Self {
            spot: spot.clone(),
            source: NamedSource::new(&source.name, source.text.clone()),
            offset: start + within,
            length: length.max(1),
            severity,
        })
    }

    fn render(&self, out: &Out) -> String {
        let theme = match (out.utf8, out.colour_err) {
            (true, true) => GraphicalTheme::unicode(),
            (true, false) => GraphicalTheme::unicode_nocolor(),
            (false, _) => GraphicalTheme::none(),
        };
        let mut text = String::new();
        let handler = GraphicalReportHandler::new_themed(theme)
            .with_width(out.columns())
            .with_context_lines(1)
            .with_links(false);
        match handler.render_report(&mut text, self) {
            Ok(()) => text,
            Err(_) => bare(&self.spot, self.severity, out),
        }
    }
}

fn offset_of_line(text: &str, line: usize) -> Option<usize> {
    if line == 0 {
        return Some(0);
    }
    text.match_indices('\n').nth(line - 1).map(|(at, _)| at + 1)
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spot.message)
    }
}

impl std::error::Error for Shown {}

impl Diagnostic for Shown {
    fn severity(&self) -> Option<miette::Severity> {
        Some(if self.severity == "error" {
            miette::Severity::Error
        } else {
            miette::Severity::Warning
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.spot
            .hint
            .as_ref()
            .map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(None, (self.offset, self.length));
        Some(Box::new(std::iter::once(label)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spot(line: usize, column: usize) -> Spot {
        Spot {
            line,
            column,
            message: "metrics has no action `instant_qeury`".to_owned(),
            hint: Some("did you mean `metrics/instant_query`?".to_owned()),
            ..Spot::default()
        }
    }

    #[test]
    fn a_place_in_a_document_shows_its_line_and_a_caret() {
        let source = Source {
            name: "a.mira.yaml".to_owned(),
            text: "hook: x\n---\nworkflow: a\nsteps:\n  - uses: metrics/instant_qeury\n".to_owned(),
            lines_before: 2,
        };
        let out = Out {
            utf8: true,
            ..Out::default()
        };
        let text = place(&spot(3, 11), Some(&source), "error", &out);
        assert!(text.contains("a.mira.yaml:5:11"), "{text}");
        assert!(text.contains("uses: metrics/instant_qeury"), "{text}");
        assert!(text.contains("did you mean"), "{text}");
        let ascii = place(&spot(3, 11), Some(&source), "error", &Out::default());
        assert!(ascii.is_ascii(), "{ascii}");
    }

    #[test]
    fn a_failure_without_a_place_names_its_document() {
        let source = Source {
            name: "alerts.mira.yaml".to_owned(),
            text: "hook: alerts\n".to_owned(),
            lines_before: 0,
        };
        let failure = Failure::usage("there is no secret alerts_token").within(source);
        let text = render(&failure, &Out::default());
        assert!(
            text.starts_with("error: alerts.mira.yaml: there is no secret"),
            "{text}"
        );
    }

    #[test]
    fn a_place_outside_the_text_is_still_named() {
        let source = Source {
            name: "a".to_owned(),
            text: "x\n".to_owned(),
            lines_before: 0,
        };
        let text = place(&spot(99, 4), Some(&source), "error", &Out::default());
        assert!(text.contains("line 99, column 4"), "{text}");
        let mut pointed = spot(0, 0);
        pointed.pointer = "/inputs/window".to_owned();
        assert!(place(&pointed, None, "error", &Out::default()).contains("/inputs/window: "));
    }
}
