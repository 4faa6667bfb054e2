//! The tree, built from the parser's events.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span, StructureStyle};

use super::place::{self, QUOTE, position};
use super::{
    DEPTH_MAX, Entry, Kind, Literal, NODES_MAX, Node, PROBLEMS_MAX, Position, Problem, Scalar,
    Style, TEXT_BYTES_MAX,
};

/// The documents of a text, without empty ones.
///
/// # Errors
/// All problems up to the first place where the text is no YAML any more, at most [`PROBLEMS_MAX`] of them.
pub fn parse(text: &str) -> Result<Vec<Node>, Vec<Problem>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(vec![Problem {
            at: Position { line: 1, column: 1 },
            message: format!(
                "{} bytes are over the limit of {TEXT_BYTES_MAX}",
                text.len()
            ),
            hint: Some("split it into several files".to_owned()),
        }]);
    }
    let mut options = granit_parser::options! {
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        flow_nesting_limit: DEPTH_MAX + 1,
        block_nesting_limit: DEPTH_MAX + 1,
    };
    options.set_emit_comments(false);
    let mut builder = Builder::new(text);
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => {
                builder.problems.push(place::unreadable(text, &error));
                builder.full = true;
            }
        }
        if builder.full || builder.problems.len() >= PROBLEMS_MAX {
            break;
        }
    }
    if builder.problems.is_empty() {
        Ok(builder.documents)
    } else {
        Err(builder.problems)
    }
}

struct Builder<'t> {
    text: &'t str,
    documents: Vec<Node>,
    open: Vec<Open>,
    nodes: usize,
    problems: Vec<Problem>,
    /// A bound was reached: the rest is not looked at.
    full: bool,
}

/// A list or mapping whose end has not come yet.
struct Open {
    at: Position,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        seen: BTreeMap<String, Position>,
        /// The key that waits for its value.
        key: Option<Key>,
        flow: bool,
    },
}

/// A key; without a text one that was refused, whose value is dropped.
struct Key {
    text: Option<String>,
    at: Position,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            text,
            documents: Vec::new(),
            open: Vec::new(),
            nodes: 0,
            problems: Vec::new(),
            full: false,
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) {
        match event {
            Event::Scalar(text, style, _, tag) => {
                self.refuse_tag(tag.is_some(), &span);
                let scalar = self.scalar(text.into_owned(), style, &span);
                self.place(Kind::Scalar(scalar), position(span.start));
            }
            Event::SequenceStart(_, _, tag) => {
                self.refuse_tag(tag.is_some(), &span);
                self.begin(Inside::List(Vec::new()), &span);
            }
            Event::MappingStart(style, _, tag) => {
                self.refuse_tag(tag.is_some(), &span);
                self.begin(empty_map(style), &span);
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(_) | Event::UnresolvedAlias(_) => self.alias(&span),
            Event::Anchor(_, name) => self.anchor(&name, &span),
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::DocumentEnd
            | Event::Comment(..) => {}
            // The parser may grow events; one that is no node changes nothing here.
            _ => {}
        }
    }

    fn scalar(&self, text: String, style: ScalarStyle, span: &Span) -> Scalar {
        let (style, quotes) = match style {
            ScalarStyle::Plain => (Style::Plain, 0),
            ScalarStyle::SingleQuoted => (Style::Single, 1),
            ScalarStyle::DoubleQuoted => (Style::Double, 1),
            ScalarStyle::Literal | ScalarStyle::Folded => (Style::Block, 0),
        };
        let source = span.slice(self.text).unwrap_or_default();
        let inner = source.get(quotes..source.len().saturating_sub(quotes));
        let one_line = |raw: &&str| style != Style::Block && !raw.contains(['\n', '\r']);
        let raw = inner.filter(one_line).map(str::to_owned);
        // The parser hands an absent value on as `~`.
        let absent = style == Style::Plain && span.is_empty();
        let text = if absent { String::new() } else { text };
        Scalar { text, style, raw }
    }

    fn begin(&mut self, inside: Inside, span: &Span) {
        let at = position(span.start);
        if self.open.len() >= DEPTH_MAX {
            self.problems.push(place::too_deep(at));
            self.full = true;
            return;
        }
        self.open.push(Open { at, inside });
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else {
            return;
        };
        // Without what they could still grow by: the least that a list holds is room for four.
        let kind = match open.inside {
            Inside::List(mut items) => {
                items.shrink_to_fit();
                Kind::List(items)
            }
            Inside::Map { mut entries, .. } => {
                entries.shrink_to_fit();
                Kind::Map(entries)
            }
        };
        self.place(kind, open.at);
    }

    /// Puts a finished node where it belongs: into the open list, as key or value into the open mapping, or on top.
    fn place(&mut self, kind: Kind, at: Position) {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.problem(
                at,
                format!("more than {NODES_MAX} values"),
                "split it into several files",
            );
            self.full = true;
            return;
        }
        let node = Node { kind, at };
        match self.open.last_mut() {
            None if node.is_null() && node.scalar().is_some_and(|s| s.text.is_empty()) => {}
            None => self.documents.push(node),
            Some(Open {
                inside: Inside::List(items),
                ..
            }) => items.push(node),
            Some(Open {
                inside: Inside::Map { entries, key, .. },
                ..
            }) => match key.take() {
                Some(Key {
                    text: Some(key),
                    at,
                }) => entries.push(Entry {
                    key,
                    at,
                    value: node,
                }),
                Some(Key { text: None, .. }) => {}
                None => self.key(node),
            },
        }
    }

    fn key(&mut self, node: Node) {
        let at = node.at;
        let text = self.key_text(node);
        if let Some(Open {
            inside: Inside::Map { key, .. },
            ..
        }) = self.open.last_mut()
        {
            *key = Some(Key { text, at });
        }
    }

    /// The text of a key that may stand; otherwise `None` and a problem.
    fn key_text(&mut self, node: Node) -> Option<String> {
        let at = node.at;
        let Some(Open {
            inside: Inside::Map { seen, flow, .. },
            ..
        }) = self.open.last_mut()
        else {
            return None;
        };
        let flow = *flow;
        let Kind::Scalar(scalar) = node.kind else {
            let hint = if flow { QUOTE } else { "a key is text" };
            self.problem(at, "a list or mapping cannot be a key".to_owned(), hint);
            return None;
        };
        if scalar.style == Style::Plain && scalar.text == "<<" {
            self.problem(
                at,
                "merge keys (`<<`) are not supported".to_owned(),
                "write the entries out",
            );
            return None;
        }
        if !matches!(scalar.literal(), Literal::Text(_)) || scalar.is_misspelled_number() {
            let message = format!("a key must be text, and `{}` is not", scalar.text);
            self.problem(at, message, "quote the key");
            return None;
        }
        if let Some(first) = seen.get(&scalar.text) {
            let message = format!(
                "`{}` is written twice; the first is in line {}",
                scalar.text, first.line
            );
            self.problem(at, message, "leave one out");
            return None;
        }
        seen.insert(scalar.text.clone(), at);
        if scalar.style == Style::Plain
            && (scalar.text.contains("${{") || place::is_ternary(&format!("{} :", scalar.text)))
        {
            self.problem(at, format!("`{}` is read as a key", scalar.text), QUOTE);
            return None;
        }
        Some(scalar.text)
    }

    fn refuse_tag(&mut self, tagged: bool, span: &Span) {
        if !tagged {
            return;
        }
        let tag = span.tag_span().and_then(|tag| tag.slice(self.text));
        let message = format!("YAML tags are not supported: `{}`", tag.unwrap_or("!"));
        let at = position(span.tag_start().unwrap_or(span.start));
        self.problem(
            at,
            message,
            "quote it: without quotes a leading ! is a tag, not a negation",
        );
    }

    fn alias(&mut self, span: &Span) {
        let at = position(span.start);
        let alias = span.slice(self.text).unwrap_or("*").to_owned();
        self.problem(
            at,
            format!("YAML aliases are not supported: `{alias}`"),
            "write the value out, or quote it if the * is meant",
        );
        let text = Scalar {
            text: alias,
            style: Style::Double,
            raw: None,
        };
        self.place(Kind::Scalar(text), at);
    }

    fn anchor(&mut self, name: &str, span: &Span) {
        self.problem(
            position(span.start),
            format!("YAML anchors are not supported: `&{name}`"),
            "leave it out, or quote it if the & is meant",
        );
    }

    fn problem(&mut self, at: Position, message: String, hint: &str) {
        self.problems.push(Problem {
            at,
            message,
            hint: Some(hint.to_owned()),
        });
    }
}

fn empty_map(style: StructureStyle) -> Inside {
    Inside::Map {
        entries: Vec::new(),
        seen: BTreeMap::new(),
        key: None,
        flow: style == StructureStyle::Flow,
    }
}
