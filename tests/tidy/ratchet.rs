//! What is over a limit may stay, may shrink, and may not grow.

use std::collections::BTreeMap;

/// What is over its limit: (kind, place) → how much it is.
pub(crate) type Sins = BTreeMap<(String, String), usize>;

/// Lines of `kind place number`; what follows a `#` is a remark.
pub(crate) fn parse(list: &str) -> Result<Sins, String> {
    let mut sins = Sins::new();
    for line in list.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [kind, place, number] => {
                let number = number
                    .parse()
                    .map_err(|error| format!("tests/tidy.ratchet: {line}: {error}"))?;
                sins.insert(((*kind).to_owned(), (*place).to_owned()), number);
            }
            _ => {
                return Err(format!(
                    "tests/tidy.ratchet: not `kind place number`: {line}"
                ));
            }
        }
    }
    Ok(sins)
}

/// What is wrong between the sins found and those that are listed.
pub(crate) fn compare(found: &Sins, listed: &Sins) -> Vec<String> {
    let mut complaints = Vec::new();
    for ((kind, place), number) in found {
        match listed.get(&(kind.clone(), place.clone())) {
            None => complaints.push(format!("{place}: {number} {kind}, too many: split it")),
            Some(old) if number > old => {
                complaints.push(format!("{place}: {number} {kind}, more than the {old} it had: split it"));
            }
            Some(old) if number < old => complaints.push(format!(
                "{place}: down to {number} {kind}, well done: write `{kind} {place} {number}` into tests/tidy.ratchet"
            )),
            Some(_) => {}
        }
    }
    for (kind, place) in listed.keys() {
        if !found.contains_key(&(kind.clone(), place.clone())) {
            complaints.push(format!(
                "{place}: no longer over its limit: take its {kind} line out of tests/tidy.ratchet"
            ));
        }
    }
    complaints
}

#[test]
fn a_sin_may_stay_and_shrink_but_not_come_or_grow() {
    let list = "# old sins\nlines a.rs 450 # a parser\nlines b.rs 500\nlines c.rs 410\n";
    let listed = parse(list).expect("well formed");
    let found = parse("lines a.rs 450\nlines b.rs 501\nlines d.rs 402").expect("well formed");
    let complaints = compare(&found, &listed);
    assert_eq!(complaints.len(), 3, "{complaints:?}");
    assert!(complaints[0].contains("more than the 500"));
    assert!(complaints[1].contains("d.rs"));
    assert!(complaints[2].contains("c.rs: no longer"));

    let found = parse("lines a.rs 449\nlines b.rs 500\nlines c.rs 410").expect("well formed");
    let complaints = compare(&found, &listed);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains("down to 449"));
}

#[test]
fn a_list_that_cannot_be_read_is_an_error() {
    assert!(parse("lines a.rs").is_err());
    assert!(parse("lines a.rs many").is_err());
}
