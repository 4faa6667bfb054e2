//! What people type and keep in files: the configuration of the server, the words and the files of `miractl`.

use crate::parts::{BETWEEN, choice, text};

/// The first byte says of what; the rest are two texts, or lines of words.
pub(crate) fn read(data: &[u8]) {
    let Some((kind, Some(rest))) = choice(data).map(|(kind, rest)| (kind, text(rest))) else {
        return;
    };
    let (first, second) = rest.split_once(BETWEEN).unwrap_or((rest, ""));
    match kind {
        b'c' => configured(&lines(first), second),
        b'i' => inputs(first, &lines(second)),
        b'k' => kept(first, second),
        b'w' => drop(miractl::words(&lines(rest))),
        _ => {}
    }
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

/// What is printed can be used as a file, and says the same.
fn configured(flags: &[String], file: &str) {
    let Ok(shown) = mirastack::effective(flags, file) else {
        return;
    };
    let again = mirastack::effective(&[], &shown).expect("what is printed can be used as a file");
    assert_eq!(values(&again), values(&shown));
}

/// The lines without where their values come from.
fn values(shown: &str) -> Vec<&str> {
    let without = |line| str::rsplit_once(line, "  # ").map_or(line, |(value, _)| value.trim_end());
    shown.lines().map(without).collect()
}

/// No input names a file here: what is in one depends on the machine.
fn inputs(workflow: &str, pairs: &[String]) {
    let is_file = |pair: &String| {
        let value = pair.split_once('=').map(|(_, value)| value);
        value.is_some_and(|value| value.starts_with('@') && !value.starts_with("@@"))
    };
    if !pairs.iter().any(is_file) {
        drop(miractl::inputs(workflow, pairs));
    }
}

/// What was written reads the same.
fn kept(config: &str, tokens: &str) {
    if let Ok([config, tokens]) = miractl::kept(config, tokens) {
        let again = miractl::kept(&config, &tokens);
        assert_eq!(again, Ok([config, tokens]));
    }
}
