//! Inputs and parameters from the command line, in the types that were declared for them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::ask;
use crate::exit::{Failure, Result};
use crate::human::{count, nearest};

/// What is declared for a name: `string`, `integer`, `number`, `boolean`, `duration`,
/// `timestamp`, `object`, `array`, or empty where a schema allows anything.
pub(crate) type Types = BTreeMap<String, String>;

/// The part of a workflow that declares inputs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Declared {
    inputs: BTreeMap<String, Input>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Input {
    #[serde(rename = "type")]
    kind: Option<String>,
    schema: Option<Value>,
}

/// The types that a workflow's text declares for its inputs.
pub(crate) fn declared(workflow: &str) -> Result<Types> {
    let declared: Declared = yaml(workflow)
        .map_err(|error| Failure::usage(format!("the saved workflow cannot be read: {error}")))?;
    let kind = |input: Input| {
        input
            .kind
            .or_else(|| input.schema.map(|schema| schema_type(&schema)))
            .unwrap_or_default()
    };
    Ok(declared
        .inputs
        .into_iter()
        .map(|(name, input)| (name, kind(input)))
        .collect())
}

/// The types that a JSON Schema of an object gives its properties.
pub(crate) fn of_schema(schema: &Value) -> Types {
    let properties = schema["properties"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    properties
        .into_iter()
        .map(|(name, schema)| (name, schema_type(&schema)))
        .collect()
}

fn schema_type(schema: &Value) -> String {
    schema["type"].as_str().unwrap_or_default().to_owned()
}

/// A file of inputs (`-` is stdin): one JSON or YAML object.
pub(crate) fn from_file(path: &str) -> Result<Map<String, Value>> {
    let text = read(path)?;
    let value: Value = yaml(&text).map_err(|error| Failure::usage(format!("{path}: {error}")))?;
    match value {
        Value::Object(map) => Ok(map),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(
                Failure::usage(format!("{path}: inputs are an object of names and values"))
                    .hint("write {\"name\": \"value\"} or `name: value`"),
            )
        }
    }
}

/// `k=v` and `k=@FILE`, converted to the declared types. With `strict` an undeclared name is an error.
pub(crate) fn convert(pairs: &[String], types: &Types, strict: bool) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    for pair in pairs {
        let (name, raw) = pair.split_once('=').ok_or_else(|| {
            Failure::usage(format!("`{pair}` is not of the form name=value"))
                .hint("a file's content is given as name=@FILE, a leading @ itself as name=@@…")
        })?;
        let Some(kind) =
            types
                .get(name)
                .map(String::as_str)
                .or(if strict { None } else { Some("") })
        else {
            return Err(unknown(name, types));
        };
        let raw = match raw.strip_prefix('@') {
            Some(literal) if literal.starts_with('@') => literal.to_owned(),
            Some(file) => read(file)?,
            None => raw.to_owned(),
        };
        map.insert(name.to_owned(), value(name, &raw, kind)?);
    }
    Ok(map)
}

/// Reads YAML as the server does: of YAML 1.1's many booleans (`y`, `no`, `on`) only true and false are any.
fn yaml<T: DeserializeOwned>(text: &str) -> std::result::Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
}

fn unknown(name: &str, types: &Types) -> Box<Failure> {
    let failure = Failure::usage(format!("there is no input `{name}`"));
    let known: Vec<&str> = types.keys().map(String::as_str).collect();
    failure.hint(match nearest(name, known.iter()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "this one takes none".to_owned(),
        None => format!(
            "it has {}: {}",
            count(known.len(), "input"),
            known.join(", ")
        ),
    })
}

fn read(path: &str) -> Result<String> {
    if path == "-" {
        return ask::stdin();
    }
    std::fs::read_to_string(path).map_err(|error| Failure::usage(format!("{path}: {error}")))
}

fn value(name: &str, raw: &str, kind: &str) -> Result<Value> {
    let wrong = || {
        let shown = crate::human::fit(raw.trim(), 40);
        Failure::usage(format!(
            "input `{name}` is declared as {kind}, and `{shown}` is none"
        ))
    };
    let trimmed = raw.trim();
    match kind {
        "integer" => trimmed.parse::<i64>().map(Value::from).map_err(|_| wrong()),
        "number" => {
            let number =
                serde_json::from_str::<serde_json::Number>(trimmed).map_err(|_| wrong())?;
            Ok(Value::Number(number))
        }
        "boolean" => trimmed
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| wrong().hint("write true or false")),
        "object" | "array" => {
            let value: Value = yaml(raw).map_err(|_| wrong())?;
            let fits = if kind == "object" {
                value.is_object()
            } else {
                value.is_array()
            };
            if fits {
                Ok(value)
            } else {
                Err(wrong().hint("write it as JSON, or name a file: name=@FILE"))
            }
        }
        "string" => Ok(raw.into()),
        "duration" | "timestamp" => Ok(trimmed.into()),
        // A schema without a simple type: JSON where it reads as such, else the text itself.
        _ => Ok(serde_json::from_str(raw).unwrap_or_else(|_| raw.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const WORKFLOW: &str = "
workflow: w
inputs:
  name: { type: string }
  count: { type: integer, default: 3 }
  ratio: { type: number }
  on: { type: boolean }
  window: { type: duration, default: 30m }
  map: { type: object }
  any: { schema: { enum: [1, a] } }
steps: []
";

    fn convert_all(pairs: &[&str]) -> Result<Map<String, Value>> {
        let pairs: Vec<String> = pairs.iter().map(|p| (*p).to_owned()).collect();
        convert(&pairs, &declared(WORKFLOW)?, true)
    }

    #[test]
    fn values_take_the_declared_types() {
        let map = convert_all(&[
            "name=1.10",
            "count=5",
            "ratio=2",
            "on=true",
            "window=1h",
            "map={\"a\": [1]}",
            "any=1",
        ]);
        assert_eq!(
            Value::Object(map.expect("converted")),
            json!({"name": "1.10", "count": 5, "ratio": 2, "on": true, "window": "1h", "map": {"a": [1]}, "any": 1})
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        for (pair, word) in [
            ("count=5.5", "count"),
            ("on=yes", "true or false"),
            ("map=[1]", "map"),
            ("nmae=x", "`name`"),
            ("name", "name=value"),
        ] {
            let failure = convert_all(&[pair]).expect_err(pair);
            let said = format!("{} {}", failure.message, failure.hint.unwrap_or_default());
            assert!(said.contains(word), "{pair}: {said}");
        }
    }

    #[test]
    fn only_true_and_false_are_booleans() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("inputs.yaml");
        std::fs::write(
            &file,
            "country: no\nanswers: [y, yes, on, off, n]\nsure: true\n",
        )
        .expect("a file");
        let map = from_file(&file.display().to_string()).expect("it is YAML");
        assert_eq!(
            Value::Object(map),
            json!({"country": "no", "answers": ["y", "yes", "on", "off", "n"], "sure": true})
        );
        let map = convert_all(&["map={answer: no}"]).expect("converted");
        assert_eq!(map["map"], json!({"answer": "no"}));
    }

    #[test]
    fn a_file_gives_its_content_and_a_doubled_at_sign_itself() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("text");
        std::fs::write(&file, "two\nlines\n").expect("a file");
        let map = convert_all(&[&format!("name=@{}", file.display())]).expect("converted");
        assert_eq!(map["name"], json!("two\nlines\n"));
        assert_eq!(
            convert_all(&["name=@@home"]).expect("converted")["name"],
            json!("@home")
        );
    }
}
