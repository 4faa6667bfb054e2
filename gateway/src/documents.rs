//! Documents as they come in: YAML or JSON text, checked with all its errors.

use std::sync::Arc;

use bytes::Bytes;
use engine::language::{self, Document};
use engine::manifest::Actions;
use engine::registry::Form;
use http::HeaderMap;
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::problem::{Problem, Spot};
use crate::request::{Media, media};
use crate::room::Room;

/// The keys that name the kind of a document; they must come first in YAML, and may stand anywhere in JSON.
const KINDS: [&str; 6] = [
    "workflow",
    "hook",
    "schedule",
    "role",
    "environment",
    "standing_approval",
];

/// A document as it was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    /// What is saved, byte for byte.
    pub(crate) text: String,
    pub(crate) form: Form,
    /// What is checked, where that differs: JSON whose kind does not stand first.
    reordered: Option<String>,
}

impl Written {
    /// Takes a document from a body.
    ///
    /// # Errors
    /// 415 when it is neither JSON nor YAML, 400 when it is no text or no JSON.
    pub(crate) fn read(headers: &HeaderMap, body: Bytes) -> Result<Self, Problem> {
        let form = match media(headers, &[Media::Yaml, Media::Json])? {
            Media::Yaml => Form::Yaml,
            Media::Json | Media::MergePatch => Form::Json,
        };
        // As it stands, without a copy.
        let text = String::from_utf8(body.into())
            .map_err(|_| Problem::malformed("the document is not UTF-8 text"))?;
        Self::new(text, form)
    }

    /// A document from its text.
    ///
    /// # Errors
    /// 400 when it should be JSON and is not.
    pub(crate) fn new(text: String, form: Form) -> Result<Self, Problem> {
        let reordered = match form {
            Form::Yaml => None,
            Form::Json => reordered(&text)?,
        };
        Ok(Self {
            text,
            form,
            reordered,
        })
    }

    /// The document, when it is one and right.
    ///
    /// # Errors
    /// 422 with every error, 503 when too many are being checked.
    pub(crate) async fn check(
        &self,
        room: &Room,
        actions: Arc<Actions>,
    ) -> Result<Document, Problem> {
        let text = self.reordered.as_ref().unwrap_or(&self.text);
        let check = move |text: String| language::check(&text, &actions);
        let checked = room.work_on(text, check).await?;
        let mut documents = checked.map_err(|problems| self.invalid(problems))?;
        match (documents.pop(), documents.is_empty()) {
            (Some(document), true) => Ok(document),
            _ => Err(Problem::invalid(
                "the body holds several documents: send them one at a time",
                Vec::new(),
            )),
        }
    }

    fn invalid(&self, problems: Vec<language::Problem>) -> Problem {
        let spots: Vec<Spot> = problems.into_iter().map(|p| self.spot(p)).collect();
        let detail = match spots.as_slice() {
            [one] => one.message.clone(),
            many => format!("the document has {} errors", many.len()),
        };
        Problem::invalid(detail, spots)
    }

    /// A place as a client sees it; lines of a reordered document would mislead.
    pub(crate) fn spot(&self, problem: language::Problem) -> Spot {
        let placed = self.reordered.is_none();
        Spot {
            pointer: problem.pointer,
            line: placed.then_some(problem.at.line),
            column: placed.then_some(problem.at.column),
            message: problem.message,
            hint: problem.hint,
        }
    }
}

/// The same JSON with the key that names its kind first, unless it stands there already.
fn reordered(text: &str) -> Result<Option<String>, Problem> {
    let first: FirstKey = crate::request::parse(text.as_bytes())?;
    if first.0.as_deref().is_none_or(|key| KINDS.contains(&key)) {
        return Ok(None);
    }
    let mut map: Map<String, Value> = crate::request::parse(text.as_bytes())?;
    let Some(kind) = KINDS.into_iter().find(|kind| map.contains_key(*kind)) else {
        return Ok(None);
    };
    let name = map.remove(kind).unwrap_or_default();
    let rest = Value::Object(map).to_string();
    let comma = if rest == "{}" { "" } else { "," };
    Ok(Some(format!(
        "{{{}:{name}{comma}{}",
        Value::from(kind),
        &rest[1..]
    )))
}

/// The first key of a JSON object.
struct FirstKey(Option<String>);

impl<'de> Deserialize<'de> for FirstKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;
        impl<'de> Visitor<'de> for First {
            type Value = FirstKey;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a document: a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FirstKey, A::Error> {
                let first = map.next_key()?;
                if first.is_some() {
                    map.next_value::<IgnoredAny>()?;
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(FirstKey(first))
            }
        }
        deserializer.deserialize_map(First)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_json_document_may_stand_anywhere() {
        let of = |text: &str| {
            Written::new(text.to_owned(), Form::Json)
                .expect("JSON")
                .reordered
        };
        assert_eq!(of(r#"{"hook":"a","type":"generic"}"#), None);
        let expected = r#"{"hook":"a","dedupe":"none","type":"generic"}"#;
        let given = r#"{"dedupe":"none","hook":"a","type":"generic"}"#;
        assert_eq!(of(given).as_deref(), Some(expected));
        assert_eq!(of(r#"{"x":1}"#), None, "what it is not, the check says");
    }

    #[test]
    fn what_is_no_object_is_malformed_or_invalid() {
        let status = |text: &str| {
            Written::new(text.to_owned(), Form::Json)
                .expect_err("no document")
                .status
                .as_u16()
        };
        assert_eq!(status("{"), 400);
        assert_eq!(status("[]"), 422);
    }
}
