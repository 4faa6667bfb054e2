//! A checked expression: what the evaluation walks over.

use std::ops::Range;

use regex::Regex;

use super::functions::Signature;
use super::value::Value;

pub(super) struct Node {
    pub(super) kind: Kind,
    /// Where it stands in the source, in bytes.
    pub(super) span: Range<usize>,
}

pub(super) enum Kind {
    Constant(Value<'static>),
    /// A name in scope.
    Root(String, Cast),
    /// A variable of a comprehension, by its place among those that are open.
    Local(usize, Cast),
    Select(Box<Select>),
    Index(Box<Index>),
    /// `has(x.y)`
    Has(Box<Node>, String),
    /// Each with whether it is `?x`: left out when absent.
    List(Vec<(Node, bool)>),
    /// Key, value, and whether it is `?k: v`.
    Map(Vec<(Node, Node, bool)>),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<[Node; 3]>),
    /// `==`, or `!=` when true.
    Equal(Box<[Node; 2]>, bool),
    Compare(Box<[Node; 2]>, Comparison),
    In(Box<[Node; 2]>),
    /// `matches` with a pattern that is known when saved.
    Matches(Box<Node>, Box<Regex>),
    Call(Call),
    Loop(Box<Loop>),
    /// `optMap`, or `optFlatMap` when true: the body, with the value as a local.
    WithOptional(Box<[Node; 2]>, bool),
}

/// What a value from outside becomes, for JSON has fewer types.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cast {
    None,
    Double,
    Duration,
    Timestamp,
    /// A list of which each element is cast.
    Durations,
    Timestamps,
}

pub(super) struct Select {
    pub(super) of: Node,
    pub(super) field: String,
    /// `x.?y`
    pub(super) optional: bool,
    /// An absent key reads as `''`.
    pub(super) labels: bool,
    pub(super) cast: Cast,
}

pub(super) struct Index {
    pub(super) of: Node,
    pub(super) index: Node,
    /// `x[?y]`
    pub(super) optional: bool,
    /// An absent key reads as `''`.
    pub(super) labels: bool,
    pub(super) cast: Cast,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

pub(super) struct Call {
    pub(super) name: String,
    pub(super) args: Vec<Node>,
    /// The ways to call it that the types allow; the values decide.
    pub(super) candidates: Vec<&'static Signature>,
}

pub(super) struct Loop {
    pub(super) kind: LoopKind,
    pub(super) range: Node,
    /// Two variables: index and element, or key and value.
    pub(super) two: bool,
    /// Only where it holds.
    pub(super) filter: Option<Node>,
    pub(super) body: Node,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    /// `map`, `transformList`
    List,
    /// `transformMap`
    Map,
    SortBy,
}
