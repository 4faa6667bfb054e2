//! A message as its peer wrote it, written once more as our own types read it.
//!
//! No tree of values is built: small objects would take some eighty times their bytes, and whoever sends them need not
//! have proven anything. What takes memory besides the text itself are the names of one object and what our types make
//! of lists, and both are bounded.

use std::collections::BTreeSet;
use std::fmt;

use ::base64::display::Base64Display;
use ::base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{CACHE_FIELD, JSON_FIELDS, LISTS, json_text, text};
use crate::wire::Dialect;

/// So many names and items of lists a message has, without those in its fields of bytes. A manifest has some thousands.
const PIECES_MAX: usize = 65_536;

/// The message with every field of bytes in base64, and without fields that are null.
///
/// # Errors
/// It is no object, a name stands in one twice, or it has too many.
pub(super) fn plain(message: &[u8], dialect: Dialect) -> Result<Vec<u8>, serde_json::Error> {
    let mut written = Written {
        text: Vec::with_capacity(message.len()),
        dialect,
        pieces: 0,
    };
    let mut input = serde_json::Deserializer::from_slice(message);
    let whole = Piece {
        to: &mut written,
        place: Place::Message,
    };
    whole.deserialize(&mut input)?;
    input.end()?;
    if written.text.first() != Some(&b'{') {
        return Err(Error::custom("it is no object"));
    }
    Ok(written.text)
}

/// What is written so far.
struct Written {
    text: Vec<u8>,
    dialect: Dialect,
    pieces: usize,
}

impl Written {
    fn put<T: Serialize + ?Sized, E: Error>(&mut self, value: &T) -> Result<(), E> {
        serde_json::to_writer(&mut self.text, value).map_err(E::custom)
    }

    fn bytes<E: Error>(&mut self, bytes: &[u8]) -> Result<(), E> {
        use std::io::Write;
        let written = write!(self.text, "\"{}\"", Base64Display::new(bytes, &STANDARD));
        written.map_err(E::custom)
    }

    fn count<E: Error>(&mut self) -> Result<(), E> {
        self.pieces += 1;
        if self.pieces > PIECES_MAX {
            let many = format_args!("it has more than {PIECES_MAX} names and items");
            return Err(E::custom(many));
        }
        Ok(())
    }
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// It is the message, or one in a list of messages.
    Message,
    /// It is a list of messages.
    Messages,
    /// It is anything else. Names of maps of settings and facts mean nothing.
    Inside,
}

impl Place {
    /// Of a field.
    fn of(self, name: &str) -> Self {
        match self {
            Self::Message if LISTS.contains(&name) => Self::Messages,
            Self::Message | Self::Messages | Self::Inside => Self::Inside,
        }
    }

    /// Of an item.
    fn item(self) -> Self {
        match self {
            Self::Messages => Self::Message,
            Self::Message | Self::Inside => Self::Inside,
        }
    }
}

/// One value that is read and written.
struct Piece<'w> {
    to: &'w mut Written,
    place: Place,
}

impl Piece<'_> {
    /// A field of the object that this is.
    fn field<'de, A: MapAccess<'de>>(&mut self, name: &str, from: &mut A) -> Result<(), A::Error> {
        let is_message = self.place == Place::Message;
        if is_message && JSON_FIELDS.contains(&name) {
            let field: &RawValue = from.next_value()?;
            return match field.get() {
                "null" => self.to.put(&()),
                json => {
                    let json = json_text(json).map_err(A::Error::custom)?;
                    self.to.bytes(json.as_bytes())
                }
            };
        }
        if is_message && name == CACHE_FIELD && self.to.dialect == Dialect::Python {
            let field: &RawValue = from.next_value()?;
            let value = text(field.get()).map_err(A::Error::custom)?;
            return self.to.bytes(value.unwrap_or_default().as_bytes());
        }
        let place = self.place.of(name);
        let to = &mut *self.to;
        from.next_value_seed(Piece { to, place })
    }
}

impl<'de> DeserializeSeed<'de> for Piece<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Piece<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.to.put(&())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.to.put(&value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.to.put(&value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.to.put(&value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.to.put(&value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.to.put(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (to, place) = (self.to, self.place.item());
        to.text.push(b'[');
        let begin = to.text.len();
        loop {
            let before = to.text.len();
            if before > begin {
                to.text.push(b',');
            }
            let item = Piece { to, place };
            if items.next_element_seed(item)?.is_none() {
                to.text.truncate(before);
                to.text.push(b']');
                return Ok(());
            }
            to.count()?;
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        self.to.text.push(b'{');
        let begin = self.to.text.len();
        let mut names = BTreeSet::new();
        while let Some(name) = entries.next_key::<String>()? {
            self.to.count()?;
            if names.contains(&name) {
                return Err(strict_json::twice(&name));
            }
            let before = self.to.text.len();
            if before > begin {
                self.to.text.push(b',');
            }
            self.to.put(&name)?;
            self.to.text.push(b':');
            let value = self.to.text.len();
            self.field(&name, &mut entries)?;
            // Null is zero for every field, and what is left out is zero.
            if self.to.text[value..] == *b"null" {
                self.to.text.truncate(before);
            }
            names.insert(name);
        }
        self.to.text.push(b'}');
        Ok(())
    }
}
