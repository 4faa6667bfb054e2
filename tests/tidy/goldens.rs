//! What must not change by accident: how journals of every format are read, and the schema of documents.
//! `UPDATE_GOLDEN=1` writes what holds now, for review.

use std::fmt::Write;
use std::path::Path;

use engine::digest::Digest;
use engine::record::Record;
use engine::run::Run;

use crate::tree;

#[test]
fn journals_of_every_released_format_fold_to_what_they_meant() {
    let folder = tree::root().join("tests/journals");
    let journals = tree::files_ending(".hex");
    assert!(!journals.is_empty());
    for journal in journals {
        let name = journal
            .path
            .rsplit('/')
            .next()
            .expect("a path has a last part");
        hold(
            &folder.join(name).with_extension("txt"),
            &told(&journal.text),
        );
    }
}

#[test]
fn the_schema_of_documents_is_the_one_that_is_published() {
    let schema = serde_json::to_string_pretty(&engine::language::schema()).expect("it is JSON");
    hold(
        &tree::root().join("docs/workflow.schema.json"),
        &format!("{schema}\n"),
    );
}

/// What a journal says: a line for each record, and what the run has become.
fn told(journal: &str) -> String {
    let mut text = String::new();
    let mut entries = Vec::new();
    for line in journal.lines() {
        let bytes = unhex(line);
        let record = Record::decode(&bytes).expect("a record of a format that is read");
        assert_eq!(record.encode(), bytes, "a record has one spelling");
        let events = serde_json::to_value(record.events().expect("events")).expect("JSON");
        let types = events
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|e| e["type"].as_str());
        let types: Vec<&str> = types.collect();
        let status = record.summary.status.as_str();
        writeln!(
            text,
            "{} {} {status}: {}",
            record.n,
            record.cause.command,
            types.join(" ")
        )
        .expect("memory");
        entries.push((record, Digest::of(&bytes)));
    }
    let run = Run::fold(entries).expect("the chain holds");
    for step in &run.state().steps {
        writeln!(
            text,
            "{} {} after {} tries",
            step.name,
            step.status.as_str(),
            step.attempts.len()
        )
        .expect("memory");
    }
    writeln!(text, "{}", run.status().as_str()).expect("memory");
    text
}

fn unhex(line: &str) -> Vec<u8> {
    let digit =
        |at: usize| u8::from_str_radix(&line[at..at + 2], 16).expect("two hexadecimal digits");
    (0..line.len()).step_by(2).map(digit).collect()
}

#[track_caller]
fn hold(path: &Path, now: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, now).expect("the golden file can be written");
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        golden == now,
        "{} is not what holds now; UPDATE_GOLDEN=1 writes it, for review:\n{now}",
        path.display()
    );
}

#[test]
fn a_journal_with_a_flipped_bit_is_noticed() {
    let journal = tree::files_ending(".hex").remove(0).text;
    let mut lines: Vec<Vec<u8>> = journal.lines().map(unhex).collect();
    let last = lines[0].len() - 1;
    lines[0][last] ^= 1;
    let entries = lines
        .iter()
        .filter_map(|bytes| Some((Record::decode(bytes).ok()?, Digest::of(bytes))));
    assert!(Run::fold(entries.collect::<Vec<_>>()).is_err());
}
