//! Every error code that a user can meet has a section in `docs/errors.md`, and every section a code.

use crate::{nothing_to_say, tree};
use engine::code::Code;
use std::collections::BTreeSet;

#[test]
fn every_error_code_has_its_section() {
    let text = std::fs::read_to_string(tree::root().join("docs/errors.md"))
        .expect("docs/errors.md is there");
    let codes = Code::ALL.iter().map(|code| code.as_str());
    nothing_to_say(&differences(codes, &text));
}

fn differences<'a>(codes: impl Iterator<Item = &'a str>, text: &str) -> Vec<String> {
    let codes: BTreeSet<&str> = codes.collect();
    let sections: BTreeSet<&str> = text.lines().filter_map(section).collect();
    let missing = codes
        .difference(&sections)
        .map(|code| format!("docs/errors.md: no section `## \\`{code}\\``"));
    let stale = sections
        .difference(&codes)
        .map(|code| format!("docs/errors.md: `{code}` is no code in engine/src/code.rs"));
    missing.chain(stale).collect()
}

/// A heading of any level that is one word in backticks.
fn section(line: &str) -> Option<&str> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim();
    heading.strip_prefix('`')?.strip_suffix('`')
}

#[test]
fn a_missing_and_a_stale_section_are_found() {
    let text = "# Errors\n## Answers\n### `not_found`\nprose `conflict`\n## `gone`\n";
    let found = differences(["not_found", "conflict"].into_iter(), text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("conflict") && found[1].contains("gone"));
}
