//! JSON from outside: a name that stands twice in an object is refused, for two readers would read two values, and what
//! the values will take in memory is known before they are made.
//!
//! A leaf, for both who read what strangers write: the gateway its bodies, the worker what plugins say.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// `serde_json` reads nothing that is nested deeper.
const DEPTH_MAX: usize = 128;

/// Why a text is not read.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// Its values would take too much memory.
    #[error("its values would take some {} MiB of memory, and {} are the limit", .weight >> 20, .most >> 20)]
    Heavy {
        /// So much, in bytes.
        weight: usize,
        /// The limit.
        most: usize,
    },
    /// It is no JSON, or a name stands twice in an object.
    #[error(transparent)]
    Wrong(#[from] serde_json::Error),
}

/// Reads a text.
///
/// # Errors
/// It is no JSON, or a name stands twice in an object.
pub fn read(text: &[u8]) -> serde_json::Result<Value> {
    serde_json::from_slice(text).map(|Strict(value)| value)
}

/// Reads a text whose values weigh at most so much.
///
/// # Errors
/// [`Unread`].
pub fn read_within(text: &[u8], most: usize) -> Result<Value, Unread> {
    let weight = weight(text);
    if weight > most {
        return Err(Unread::Heavy { weight, most });
    }
    Ok(read(text)?)
}

/// Reads a text and keeps nothing of it.
///
/// # Errors
/// It is no JSON, or a name stands twice in an object.
pub fn check(text: &[u8]) -> serde_json::Result<()> {
    serde_json::from_slice(text).map(|Seen| ())
}

/// What the values of a text take in memory, in bytes, as an upper estimate: a small object is a node of a tree with
/// room for eleven entries, a list grows by doubling, and each text is an allocation of its own. What is nested too deep
/// is not read, and so does not weigh.
#[must_use]
pub fn weight(text: &[u8]) -> usize {
    let (mut weight, mut depth) = (4 * text.len(), 0_usize);
    let (mut in_text, mut escaped) = (false, false);
    for byte in text {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            break;
        }
        weight += match byte {
            b'"' => {
                in_text = true;
                32
            }
            b'{' => 640,
            b'[' => 128,
            b':' | b',' => 64,
            _ => 0,
        };
    }
    weight
}

/// That a name stands in an object twice.
pub fn twice<E: Error>(name: &str) -> E {
    E::custom(format_args!("{name:?} stands there twice"))
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Anything).map(Self)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).map(Value::Number);
        number.ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(twice(&name));
            }
            let Strict(value) = entries.next_value()?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

/// A value that was looked at.
struct Seen;

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Looking)
    }
}

struct Looking;

impl<'de> Visitor<'de> for Looking {
    type Value = Seen;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Seen, E> {
        Ok(Seen)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Seen, E> {
        Ok(Seen)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Seen, E> {
        Ok(Seen)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Seen, E> {
        Ok(Seen)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Seen, E> {
        Ok(Seen)
    }

    fn visit_str<E>(self, _: &str) -> Result<Seen, E> {
        Ok(Seen)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Seen, A::Error> {
        while let Some(Seen) = items.next_element()? {}
        Ok(Seen)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Seen, A::Error> {
        let mut names = BTreeSet::new();
        while let Some(name) = entries.next_key::<String>()? {
            if names.contains(&name) {
                return Err(twice(&name));
            }
            names.insert(name);
            let Seen = entries.next_value()?;
        }
        Ok(Seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1 << 20;

    #[test]
    fn it_reads_what_everybody_reads() {
        let text =
            r#"{"a": [null, true, -1, 18446744073709551615, 1.5, "x\u00e9", {}], "b": {"a": 1}}"#;
        let value: Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(read_within(text.as_bytes(), MOST).expect("JSON"), value);
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_however_it_is_written() {
        for text in [r#"{"a": 1, "a": 1}"#, r#"[{"b": {"a": 1, "\u0061": 2}}]"#] {
            let told = read_within(text.as_bytes(), MOST)
                .expect_err("twice")
                .to_string();
            assert!(
                told.starts_with("\"a\" stands there twice at line 1"),
                "{told}"
            );
            let looked = check(text.as_bytes()).expect_err("twice");
            assert_eq!(looked.to_string(), told);
        }
    }

    #[test]
    fn what_would_weigh_too_much_is_not_read() {
        let text = format!("[{}0]", r#"{"":0},"#.repeat(2_000));
        let told = read_within(text.as_bytes(), MOST)
            .expect_err("heavy")
            .to_string();
        assert_eq!(
            told,
            "its values would take some 1 MiB of memory, and 1 are the limit"
        );
        assert!(read_within(text.as_bytes(), 2 * MOST).is_ok());
        let deep = "[".repeat(2 * MOST);
        let told = read_within(deep.as_bytes(), 9 * MOST)
            .expect_err("deep")
            .to_string();
        assert!(told.starts_with("recursion limit exceeded"), "{told}");
        // Marks in texts weigh nothing.
        let plain = weight(br#"{"a":"x"}"#);
        assert_eq!(weight(br#"{"a":"{[,\",{"}"#), plain + 6 * 4);
    }
}
