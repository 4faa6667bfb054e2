//! The documents that must stay short, numbered, and there.

use crate::{nothing_to_say, tree};

const ARCHITECTURE_LINES_MAX: usize = 200;

#[test]
fn the_architecture_can_be_read_in_one_sitting() {
    let text = std::fs::read_to_string(tree::root().join("ARCHITECTURE.md"))
        .expect("ARCHITECTURE.md is there");
    let lines = text.lines().count();
    assert!(
        lines <= ARCHITECTURE_LINES_MAX,
        "ARCHITECTURE.md has {lines} lines, more than {ARCHITECTURE_LINES_MAX}"
    );
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let prefix = "docs/decisions/";
    let files = tree::files_ending(".md");
    let names = files
        .iter()
        .filter_map(|file| file.path.strip_prefix(prefix));
    nothing_to_say(&misnumbered(names));
}

/// `names` are sorted, as `tree::files` gives them.
fn misnumbered<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut complaints = Vec::new();
    for (index, name) in names.enumerate() {
        let start = format!("{:03}-", index + 1);
        if !name.starts_with(&start) {
            complaints.push(format!(
                "docs/decisions/{name}: its name begins with {start}"
            ));
        }
    }
    complaints
}

#[test]
fn a_gap_and_a_double_are_found() {
    assert_eq!(misnumbered(["001-a.md", "002-b.md"].into_iter()), [""; 0]);
    assert_eq!(misnumbered(["001-a.md", "003-b.md"].into_iter()).len(), 1);
    assert_eq!(misnumbered(["001-a.md", "001-b.md"].into_iter()).len(), 1);
    assert_eq!(misnumbered(["readme.md"].into_iter()).len(), 1);
}
