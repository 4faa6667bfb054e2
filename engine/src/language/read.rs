//! Reading values out of the spanned tree. What is wrong becomes a problem with its place, and reading goes on.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::expression::nearest::did_you_mean;
use crate::language::{Problem, document};
use crate::yaml::{Entry, Literal, Node, PROBLEMS_MAX, Position};

/// Collects what is wrong with a document.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) problems: Vec<Problem>,
    /// Plain scalars that YAML reads as a number but that would not print back the same.
    pub(super) misspelled: Vec<(String, Position, String)>,
}

/// A mapping whose keys are known to be right.
pub(super) struct Fields<'n> {
    pub(super) node: &'n Node,
    pub(super) pointer: String,
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.node.get(key)
    }

    pub(super) fn at(&self, key: &str) -> String {
        join(&self.pointer, key)
    }
}

/// The pointer of `key` under `pointer` (RFC 6901).
pub(super) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

impl Reader {
    pub(super) fn problem(&mut self, at: Position, pointer: &str, message: impl Into<String>) {
        self.hinted(at, pointer, message, None);
    }

    pub(super) fn hinted(
        &mut self,
        at: Position,
        pointer: &str,
        message: impl Into<String>,
        hint: Option<String>,
    ) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem {
                at,
                pointer: pointer.to_owned(),
                message: message.into(),
                hint,
            });
        }
    }

    /// Whether something under `pointer` is known to be wrong.
    pub(super) fn has_problem_under(&self, pointer: &str) -> bool {
        let inside = format!("{pointer}/");
        self.problems.iter().any(|p| p.pointer.starts_with(&inside))
    }

    /// The mapping of a documented type; `later` are keys of the language that this version does not have.
    pub(super) fn fields<'n, T: JsonSchema>(
        &mut self,
        node: &'n Node,
        pointer: &str,
        later: &[&str],
    ) -> Option<Fields<'n>> {
        let Some(entries) = node.map() else {
            self.problem(
                node.at,
                pointer,
                format!("this must be a mapping, and it is {}", node.kind_name()),
            );
            return None;
        };
        let known = document::keys::<T>();
        for entry in entries {
            if self.problems.len() >= PROBLEMS_MAX {
                break;
            }
            self.check_key(entry, pointer, &known, later);
        }
        Some(Fields {
            node,
            pointer: pointer.to_owned(),
        })
    }

    fn check_key(&mut self, entry: &Entry, pointer: &str, known: &[String], later: &[&str]) {
        let key = entry.key.as_str();
        if known.iter().any(|k| k == key) {
            return;
        }
        let pointer = join(pointer, key);
        if later.contains(&key) {
            let hint = Some("remove it, or use a version that has it".to_owned());
            self.hinted(
                entry.at,
                &pointer,
                format!("{key}: not supported in this version"),
                hint,
            );
            return;
        }
        let hint = did_you_mean(key, known.iter().map(String::as_str));
        let hint = hint.or_else(|| Some(format!("known keys: {}", known.join(", "))));
        self.hinted(
            entry.at,
            &pointer,
            format!("{key}: there is no such key"),
            hint,
        );
    }

    /// Text as it stands; numbers and booleans must be quoted to be text.
    pub(super) fn text<'n>(&mut self, node: &'n Node, pointer: &str) -> Option<&'n str> {
        match node.scalar().map(|s| s.literal()) {
            Some(Literal::Text(text))
                if !node.scalar().is_some_and(|s| s.is_misspelled_number()) =>
            {
                Some(text)
            }
            Some(Literal::Null) => {
                self.problem(
                    node.at,
                    pointer,
                    "this is empty: write a value, or leave the key out",
                );
                None
            }
            Some(Literal::Number(_) | Literal::Bool(_) | Literal::Text(_)) => {
                let hint = Some("quote it".to_owned());
                self.hinted(
                    node.at,
                    pointer,
                    format!("this must be text, and it is {}", node.kind_name()),
                    hint,
                );
                None
            }
            None => {
                self.mapping_for_text(node, pointer);
                None
            }
        }
    }

    fn mapping_for_text(&mut self, node: &Node, pointer: &str) {
        let hint = Some(
            "if this is an expression or a template, quote the expression: \"${{ … }}\"".to_owned(),
        );
        self.hinted(
            node.at,
            pointer,
            format!("this must be text, and it is {}", node.kind_name()),
            hint,
        );
    }

    /// An expression: text that is not empty; booleans may stand as they are.
    pub(super) fn expression(&mut self, node: &Node, pointer: &str) -> Option<String> {
        let text = match node.scalar().map(|s| s.literal()) {
            Some(Literal::Bool(value)) => Some(value.to_string()),
            Some(Literal::Number(_) | Literal::Null | Literal::Text(_)) | None => {
                self.text(node, pointer).map(str::to_owned)
            }
        };
        if text.as_ref().is_some_and(|t| t.trim().is_empty()) {
            self.problem(
                node.at,
                pointer,
                "this is empty: write an expression, or leave the key out",
            );
            return None;
        }
        text
    }

    /// A literal that its type reads from text.
    pub(super) fn parsed<T>(&mut self, node: &Node, pointer: &str) -> Option<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        let text = self.text(node, pointer)?;
        if text.contains("${{") {
            self.problem(
                node.at,
                pointer,
                "this must be literal: an expression is not possible here",
            );
            return None;
        }
        match text.parse() {
            Ok(value) => Some(value),
            Err(e) => {
                self.problem(node.at, pointer, format!("{text:?} is {e}"));
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: DeserializeOwned + JsonSchema>(
        &mut self,
        node: &Node,
        pointer: &str,
    ) -> Option<T> {
        let text = self.text(node, pointer)?;
        if let Ok(value) = serde_json::from_value(text.into()) {
            return Some(value);
        }
        let words = words::<T>();
        let hint = did_you_mean(text, words.iter().map(String::as_str));
        let message = format!(
            "{text:?} is not possible here: it is one of {}",
            words.join(", ")
        );
        self.hinted(node.at, pointer, message, hint);
        None
    }

    pub(super) fn boolean(&mut self, node: &Node, pointer: &str) -> Option<bool> {
        match node.scalar().map(|s| s.literal()) {
            Some(Literal::Bool(value)) => Some(value),
            Some(Literal::Null | Literal::Number(_) | Literal::Text(_)) | None => {
                self.problem(
                    node.at,
                    pointer,
                    format!("this must be true or false, and it is {}", node.kind_name()),
                );
                None
            }
        }
    }

    /// A whole number from `min` to `max`.
    pub(super) fn number(&mut self, node: &Node, pointer: &str, min: u32, max: u32) -> Option<u32> {
        let number = match node.scalar().map(|s| s.literal()) {
            Some(Literal::Number(number)) => number.as_u64().and_then(|n| u32::try_from(n).ok()),
            Some(Literal::Null | Literal::Bool(_) | Literal::Text(_)) | None => None,
        };
        let number = number.filter(|n| (min..=max).contains(n));
        if number.is_none() {
            self.problem(
                node.at,
                pointer,
                format!("this must be a whole number from {min} to {max}"),
            );
        }
        number
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node, pointer: &str) -> Option<&'n [Node]> {
        let list = node.list();
        if list.is_none() {
            self.problem(
                node.at,
                pointer,
                format!("this must be a list, and it is {}", node.kind_name()),
            );
        }
        list
    }

    /// A mapping with any keys.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, pointer: &str) -> &'n [Entry] {
        let map = node.map();
        if map.is_none() {
            self.problem(
                node.at,
                pointer,
                format!("this must be a mapping, and it is {}", node.kind_name()),
            );
        }
        map.unwrap_or_default()
    }

    /// A JSON tree whose strings are templates.
    pub(super) fn tree(&mut self, node: &Node, pointer: &str) -> serde_json::Value {
        self.note_misspelled(node, pointer);
        node.to_json()
    }

    fn note_misspelled(&mut self, node: &Node, pointer: &str) {
        if let Some(scalar) = node.scalar().filter(|s| s.is_misspelled_number()) {
            self.misspelled
                .push((pointer.to_owned(), node.at, scalar.text.clone()));
        }
        for (index, item) in node.list().into_iter().flatten().enumerate() {
            self.note_misspelled(item, &join(pointer, &index.to_string()));
        }
        for entry in node.map().into_iter().flatten() {
            self.note_misspelled(&entry.value, &join(pointer, &entry.key));
        }
    }
}

fn words<T: JsonSchema>() -> Vec<String> {
    let schema = schemars::schema_for!(T).to_value();
    let mut words = Vec::new();
    collect_words(&schema, &mut words);
    words
}

/// The words of an enum without documented variants stand in `enum`, of one with them in `oneOf`/`const`.
fn collect_words(schema: &serde_json::Value, words: &mut Vec<String>) {
    let listed = schema
        .get("enum")
        .and_then(|e| e.as_array())
        .into_iter()
        .flatten();
    words.extend(listed.filter_map(|w| w.as_str()).map(str::to_owned));
    words.extend(
        schema
            .get("const")
            .and_then(|c| c.as_str())
            .map(str::to_owned),
    );
    for one in schema
        .get("oneOf")
        .and_then(|o| o.as_array())
        .into_iter()
        .flatten()
    {
        collect_words(one, words);
    }
}
