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
    /// server's error is often a document that quotes another one.
    pub fn add(&mut self, name: &str, secret: &str) {
        if secret.len() < SECRET_BYTES_MIN {
            return;
        }
        let once = escaped(secret);
        let twice = escaped(&once);
        for form in [Zeroizing::new(secret.to_owned()), once, twice] {
            self.put(Mask {
                secret: form,
                instead: format!("***{name}***"),
            });
        }
    }

    /// From now on, what `other` hides is hidden here, too.
    pub fn join(&mut self, other: &Self) {
        for mask in &other.0 {
            self.put(mask.clone());
        }
    }

    fn put(&mut self, mask: Mask) {
        if self.0.iter().any(|known| known.secret == mask.secret) {
            return;
        }
        self.0.push(mask);
        // The longest first, or a part of it would be replaced and the rest would stay.
        self.0.sort_by_key(|m| std::cmp::Reverse(m.secret.len()));
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
    fn an_escaped_secret_is_found_too() {
        let text = json!({ "q": "say \"friend\"" }).to_string();
        assert_eq!(masks().text(&text), r#"{"q":"***quoted***"}"#);
        let quoting = json!({ "error": format!("not for {text}") }).to_string();
        let clean = r#"{"error":"not for {\"q\":\"***quoted***\"}"}"#;
        assert_eq!(masks().text(&quoting), clean);
    }

    #[test]
    fn a_short_secret_and_other_text_stay() {
        let masks = masks();
        assert!(matches!(masks.text("12345 and nothing"), Cow::Borrowed(_)));
        assert_eq!(format!("{masks:?}"), "Masks(5)");
    }
}
