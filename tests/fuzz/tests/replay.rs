//! Every input that is kept, read again by its target. What once made one fail is among them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mirastack_fuzz::TARGETS;

#[test]
fn every_kept_input_is_read() {
    for target in TARGETS {
        let inputs = inputs(&corpus().join(target.name));
        assert!(!inputs.is_empty(), "{}: nothing is kept", target.name);
        for input in inputs {
            let data = fs::read(&input).expect("it is checked in");
            let held = std::panic::catch_unwind(|| (target.body)(&data));
            assert!(
                held.is_ok(),
                "{} does not hold for {}",
                target.name,
                input.display()
            );
        }
    }
}

#[test]
fn every_kept_input_has_a_target() {
    let kept: BTreeSet<String> = inputs(&corpus()).iter().map(|path| name(path)).collect();
    let known: BTreeSet<String> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(kept, known);
}

/// A target for which nothing is planted would show nothing in `make fuzz-planted`.
#[test]
fn every_target_has_a_panic_that_is_planted_for_it() {
    let manifest = include_str!("../../../Cargo.toml");
    let listed = manifest.lines().filter_map(|line| {
        let name = line.trim().strip_prefix("'cfg(planted, values(\"fuzz_")?;
        name.strip_suffix("\"))',")
    });
    let planted: BTreeSet<&str> = listed.collect();
    let known = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(planted, known);
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// What is in a folder, sorted.
fn inputs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("it can be read").path())
        .collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
