//! Words that must not stand in the repository. They are written in pieces here, or this file would be the first.

use crate::tree::File;
use crate::{nothing_to_say, tree};

/// A word, the files that it is banned from (the end of their path), and why.
type Ban = (&'static str, &'static str, &'static str);

const BANS: [Ban; 20] = [
    (
        concat!("#[al", "low("),
        ".rs",
        "use #[expect(…, reason = \"…\")], which complains when it is no longer needed",
    ),
    (
        concat!("#![al", "low("),
        ".rs",
        "use #![expect(…, reason = \"…\")], which complains when it is no longer needed",
    ),
    (
        concat!("#[ig", "nore"),
        ".rs",
        "a test that does not run holds nothing",
    ),
    (
        concat!("todo", "!("),
        ".rs",
        "it works, or it is refused with a documented error",
    ),
    (
        concat!("unimplemented", "!("),
        ".rs",
        "it works, or it is refused with a documented error",
    ),
    (
        concat!("thread::sl", "eep("),
        ".rs",
        "wait for a fact, not for time",
    ),
    (concat!("TO", "DO"), "", "an issue remembers it better"),
    (
        concat!("FIX", "ME"),
        "",
        "put it right, or write down the doubt",
    ),
    (
        concat!("X", "XX"),
        "",
        "put it right, or write down the doubt",
    ),
    (concat!("/wo", "rk/"), "", "a path of one machine"),
    (concat!("/ro", "ot/"), "", "a path of one machine"),
    (
        concat!("\"/t", "mp/"),
        "",
        "ask for a temporary folder, for two may run at once",
    ),
    (
        concat!(" /t", "mp/"),
        "",
        "ask for a temporary folder, for two may run at once",
    ),
    (
        concat!("=/t", "mp/"),
        "",
        "ask for a temporary folder, for two may run at once",
    ),
    (
        concat!("shared/", "design"),
        "",
        "what the repository says must stand in the repository",
    ),
    (
        concat!("index.", "crates.io"),
        "",
        "which registry serves a build is the machine's business",
    ),
    (
        concat!("static.", "crates.io"),
        "",
        "which registry serves a build is the machine's business",
    ),
    (
        concat!("arti", "factory"),
        "",
        "which registry serves a build is the machine's business",
    ),
    (concat!("<<<<", "<<< "), "", "a merge that was not finished"),
    (concat!(">>>>", ">>> "), "", "a merge that was not finished"),
];

#[test]
fn no_banned_word_stands_in_the_repository() {
    let complaints: Vec<String> = tree::files().iter().flat_map(complaints).collect();
    nothing_to_say(&complaints);
}

#[test]
fn every_dependency_comes_from_the_public_registry() {
    let lock = std::fs::read_to_string(tree::root().join("Cargo.lock")).expect("it is checked in");
    nothing_to_say(&foreign_sources(&lock));
}

fn complaints(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    for (word, end, why) in BANS {
        let lines = file.text.lines().enumerate();
        for (number, _) in lines.filter(|(_, line)| file.path.ends_with(end) && line.contains(word))
        {
            complaints.push(format!("{}:{}: `{word}`: {why}", file.path, number + 1));
        }
    }
    complaints
}

fn foreign_sources(lock: &str) -> Vec<String> {
    let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let sources = lock.lines().filter(|line| line.starts_with("source = "));
    sources
        .filter(|line| *line != public)
        .map(|line| format!("Cargo.lock: {line}"))
        .collect()
}

#[test]
fn a_banned_word_is_found_where_it_is_banned() {
    let file = |path: &str, text: String| File {
        path: path.to_owned(),
        text,
    };
    for (word, end, _) in BANS {
        let found = complaints(&file(&format!("a{end}"), format!("fine\nsee {word}x\n")));
        assert_eq!(found.len(), 1, "{word}: {found:?}");
        assert!(found[0].starts_with(&format!("a{end}:2: ")), "{found:?}");
    }
    let attribute = concat!("#[al", "low(x)]").to_owned();
    assert_eq!(complaints(&file("a.md", attribute)), [""; 0]);
}

#[test]
fn another_registry_is_found() {
    let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://example.org/x\"\n";
    assert_eq!(foreign_sources(lock).len(), 1);
}
