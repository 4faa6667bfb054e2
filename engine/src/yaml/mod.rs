//! YAML text as one tree in which everything knows its place.
//!
//! A document is read from the events of a parser, not through serde: serde would stop at the first error, let `!!str`
//! pass and hide how `1.10` was written. JSON is YAML, too, so there is one way in.
//!
//! What is refused, each with its line and column: keys written twice, anchors, aliases, merge keys, tags, directives,
//! keys that are not text, and what is over a bound. The problems of a text come all at once, up to the first place
//! where it is no YAML any more. Reading takes time and memory linear in the text and cannot panic.
//!
//! Only the YAML 1.2 core schema counts: `yes`, `no`, `on` and `off` are text.

mod build;
mod place;
mod scalar;

use std::fmt;

pub use build::parse;
pub use scalar::{Literal, Scalar, Style};

/// No text is longer, in bytes: the limit of a request.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// No deeper nesting: far more than a workflow needs, far less than a stack holds.
pub const DEPTH_MAX: usize = 64;
/// No more nodes in a text: more than twice what 1,000 steps with ten lines each have, keys counted.
pub const NODES_MAX: usize = 50_000;
/// After so many problems the rest is not looked at.
pub const PROBLEMS_MAX: usize = 100;

/// A place in a text, as editors count: both from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What is wrong with a text, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub at: Position,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A value of a document and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it begins.
    pub at: Position,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Text, a number, a boolean or null.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A mapping: its entries in the order of the document, no key twice.
    Map(Vec<Entry>),
}

/// An entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub at: Position,
    /// The value; null where nothing is written.
    pub value: Node,
}

impl Node {
    /// The scalar, if it is one.
    #[must_use]
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn list(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            Kind::Scalar(_) | Kind::Map(_) => None,
        }
    }

    /// The entries, if it is a mapping.
    #[must_use]
    pub fn map(&self) -> Option<&[Entry]> {
        match &self.kind {
            Kind::Map(entries) => Some(entries),
            Kind::Scalar(_) | Kind::List(_) => None,
        }
    }

    /// The value under `key`, if it is a mapping that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.map()?.iter().find(|entry| entry.key == key)?;
        Some(&entry.value)
    }

    /// Whether nothing, `~` or `null` is written here.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.scalar()
            .is_some_and(|scalar| scalar.literal() == Literal::Null)
    }

    /// What kind of value it is, for messages: `text`, `a number`, `a list`.
    #[must_use]
    pub fn kind_name(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.literal().kind_name(),
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    /// Where byte `offset` of the scalar's text stands in the document.
    ///
    /// Exact for plain and quoted scalars of one line. A scalar of several lines, or a node that is no scalar, answers
    /// with the place where it begins.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        let column = self.scalar().map_or(0, |scalar| scalar.columns_to(offset));
        Position {
            column: self.at.column + column,
            ..self.at
        }
    }

    /// The node as JSON, expressions as the text that they are. A number that YAML reads as one becomes one, however
    /// it is spelled ([`Scalar::is_misspelled_number`] says whether it would print back the same).
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.literal().to_json(),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests;
