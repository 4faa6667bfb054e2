use std::borrow::Cow;
use std::fmt;

use serde_json::Value;
use zeroize::Zeroizing;

/// Shorter secrets are not looked for: they would be found in everything.
const SECRET_BYTES_MIN: usize = 6;

/// Secrets that must never be written down, and what is written in their place: `***name***`.
#[derive(Default)]
pub struct Masks(Vec<Mask>);

#[derive(Clone)]
struct Mask {
    secret: Zeroizing<String>,
    instead: String,
}

impl Masks {
    /// From now on, `secret` is written as `***name***`; also where it was escaped as JSON escapes it, once or twice: a
    /// server's error is often a document that quotes another one. So is each line of it, for a key of several lines is
    /// often printed line by line, and each text in it, if it is a JSON document.
    pub fn add(&mut self, name: &str, secret: &str) {
        let instead = format!("***{name}***");
        let mut parts = vec![Zeroizing::new(secret.to_owned())];
        if let Ok(json @ (Value::Array(_) | Value::Object(_))) = serde_json::from_str(secret) {
            texts(&json, &mut parts);
        }
        let lines = parts.iter().flat_map(|part| part.lines());
        let lines: Vec<_> = lines.map(|line| line.trim().to_owned().into()).collect();
        for part in parts.into_iter().chain(lines) {
            if part.len() < SECRET_BYTES_MIN {
                continue;
            }
            let once = escaped(&part);
            let twice = escaped(&once);
            for secret in [part, once, twice] {
                let instead = instead.clone();
                self.0.push(Mask { secret, instead });
            }
        }
        self.tidy();
    }

    /// From now on, what `other` hides is hidden here, too.
    pub fn join(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
        self.tidy();
    }

    /// The longest first, or a part of it would be replaced and the rest would stay; each once.
    fn tidy(&mut self) {
        let order = |a: &Mask, b: &Mask| {
            let longer = b.secret.len().cmp(&a.secret.len());
            longer.then_with(|| a.secret.cmp(&b.secret))
        };
        self.0.sort_by(order);
        self.0.dedup_by(|a, b| a.secret == b.secret);
    }

    /// Whether there is nothing to hide.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `text` without the secrets.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut clean = Cow::Borrowed(text);
        for mask in &self.0 {
            if clean.contains(mask.secret.as_str()) {
                clean = Cow::Owned(clean.replace(mask.secret.as_str(), &mask.instead));
            }
        }
        clean
    }

    /// A JSON text without the secrets: each text and name in it is looked at, and all else stays as it is written. No
    /// value is built of it, for it may not be worth the memory.
    #[must_use]
    pub fn json<'a>(&self, json: &'a str) -> Cow<'a, str> {
        let (mut clean, mut copied, mut at) = (String::new(), 0, 0);
        while !self.is_empty()
            && let Some(quote) = json[at..].find('"')
        {
            let begin = at + quote;
            let Some(length) = quoted(&json[begin + 1..]) else {
                break;
            };
            at = begin + 1 + length;
            // What cannot be read here is no JSON, and nobody reads it.
            let text = serde_json::from_str::<String>(&json[begin..at]);
            if let Ok(text) = text
                && let Cow::Owned(instead) = self.text(&text)
            {
                clean.push_str(&json[copied..begin]);
                clean.push_str(&Value::from(instead).to_string());
                copied = at;
            }
        }
        if copied == 0 {
            return Cow::Borrowed(json);
        }
        clean.push_str(&json[copied..]);
        Cow::Owned(clean)
    }

    /// Takes the secrets out of every string and key of a value.
    pub fn value(&self, value: &mut Value) {
        if self.is_empty() {
            return;
        }
        match value {
            Value::String(text) => {
                if let Cow::Owned(clean) = self.text(text) {
                    *text = clean;
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|item| self.value(item)),
            Value::Object(map) => {
                map.values_mut().for_each(|item| self.value(item));
                if map
                    .keys()
                    .any(|key| matches!(self.text(key), Cow::Owned(_)))
                {
                    let planted = engine::planted!("fuzz_mask");
                    assert!(!(planted && map.len() == 3), "planted: mask");
                    *map = std::mem::take(map)
                        .into_iter()
                        .map(|(key, item)| (self.text(&key).into_owned(), item))
                        .collect();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// How far it is to behind the quote that ends a text.
fn quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map(|end| end + 1)
}

/// Every text in a value.
fn texts(value: &Value, found: &mut Vec<Zeroizing<String>>) {
    match value {
        Value::String(text) => found.push(text.clone().into()),
        Value::Array(list) => list.iter().for_each(|item| texts(item, found)),
        Value::Object(map) => map.values().for_each(|item| texts(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// As it stands between the quotes of a JSON string.
fn escaped(text: &str) -> Zeroizing<String> {
    let quoted = Zeroizing::new(Value::from(text).to_string());
    Zeroizing::new(quoted[1..quoted.len() - 1].to_owned())
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masks({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn masks() -> Masks {
        let mut masks = Masks::default();
        masks.add("token", "hunter22");
        masks.add("long", "hunter22-and-more");
        masks.add("quoted", "say \"friend\"");
        masks.add("pin", "12345");
        masks
    }

    #[test]
    fn a_secret_is_written_as_its_name_wherever_it_stands() {
        let mut value =
            json!({ "a": ["Bearer hunter22", 1], "hunter22": { "x": "hunter22-and-more!" } });
        masks().value(&mut value);
        let expected =
            json!({ "a": ["Bearer ***token***", 1], "***token***": { "x": "***long***!" } });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_json_text_without_secrets_is_otherwise_as_it_was_written() {
        for (json, clean) in [
            (
                r#"{ "a": ["\u0068unter22", 1.10], "hunter22": "say \"friend\"", "a": "\"" }"#,
                r#"{ "a": ["***token***", 1.10], "***token***": "***quoted***", "a": "\"" }"#,
            ),
            (
                r#"["hunter22-and-more", 12345]"#,
                r#"["***long***", 12345]"#,
            ),
            (r#"{"a": "\\", "b": 1e999}"#, r#"{"a": "\\", "b": 1e999}"#),
            (r#"["hunter22", "no end"#, r#"["***token***", "no end"#),
            (r#"["\ud800", "é"]"#, r#"["\ud800", "é"]"#),
        ] {
            assert_eq!(masks().json(json), clean);
            assert_eq!(Masks::default().json(json), json);
        }
    }

    #[test]
    fn an_escaped_secret_is_found_too() {
        let text = json!({ "q": "say \"friend\"" }).to_string();
        assert_eq!(masks().text(&text), r#"{"q":"***quoted***"}"#);
        let quoting = json!({ "error": format!("not for {text}") }).to_string();
        let clean = r#"{"error":"not for {\"q\":\"***quoted***\"}"}"#;
        assert_eq!(masks().text(&quoting), clean);
    }

    #[test]
    fn every_line_and_every_text_of_a_secret_is_hidden() {
        let mut masks = Masks::default();
        let pem = "-----BEGIN KEY-----\n  bGluZS1vbmU=\nbGluZS10d28=\n-----END KEY-----\n";
        masks.add("pem", pem);
        for (said, clean) in [
            ("cannot parse bGluZS1vbmU=", "cannot parse ***pem***"),
            ("bGluZS10d28=", "***pem***"),
            (
                r#"{"k":"x\nbGluZS10d28=\ny"}"#,
                r#"{"k":"x\n***pem***\ny"}"#,
            ),
        ] {
            assert_eq!(masks.text(said), clean);
        }
        assert_eq!(masks.text(pem), "***pem***", "as a whole it is one");
        let mut masks = Masks::default();
        let json = json!({ "user": "robot", "auth": [{ "key": "say \"friend\"\nand-enter" }] });
        masks.add("doc", &json.to_string());
        for said in [
            "say \"friend\"",
            r#"say \"friend\"\nand-enter"#,
            "and-enter",
        ] {
            assert_eq!(masks.text(said), "***doc***");
        }
        assert_eq!(masks.text("robot"), "robot", "too short to be looked for");
    }

    #[test]
    fn a_short_secret_and_other_text_stay() {
        let masks = masks();
        assert!(matches!(masks.text("12345 and nothing"), Cow::Borrowed(_)));
        assert_eq!(format!("{masks:?}"), "Masks(5)");
    }
}
