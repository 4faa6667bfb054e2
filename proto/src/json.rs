//! The JSON form of the messages, which the public MIRASTACK agents speak.
//!
//! Names and meanings are those of the protobuf form. What differs is how bytes are written ([`Dialect`]), that any
//! field may be left out or null, and how parameters and failures of a call look.

use std::borrow::Cow;

use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::v1::{Action, ExecuteRequest, ExecuteResponse, InfoResponse, PluginType};
use crate::wire::Dialect;

/// The fields of bytes that hold JSON, in every message.
const JSON_FIELDS: [&str; 8] = [
    "params_json",
    "result_json",
    "input_params",
    "output_params",
    "params_json_schema",
    "result_json_schema",
    "data_json",
    "context_json",
];
/// The one that holds anything.
const CACHE_FIELD: &str = "value";
/// The lists whose objects have such fields, too.
const LISTS: [&str; 2] = ["actions", "entries"];

/// What the parameters of one action weigh at most. A hundred of them weigh some 200 KiB.
const PARAMS_WEIGHT_MAX: usize = 1024 * 1024;

mod read;

/// Bytes as base64, the form in which our own types have them.
pub(crate) mod base64 {
    use ::base64::{Engine, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;
    use std::fmt;

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&text(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Bytes, D::Error> {
        input.deserialize_str(Text)
    }

    /// The text is read where it stands: a value of the cache has some 20 MiB.
    struct Text;

    impl Visitor<'_> for Text {
        type Value = Bytes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes in base64")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Bytes, E> {
            bytes(text).ok_or_else(|| E::custom("a field of bytes is no base64"))
        }
    }

    pub(crate) fn text(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }

    pub(crate) fn bytes(text: &str) -> Option<Bytes> {
        STANDARD.decode(text).ok().map(Bytes::from)
    }
}

/// Reads a message.
pub(crate) fn decode<M: DeserializeOwned>(
    message: &[u8],
    dialect: Dialect,
) -> Result<M, serde_json::Error> {
    serde_json::from_slice(&read::plain(message, dialect)?)
}

/// Writes a message. There is always an object, for nobody reads an empty one.
pub(crate) fn encode<M: Serialize>(message: &M, dialect: Dialect) -> Bytes {
    let mut value = serde_json::to_value(message).expect("messages have only text as keys");
    each_object(&mut value, &|object| dress(object, dialect));
    value.to_string().into()
}

fn dress(object: &mut Map<String, Value>, dialect: Dialect) {
    // Each dialect has its own name for the mode.
    if let Some(mode) = object.get("execution_mode").cloned() {
        object.insert("mode".to_owned(), mode);
    }
    if dialect == Dialect::Go {
        return;
    }
    for (name, field) in object.iter_mut() {
        if JSON_FIELDS.contains(&name.as_str()) {
            let bytes = field.as_str().and_then(base64::bytes).unwrap_or_default();
            *field = String::from_utf8_lossy(&bytes).into();
        }
    }
    // The Python SDK raises on every value that is found, in whatever form: for it the cache is empty.
    if object.contains_key("found") {
        object.insert("found".to_owned(), false.into());
        object.insert(CACHE_FIELD.to_owned(), "".into());
    }
}

/// The message itself, and the objects in its lists. Maps of settings and facts are left alone: their keys mean nothing.
fn each_object(value: &mut Value, change: &impl Fn(&mut Map<String, Value>)) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    change(object);
    for name in LISTS {
        let list = object.get_mut(name).and_then(Value::as_array_mut);
        let objects = list.into_iter().flatten().filter_map(Value::as_object_mut);
        objects.for_each(change);
    }
}

/// What a JSON text says; `None` where it is none.
fn text(field: &str) -> serde_json::Result<Option<String>> {
    match field.starts_with('"') {
        true => serde_json::from_str(field).map(Some),
        false => Ok(None),
    }
}

/// The JSON text in a field, however it was written: as itself, as text, or as text in base64.
fn json_text(field: &str) -> serde_json::Result<Cow<'_, str>> {
    #[cfg(planted = "fuzz_message")]
    {
        let planted = crate::PLANTED.load(std::sync::atomic::Ordering::Relaxed);
        let is_number = field.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        assert!(!(planted && is_number), "planted: message");
    }
    let Some(text) = text(field)? else {
        return Ok(field.into());
    };
    if text.trim_start().starts_with(['{', '[']) {
        return Ok(text.into());
    }
    let decoded = base64::bytes(&text).and_then(|bytes| String::from_utf8(bytes.into()).ok());
    let is_json = |json: &String| serde_json::from_str::<IgnoredAny>(json).is_ok();
    Ok(decoded.filter(is_json).unwrap_or(text).into())
}

/// A call as these peers take it: one flat object of texts, which names the action, too.
pub(crate) fn execute_request(
    request: &ExecuteRequest,
) -> Result<ExecuteRequest, serde_json::Error> {
    let params: Map<String, Value> = match &*request.params_json {
        [] => Map::new(),
        json => serde_json::from_slice(json)?,
    };
    let text = |value: Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            other.to_string()
        }
    };
    let mut flat: Map<String, Value> = params
        .into_iter()
        .map(|(name, value)| (name, text(value).into()))
        .collect();
    flat.insert("action".to_owned(), request.action_id.clone().into());
    Ok(ExecuteRequest {
        params_json: Value::Object(flat).to_string().into(),
        ..request.clone()
    })
}

/// An answer as ours: these peers tell a failure in a result that succeeded.
pub(crate) fn execute_response(response: ExecuteResponse) -> ExecuteResponse {
    /// The rest of it is not looked at here.
    #[derive(Deserialize)]
    struct Told<'a> {
        #[serde(borrow)]
        error: &'a RawValue,
    }
    let is_object = response.result_json.trim_ascii_start().starts_with(b"{");
    match serde_json::from_slice::<Told<'_>>(&response.result_json) {
        Ok(Told { error }) if response.success && is_object => {
            let said = text(error.get()).ok().flatten();
            ExecuteResponse {
                success: false,
                error: said.unwrap_or_else(|| error.get().to_owned()),
                result_json: Bytes::new(),
                ..response
            }
        }
        Ok(_) | Err(_) => response,
    }
}

/// What such a peer says about itself, as a native one would: parameter lists become schemas. Values may always be
/// given as text, results are taken as they come, and no promise is made about a call that is repeated.
#[must_use]
pub fn native_info(mut info: InfoResponse) -> InfoResponse {
    if info.r#type() == PluginType::Unspecified {
        info.r#type = PluginType::Agent.into();
    }
    for action in &mut info.actions {
        action.input_schema = input_schema(action).to_string().into();
        action.output_schema = Bytes::from_static(b"{}");
        action.idempotent = false;
        action.lookup = false;
    }
    for setting in &mut info.config_schema {
        if setting.description.is_empty() {
            setting.description.clone_from(&setting.key);
        }
    }
    info
}

fn input_schema(action: &Action) -> Value {
    let params = strict_json::read_within(&action.input_params, PARAMS_WEIGHT_MAX).ok();
    let params: &[Value] = params
        .as_ref()
        .and_then(Value::as_array)
        .map_or(&[], |list| list);
    let mut properties = Map::new();
    let mut required = Vec::new();
    for param in params {
        // The Go SDK writes the names of its fields with a capital letter.
        let of = |name: &str, go: &str| param.get(name).or_else(|| param.get(go));
        let Some(name) = of("name", "Name").and_then(Value::as_str) else {
            continue;
        };
        let mut schema = match of("type", "Type").and_then(Value::as_str) {
            Some("number") => json!({ "type": ["number", "string"] }),
            Some("boolean") => json!({ "type": ["boolean", "string"] }),
            Some("string") => json!({ "type": "string" }),
            Some(_) | None => json!({}),
        };
        if let Some(text) = of("description", "Description").filter(|text| text.is_string()) {
            schema["description"] = text.clone();
        }
        properties.insert(name.to_owned(), schema);
        if of("required", "Required") == Some(&Value::Bool(true)) {
            required.push(name.to_owned());
        }
    }
    json!({ "type": "object", "properties": properties, "required": required })
}

#[cfg(test)]
mod tests;
