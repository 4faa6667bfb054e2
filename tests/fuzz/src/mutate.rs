//! Changes that leave an input in its form for the most part: libFuzzer knows bytes only, and most changes of a byte end
//! at the parser.

use std::ops::Range;

use serde_json::{Map, Value, json};

use crate::journal::items;

/// An input with some change to an object or a list in it, if there is one and the result is not too long.
pub fn json(input: &[u8], max: usize, seed: u32) -> Option<Vec<u8>> {
    let mut dice = Dice(u64::from(seed));
    let starts: Vec<usize> = (0..input.len())
        .filter(|at| matches!(input[*at], b'{' | b'['))
        .collect();
    // What is outermost has most of what is looked at.
    let start = match dice.below(2) {
        0 => *starts.first()?,
        _ => *dice.one_of(&starts)?,
    };
    let mut values = serde_json::Deserializer::from_slice(&input[start..]).into_iter::<Value>();
    let mut value = values.next()?.ok()?;
    let end = start + values.byte_offset();
    match &mut value {
        Value::Object(map) => object(map, &mut dice),
        Value::Array(items) => list(items, &mut dice),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    let text = value.to_string();
    let made = [&input[..start], text.as_bytes(), &input[end..]].concat();
    (made.len() <= max).then_some(made)
}

/// A text in which one piece stands in the place of another: what is between brackets, with them and with what they are
/// called on, as `a.b(c)`.
pub fn pieces(input: &[u8], max: usize, seed: u32) -> Option<Vec<u8>> {
    let mut dice = Dice(u64::from(seed));
    let found = brackets(input);
    let (from, to) = (dice.one_of(&found)?.clone(), dice.one_of(&found)?.clone());
    let from = match dice.below(3) {
        0 => from,
        _ => chain(input, &found, from),
    };
    let to = match dice.below(3) {
        0 => to,
        1 => to.start + 1..to.end - 1,
        _ => chain(input, &found, to),
    };
    let made = [&input[..to.start], &input[from], &input[to.end..]].concat();
    (made.len() <= max).then_some(made)
}

/// An input with a part of another in it: of text a piece in the place of a piece, else an item of CBOR before an item.
pub fn joined(input: &[u8], other: &[u8], max: usize, seed: u32) -> Option<Vec<u8>> {
    let mut dice = Dice(u64::from(seed));
    let (to, part) = if std::str::from_utf8(input).is_ok() {
        let (to, from) = (brackets(input), brackets(other));
        let (to, from) = (dice.one_of(&to)?.clone(), dice.one_of(&from)?.clone());
        (to, chain(other, &brackets(other), from))
    } else {
        let ends = items(input).scan(0, |end, item| {
            *end += item.len();
            Some(*end)
        });
        let at = *dice.one_of(&ends.collect::<Vec<_>>())?;
        let parts: Vec<&[u8]> = items(other).collect();
        let item = *dice.one_of(&parts)?;
        let start = item.as_ptr().addr() - other.as_ptr().addr();
        (at..at, start..start + item.len())
    };
    let made = [&input[..to.start], &other[part], &input[to.end..]].concat();
    (made.len() <= max).then_some(made)
}

/// From each opening bracket to the one that closes it.
fn brackets(input: &[u8]) -> Vec<Range<usize>> {
    let (mut open, mut found) = (Vec::new(), Vec::new());
    for (at, byte) in input.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => open.push(at),
            b')' | b']' | b'}' => found.extend(open.pop().map(|start| start..at + 1)),
            _ => {}
        }
    }
    found
}

/// A piece with what stands right before it.
fn chain(input: &[u8], found: &[Range<usize>], piece: Range<usize>) -> Range<usize> {
    let mut start = piece.start;
    while start > 0 {
        let before = input[start - 1];
        if let Some(other) = found.iter().find(|other| other.end == start) {
            start = other.start;
        } else if before.is_ascii_alphanumeric() || matches!(before, b'.' | b'_') {
            start -= 1;
        } else {
            break;
        }
    }
    start..piece.end
}

fn object(map: &mut Map<String, Value>, dice: &mut Dice) {
    let keys: Vec<String> = map.keys().cloned().collect();
    let Some(key) = dice.one_of(&keys) else {
        map.insert("a".to_owned(), dice.value());
        return;
    };
    let other = dice.one_of(&keys).expect("there is one");
    match dice.below(6) {
        0 => drop(map.remove(key)),
        1 => drop(map.insert(other.clone(), map[key].clone())),
        2 => drop(map.insert(format!("{key}a"), map[other].clone())),
        3 => drop(map.insert(key.clone(), json!({ other: map[key] }))),
        _ => {
            let changed = scalar(&map[key], dice);
            map.insert(key.clone(), changed);
        }
    }
}

fn list(items: &mut Vec<Value>, dice: &mut Dice) {
    if items.is_empty() {
        items.push(dice.value());
        return;
    }
    let (at, other) = (dice.below(items.len()), dice.below(items.len()));
    match dice.below(5) {
        0 => drop(items.remove(at)),
        1 => items.insert(other, items[at].clone()),
        2 => items.swap(at, other),
        3 => items.push(dice.value()),
        _ => items[at] = scalar(&items[at], dice),
    }
}

/// Another value, of the same type for the most part.
fn scalar(value: &Value, dice: &mut Dice) -> Value {
    match value {
        Value::Bool(is) => Value::from(!is),
        Value::Number(number) => match (number.as_i64(), dice.below(4)) {
            (Some(n), 0) => Value::from(n.wrapping_add(1)),
            (Some(n), 1) => Value::from(n.wrapping_neg()),
            (_, 2) => Value::from(dice.below(20)),
            _ => dice.value(),
        },
        Value::String(text) if dice.below(3) > 0 => {
            let cut = text.chars().count().saturating_sub(dice.below(4));
            let kept: String = text.chars().take(cut).collect();
            Value::from(format!("{kept}{}", dice.below(10)))
        }
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => dice.value(),
    }
}

/// Numbers out of a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("it fits");
        usize::try_from(self.next() % end).expect("it is below a usize")
    }

    fn one_of<'t, T>(&mut self, things: &'t [T]) -> Option<&'t T> {
        (!things.is_empty()).then(|| &things[self.below(things.len())])
    }

    /// One that readers may have thought too little about.
    fn value(&mut self) -> Value {
        let values = [
            json!(null),
            json!(true),
            json!(0),
            json!(1),
            json!(-1),
            json!(i64::MAX),
            json!(u64::MAX),
            json!(1.5e300),
            json!(""),
            json!("a"),
            json!("true"),
            json!("1h30m"),
            json!("2026-01-31T08:00:00Z"),
            json!("\u{0}\u{1f642}"),
            json!([]),
            json!({}),
        ];
        values[self.below(values.len())].clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_makes_is_json_where_that_was_and_other_json_for_the_most_part() {
        let input = br#"r{"a": [1, {"b": "c"}], "d": null}#"#;
        let (prefix, suffix) = (1, 1);
        let mut changed = 0;
        for seed in 0..1_000 {
            let made = json(input, 4_096, seed).expect("there is some in it");
            let inside = &made[prefix..made.len() - suffix];
            let _: Value = serde_json::from_slice(inside).expect("it is JSON");
            changed += u32::from(made != json_again(input));
        }
        assert!(changed > 700, "{changed}");
        assert_eq!(json(b"no such thing", 4_096, 1), None);
        assert_eq!(json(input, 4, 1), None, "it would be too long");
    }

    #[test]
    fn a_piece_stands_in_the_place_of_another() {
        let input = b"[1].map(y, [y]) == a.b.sortBy(x, x.n)";
        let made: Vec<String> = (0..1_000)
            .filter_map(|seed| pieces(input, 4_096, seed))
            .map(|made| String::from_utf8(made).expect("it is text"))
            .collect();
        let wanted = "[1].map(y, a.b.sortBy(x, x.n)) == a.b.sortBy(x, x.n)";
        assert!(made.iter().any(|made| made == wanted));
        assert_eq!(pieces(b")(", 4_096, 1), None);
    }

    #[test]
    fn a_part_of_another_input_is_put_between_parts() {
        let all = |input: &[u8], other: &[u8]| -> Vec<Vec<u8>> {
            let made = (0..100).filter_map(|seed| joined(input, other, 4_096, seed));
            made.collect()
        };
        let texts = all(b"x.f(y)", b"a.g(b)");
        assert!(texts.contains(&b"x.fa.g(b)".to_vec()), "{texts:?}");
        // Not UTF-8: a list of one integer and a text of one byte; then another list.
        let items = all(&[0x81, 0x01, 0x41, 0xff], &[0x81, 0x02]);
        let wanted = [
            vec![0x81, 0x01, 0x81, 0x02, 0x41, 0xff],
            vec![0x81, 0x01, 0x41, 0xff, 0x81, 0x02],
        ];
        assert!(wanted.iter().all(|made| items.contains(made)), "{items:?}");
    }

    /// The same as its own printer has it.
    fn json_again(input: &[u8]) -> Vec<u8> {
        let value: Value = serde_json::from_slice(&input[1..input.len() - 1]).expect("it is JSON");
        format!("r{value}#").into_bytes()
    }
}
