//! Expressions that would take for ever, or all memory: each in every step that there may be.

use super::{LARGEST, Table, text};
use crate::siege::kind::Kind;

pub(super) const TABLE: &Table<Vec<u8>> = &[
    (Kind::Malformed, &[("half of one", || all("a +"), &[422])]),
    (
        Kind::Oversized,
        &[
            // What it costs shows when a run evaluates it: `costly.rs`.
            ("a replace that multiplies", replace, &[200]),
            ("binds that double", bind, &[422]),
            ("a regular expression", regex, &[422]),
        ],
    ),
    (
        Kind::Nested,
        &[
            ("comprehensions", comprehensions, &[422]),
            ("2,000 brackets", brackets, &[422]),
        ],
    ),
    (
        Kind::WrongTypes,
        &[("a sum", || all("1 + 'a' == 1"), &[422])],
    ),
    (
        Kind::UnknownNames,
        &[("a name", || all("nowhere == 1"), &[422])],
    ),
];

fn comprehensions() -> Vec<u8> {
    all("[1,2].map(a, [1,2].map(b, [1,2].map(c, [1,2].map(d, a + b + c + d)))).size() > 0")
}

fn brackets() -> Vec<u8> {
    all(&format!("{}1{} == 1", "(".repeat(2_000), ")".repeat(2_000)))
}

fn replace() -> Vec<u8> {
    let inner = (0..12).fold("'aaaaaaaa'".to_owned(), |inner, _| {
        format!("{inner}.replace('a', 'aaaaaaaaaaaaaaaa')")
    });
    all(&format!("{inner}.size() > 0"))
}

fn bind() -> Vec<u8> {
    all(&(0..30).fold("x0.size() > 0".to_owned(), |inner, n| {
        format!("cel.bind(x{n}, x{} + x{}, {inner})", n + 1, n + 1)
    }))
}

fn regex() -> Vec<u8> {
    let letters = "a".repeat(100);
    all(&format!("'{letters}'.matches('(a{{1,1000}}){{1,1000}}')"))
}

/// The expression in as many steps as there may be.
fn all(expression: &str) -> Vec<u8> {
    let step = |n| format!("  - id: s{n}\n    assert: \"{expression}\"\n    message: m\n");
    let times = (LARGEST / (expression.len() + 60)).min(1_000);
    let steps: String = (0..times).map(step).collect();
    text(&format!("workflow: a\nsteps:\n{steps}"))
}
