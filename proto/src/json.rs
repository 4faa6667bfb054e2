//! The JSON form of the messages, which the public MIRASTACK agents speak.
//!
//! Names and meanings are those of the protobuf form. What differs is how bytes are written ([`Dialect`]), that any
//! field may be left out or null, and how parameters and failures of a call look.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
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

/// Bytes as base64, the form in which our own types have them.
pub(crate) mod base64 {
    use ::base64::{Engine, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&text(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(input)?;
        bytes(&text).ok_or_else(|| D::Error::custom("a field of bytes is no base64"))
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
    let mut value = serde_json::from_slice(message)?;
    drop_nulls(&mut value);
    each_object(&mut value, &|object| {
        for (name, field) in object.iter_mut() {
            if JSON_FIELDS.contains(&name.as_str()) {
                let text = json_text(field);
                *field = base64::text(text.as_bytes()).into();
            } else if name == CACHE_FIELD && dialect == Dialect::Python {
                let text = field.as_str().unwrap_or_default();
                *field = base64::text(text.as_bytes()).into();
            }
        }
    });
    serde_json::from_value(value)
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

/// Null is zero for every field.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, field| !field.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The JSON text in a field, however it was written: as itself, as text, or as text in base64.
fn json_text(field: &Value) -> String {
    #[cfg(planted = "fuzz_message")]
    {
        let planted = crate::PLANTED.load(std::sync::atomic::Ordering::Relaxed);
        assert!(!(planted && field.is_number()), "planted: message");
    }
    let Some(text) = field.as_str() else {
        return field.to_string();
    };
    if text.trim_start().starts_with(['{', '[']) {
        return text.to_owned();
    }
    let decoded = base64::bytes(text).and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    decoded
        .filter(|json| serde_json::from_str::<Value>(json).is_ok())
        .unwrap_or_else(|| text.to_owned())
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
    let result = serde_json::from_slice::<Value>(&response.result_json);
    let error = result.as_ref().ok().and_then(|result| result.get("error"));
    match error {
        Some(error) if response.success => ExecuteResponse {
            success: false,
            error: error
                .as_str()
                .map_or_else(|| error.to_string(), str::to_owned),
            result_json: Bytes::new(),
            ..response
        },
        Some(_) | None => response,
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
    let params: Vec<Value> = serde_json::from_slice(&action.input_params).unwrap_or_default();
    let mut properties = Map::new();
    let mut required = Vec::new();
    for param in &params {
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
