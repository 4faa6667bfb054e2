//! Every row of `docs/proof.md` names a test that is there, and a function that is in the file that it names: otherwise
//! nobody could make the change that turns the test red.

use crate::tree::{self, File};
use crate::{names, nothing_to_say};
use std::collections::BTreeMap;

const PROOF: &str = "docs/proof.md";

/// Of a path, what names no module.
const NO_MODULE: [&str; 5] = ["src", "tests", "mod", "main", "lib"];

#[test]
fn every_row_of_the_proof_names_a_test_and_a_place_that_are_there() {
    let files = tree::files();
    let proof = files.iter().find(|file| file.path == PROOF);
    let text = &proof.expect("it is in the checkout").text;
    assert!(text.lines().filter_map(row).count() > 1);
    nothing_to_say(&complaints(text, &files));
}

fn complaints(proof: &str, files: &[File]) -> Vec<String> {
    let tree = Tree::of(files);
    let mut all = Vec::new();
    for (number, line) in proof.lines().enumerate() {
        let Some(row) = row(line) else { continue };
        let wrong = match row[..] {
            [_, tests, changes] => [tree.tests(tests), tree.changes(changes)].concat(),
            _ => vec!["it has not three columns".to_owned()],
        };
        let place = format!("{PROOF}:{}: {}", number + 1, row[0]);
        all.extend(wrong.into_iter().map(|wrong| format!("{place}: {wrong}")));
    }
    all
}

/// The columns of a row that is not the head of the table.
fn row(line: &str) -> Option<Vec<&str>> {
    let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
    let columns: Vec<_> = row.split(" | ").collect();
    (columns[0] != "promise").then_some(columns)
}

/// What stands between backticks, with what stands before and behind it.
fn code(text: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let parts: Vec<_> = text.split('`').collect();
    let inner = (1..parts.len()).step_by(2);
    inner.map(move |at| {
        let after = parts.get(at + 1).copied().unwrap_or_default();
        (parts[at - 1], parts[at], after)
    })
}

struct Tree<'a> {
    files: &'a [File],
    /// The folder of each crate, by its name.
    crates: BTreeMap<String, &'a str>,
}

impl<'a> Tree<'a> {
    fn of(files: &'a [File]) -> Self {
        let manifests = files.iter().filter_map(|file| {
            let folder = file.path.strip_suffix("/Cargo.toml")?;
            Some((names::of_crate(file)?, folder))
        });
        // The crate of the tests goes by the name of its folder.
        let crates = manifests.chain([("tests".to_owned(), "tests")]).collect();
        Self { files, crates }
    }

    /// A crate, a test program of it, and the tests: `store`: `opening`, `backups::…`. A command has several words.
    fn tests(&self, column: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let (mut folder, mut program, mut modules) = ("", None, Vec::new());
        for (_, word, _) in code(column).filter(|(_, word, _)| !word.contains(' ')) {
            if let Some(its) = self.crates.get(word) {
                (folder, program) = (*its, None);
                continue;
            }
            let mut path: Vec<_> = word.split("::").collect();
            let name = path.pop().unwrap_or_default();
            if path != ["…"] {
                modules = path;
            }
            let test = Test {
                folder,
                program,
                modules: &modules,
                name,
            };
            if !self.files.iter().any(|file| test.is_in(file)) {
                wrong.push(format!("no test `{word}`"));
            }
            if !word.contains("::") {
                program = Some(word);
            }
        }
        wrong
    }

    /// A file, and what is changed in it; a word before a colon is a function: `a/src/b.rs`, `c`: drop `d`; `e`: …
    fn changes(&self, column: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut file = None;
        for (before, word, after) in code(column) {
            if is_path(word) {
                let inside = |one: &&File| one.path.starts_with(word);
                let Some(found) = self.files.iter().find(inside) else {
                    wrong.push(format!("no file `{word}`"));
                    continue;
                };
                file = (found.path == word).then_some(found);
                continue;
            }
            let Some(file) = file else { continue };
            let is_there = match () {
                () if after.starts_with(':') && !word.contains(' ') => has_function(file, word),
                () if before.ends_with("drop ") || is_constant(word) => file.text.contains(word),
                () => true,
            };
            if !is_there {
                wrong.push(format!("no `{word}` in {}", file.path));
            }
        }
        wrong
    }
}

/// A test, or a module or program with tests.
struct Test<'a> {
    folder: &'a str,
    program: Option<&'a str>,
    modules: &'a [&'a str],
    name: &'a str,
}

impl Test<'_> {
    fn is_in(&self, file: &File) -> bool {
        let Some(inside) = file.path.strip_prefix(self.folder) else {
            return false;
        };
        let Some(inside) = inside
            .strip_prefix('/')
            .and_then(|path| path.strip_suffix(".rs"))
        else {
            return false;
        };
        let is_module = |part: &&str| !NO_MODULE.contains(part);
        let parts: Vec<_> = inside.split('/').filter(is_module).collect();
        let mut wanted: Vec<_> = self.modules.iter().copied().filter(is_module).collect();
        let is_of_program = self.program.is_none_or(|program| parts.contains(&program));
        let has_test = file.text.contains(&format!("fn {}(", self.name));
        let is_here = !self.modules.is_empty() && has_test && parts.ends_with(&wanted);
        wanted.extend(Some(self.name).filter(is_module));
        let is_this = !wanted.is_empty() && parts.ends_with(&wanted);
        is_of_program && (is_here || is_this)
    }
}

fn is_path(word: &str) -> bool {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    word.chars().all(is_of_path) && (word.contains('/') || word.contains(".toml"))
}

fn is_constant(word: &str) -> bool {
    let is_of_constant = |c: char| c.is_ascii_uppercase() || c == '_';
    word.chars().all(is_of_constant)
}

/// `name`, or `Type::name`.
fn has_function(file: &File, word: &str) -> bool {
    let (kind, name) = word.rsplit_once("::").unwrap_or(("", word));
    let is_there = |end| file.text.contains(&format!("fn {name}{end}"));
    file.text.contains(kind) && (is_there('(') || is_there('<'))
}

#[test]
fn a_row_whose_test_or_place_is_gone_is_found() {
    let file = |path: &str, text: &str| File {
        path: path.to_owned(),
        text: text.to_owned(),
    };
    let files = [
        file("engine/Cargo.toml", "[package]\nname = \"engine\""),
        file("engine/src/run/report.rs", "fn stage() { if a == b {} }"),
        file("engine/src/run/tests/flow.rs", "fn it_holds() {}"),
        file("engine/tests/whole.rs", "fn all_holds() {}"),
    ];
    let found = |tests: &str, change: &str| {
        complaints(&format!("| it | {tests} | {change} |"), &files).len()
    };
    let change = "`engine/src/run/report.rs`, `stage`: drop `if a == b`";
    assert_eq!(
        found(
            "`engine`: `run::tests::flow::it_holds`, `…::it_holds`",
            change
        ),
        0
    );
    assert_eq!(
        found(
            "`engine`: `whole`, `whole::all_holds`; `make planted`",
            change
        ),
        0
    );
    assert_eq!(found("`engine`: `run::report::it_holds`", change), 1);
    assert_eq!(
        found("`engine`: `flow::it_holds`, `…::it_does_not`", change),
        1
    );
    assert_eq!(found("`engine`: `part`", change), 1);
    let tests = "`engine`: `flow::it_holds`";
    assert_eq!(
        found(tests, "`engine/src/run/gone.rs`, `stage`: drop it"),
        1
    );
    assert_eq!(
        found(tests, "`engine/src/run/report.rs`, `report`: drop it"),
        1
    );
    assert_eq!(
        found(
            tests,
            "`engine/src/run/report.rs`, `stage`: drop `if a == c`; `LINES_MAX` of 1"
        ),
        2
    );
}
