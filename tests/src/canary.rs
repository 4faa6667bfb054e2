//! Secrets that are planted to see whether they come out anywhere.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Looks for secrets in whatever form they may have been written.
#[derive(Clone, Debug, Default)]
pub struct Hunt {
    /// What each is called, how it is written, and the bytes.
    forms: Vec<(String, &'static str, Vec<u8>)>,
    found: BTreeSet<String>,
}

impl Hunt {
    /// From now on, this is looked for, too.
    pub fn plant(&mut self, name: &str, secret: &str) {
        for (form, text) in forms(secret) {
            self.forms.push((name.to_owned(), form, text.into_bytes()));
        }
    }

    /// Looks through these bytes, which are called `place`.
    pub fn look(&mut self, place: &str, bytes: impl AsRef<[u8]>) {
        for (name, form, secret) in &self.forms {
            if let Some(at) = position(bytes.as_ref(), secret) {
                let from = at.saturating_sub(60);
                let around = &bytes.as_ref()[from..(at + secret.len()).min(bytes.as_ref().len())];
                let around = String::from_utf8_lossy(around);
                self.found
                    .insert(format!("{name} ({form}) in {place}: …{around}"));
            }
        }
    }

    /// Looks through every file below a folder, but those of these names.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn look_below(&mut self, folder: &Path, but: &[&str]) -> std::io::Result<usize> {
        let mut seen = 0;
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if but.contains(&name.as_ref()) {
                continue;
            }
            if path.is_dir() {
                seen += self.look_below(&path, but)?;
            } else if path.is_file() {
                self.look(&path.display().to_string(), fs::read(&path)?);
                seen += 1;
            }
        }
        Ok(seen)
    }

    /// Where something was found.
    #[must_use]
    pub fn found(&self) -> Vec<&str> {
        self.found.iter().map(String::as_str).collect()
    }
}

/// Every way in which a program writes a text down.
fn forms(secret: &str) -> BTreeSet<(&'static str, String)> {
    let json = serde_json::Value::from(secret).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let hex = each(secret, |text, byte| write!(text, "{byte:02x}"));
    let percent = each(secret, |text, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            write!(text, "{}", char::from(byte))
        }
        _ => write!(text, "%{byte:02X}"),
    });
    let mut forms = BTreeSet::from([
        ("as it is", secret.to_owned()),
        ("in JSON", json),
        ("in a URL", percent),
        ("in HEX", hex.to_uppercase()),
        ("in hex", hex),
    ]);
    for before in 0..3 {
        forms.insert(("in base64", inside(&STANDARD, secret, before)));
        forms.insert(("in base64 of URLs", inside(&URL_SAFE, secret, before)));
    }
    forms
}

fn each(text: &str, write: impl Fn(&mut String, u8) -> std::fmt::Result) -> String {
    let mut written = String::new();
    for byte in text.bytes() {
        write(&mut written, byte).expect("a String takes everything");
    }
    written
}

/// What is the same in the base64 of every text that has so many bytes, modulo 3, before the secret.
fn inside(engine: &impl Engine, secret: &str, before: usize) -> String {
    let mut bytes = vec![0; before];
    bytes.extend(secret.as_bytes());
    let whole = bytes.len() / 3 * 4;
    let coded = engine.encode(&bytes);
    let first = before.div_ceil(3) * 4;
    coded[first..whole].to_owned()
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let (first, rest) = wanted.split_first()?;
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| byte == first)?;
        if bytes[at + 1..].starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "can\"ary/one+two";

    fn found(text: &str) -> usize {
        let mut hunt = Hunt::default();
        hunt.plant("it", SECRET);
        hunt.look("here", text);
        hunt.found().len()
    }

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        assert_eq!(found("nothing of it: can\"ary/one-two"), 0);
        assert_eq!(found(&format!("x{SECRET}x")), 1);
        assert_eq!(found(r#"{"x": "can\"ary/one+two"}"#), 1);
        assert_eq!(found("?query=can%22ary%2Fone%2Btwo&"), 1);
        assert_eq!(found("63616e226172792f6f6e652b74776f"), 1);
        for before in ["", "u", "us", "user:"] {
            let coded = STANDARD.encode(format!("{before}{SECRET} and more"));
            assert!(found(&coded) >= 1, "behind {before:?}: {coded}");
        }
    }
}
