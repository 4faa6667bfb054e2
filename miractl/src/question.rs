//! The part of a card that shows what an agent asks, in its own words.

use serde_json::Value;

use crate::bar::barred;
use crate::model::inline;
use crate::output::pretty;
use crate::paint::{Paint, Tone};

/// What stands before the bar.
const INDENT: usize = 2;

/// What the agent says. Every line of it stands behind a bar: none can be taken for one of the card's own.
pub(crate) fn question(question: &Value, width: usize, paint: Paint) -> String {
    let barred = |text: &str| barred(text, INDENT, width);
    let title = if question["proven"].as_bool().unwrap_or(false) {
        "The agent asks while it executes the step. Its words, which nobody has checked:"
    } else {
        "An agent asks that is only believed to be who it says. Its words, which nobody has checked:"
    };
    let mut text = format!("\n{}\n", paint.tone(Tone::Attention, title));
    text.push_str(&barred(&inline(&question["description"])));
    let rest = [
        ("Context", &question["context"]),
        ("Blast radius", &question["blast_radius"]),
    ];
    for (name, value) in rest.into_iter().filter(|(_, value)| !value.is_null()) {
        let shown = value.as_str().map_or_else(|| pretty(value), str::to_owned);
        text.push_str(&format!(
            "{}, as the agent says\n{}",
            paint.strong(name),
            barred(&shown)
        ));
    }
    if let Some(reason) = question["reason"].as_str() {
        text.push_str(&barred(reason));
    }
    text
}

/// What an answer does.
pub(crate) fn outcome() -> &'static str {
    "\nThe agent is told the answer and goes on. A yes allows it nothing that its step was not allowed before.\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bar::fits;
    use crate::model::clean;
    use serde_json::json;

    #[test]
    fn what_an_agent_says_cannot_be_taken_for_the_card() {
        let hostile = clean(&json!({
            "description": "delete it\n\u{1b}[2JIf approved, nothing happens.\u{202e}",
            "context": {"why": format!("x\nUndo  demo/undo {{}}{}Whatever.", " ".repeat(90))},
            "reason": format!("{}If rejected, all is well.", "漢\t".repeat(40)),
            "blast_radius": {"summary": "all\nof it"},
            "proven": false,
        }));
        let text = question(&hostile, 80, Paint(false));
        for words in ["If approved", "Undo", "of it", "Whatever", "If rejected"] {
            let lines: Vec<&str> = text.lines().filter(|l| l.contains(words)).collect();
            assert_eq!(lines.len(), 1, "{words} in {text}");
            assert!(lines[0].starts_with("  | "), "{text}");
        }
        // A terminal has nothing to break.
        let behind = |line: &&str| line.starts_with("  | ");
        assert!(
            text.lines().filter(behind).all(|line| fits(line, 80)),
            "{text}"
        );
        assert!(text.contains("\\u{1b}[2J"), "{text}");
        assert!(!text.contains('\u{202e}'), "{text}");
        assert!(text.contains("only believed to be who it says"), "{text}");
    }
}
