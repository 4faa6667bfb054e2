//! Files that are checked in and made by programs.

use std::{env, fs, path::Path};

/// Compares a file with what it should hold, or writes it when the variable `UPDATE_GOLDEN` is 1.
pub(super) fn compare(path: &Path, expected: &str) {
    if env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).expect("the folder can be made");
        fs::write(path, expected).expect("the file can be written");
        return;
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    let differs = found
        .lines()
        .zip(expected.lines())
        .position(|(f, e)| f != e);
    let line = differs.unwrap_or(found.lines().count().min(expected.lines().count())) + 1;
    assert!(
        found == expected,
        "{} is out of date at line {line}: run this test with UPDATE_GOLDEN=1 and check in the file",
        path.display()
    );
}
