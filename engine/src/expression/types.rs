//! What the type check knows of a value.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The type of a value in an expression.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Type {
    /// Nothing is known: what is done with it is checked when it runs.
    #[default]
    Dyn,
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A whole number, 64 bits, signed.
    Int,
    /// A whole number, 64 bits, without a sign (`1u`).
    Uint,
    /// A floating-point number, also when whole.
    Double,
    /// Text.
    String,
    /// Bytes (`b'…'`, `base64.decode`); they cannot leave an expression.
    Bytes,
    /// A length of time; as JSON its text, `1h30m`.
    Duration,
    /// A point in time; as JSON its text, RFC 3339 in UTC.
    Timestamp,
    /// What `type(x)` answers.
    Kind,
    /// A list of such elements.
    List(Arc<Type>),
    /// A mapping from text to such values.
    Map(Arc<Type>),
    /// A mapping from text to text in which an absent key reads as `''`: labels and annotations of alerts.
    Labels,
    /// A mapping with known fields.
    Object(Arc<Object>),
    /// A value that may be absent (`x.?y`).
    Optional(Arc<Type>),
    /// A value or null.
    Nullable(Arc<Type>),
}

/// The fields of a [`Type::Object`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// The fields that are known.
    pub fields: BTreeMap<String, Type>,
    /// The type of any other field; without it another field is an error.
    pub rest: Option<Type>,
}

/// How deep `$ref`s and subschemas are followed; deeper is [`Type::Dyn`].
const SCHEMA_DEPTH_MAX: usize = 16;
/// How many subschemas are read, each as often as it is referred to; what comes after is [`Type::Dyn`].
const SCHEMA_NODES_MAX: usize = 10_000;
/// How large the type of a list or mapping written in an expression may be, as a tree; a larger one is [`Type::Dyn`].
/// Types share their parts, so that 1 KiB of source could make one that takes for ever to compare.
const NODES_MAX: usize = 1_000;

impl Type {
    /// A list of `element`s.
    #[must_use]
    pub fn list(element: Self) -> Self {
        Self::List(Arc::new(element))
    }

    /// A mapping from text to `value`s.
    #[must_use]
    pub fn map(value: Self) -> Self {
        Self::Map(Arc::new(value))
    }

    /// A value that may be absent.
    #[must_use]
    pub fn optional(inner: Self) -> Self {
        match inner {
            Self::Optional(_) => inner,
            _ => Self::Optional(Arc::new(inner)),
        }
    }

    /// `inner` or null.
    #[must_use]
    pub fn nullable(inner: Self) -> Self {
        match inner {
            Self::Nullable(_) | Self::Dyn | Self::Null => inner,
            _ => Self::Nullable(Arc::new(inner)),
        }
    }

    /// A mapping with exactly these fields.
    #[must_use]
    pub fn object<N: Into<String>>(fields: impl IntoIterator<Item = (N, Self)>) -> Self {
        let fields = fields.into_iter().map(|(name, ty)| (name.into(), ty));
        Self::Object(Arc::new(Object {
            fields: fields.collect(),
            rest: None,
        }))
    }

    /// The type of an input declared as `string`, `integer`, `number`, `boolean`, `duration`, `timestamp`, `object`
    /// or `array`; `None` for any other word.
    #[must_use]
    pub fn of_input(word: &str) -> Option<Self> {
        Some(match word {
            "string" => Self::String,
            "integer" => Self::Int,
            "number" => Self::Double,
            "boolean" => Self::Bool,
            "duration" => Self::Duration,
            "timestamp" => Self::Timestamp,
            "object" => Self::map(Self::Dyn),
            "array" => Self::list(Self::Dyn),
            _ => return None,
        })
    }

    /// The type of the values that a JSON Schema (2020-12) allows, as far as it says: `type`, `properties`,
    /// `additionalProperties`, `items`, `enum`, `const`, `$ref` into the same schema, `anyOf`/`oneOf` with null.
    /// `number` is double, `integer` int. An object that lists its properties has no others unless
    /// `additionalProperties` allows them explicitly: a misspelt field is an error. What a schema leaves open is
    /// [`Type::Dyn`]; keywords that only narrow a type do not matter here.
    #[must_use]
    pub fn from_schema(schema: &serde_json::Value) -> Self {
        Reader {
            root: schema,
            left: SCHEMA_NODES_MAX,
        }
        .read(schema, SCHEMA_DEPTH_MAX)
    }

    /// Without "or null".
    pub(super) fn solid(&self) -> &Self {
        match self {
            Self::Nullable(inner) => inner,
            _ => self,
        }
    }

    /// Whether a value of this type may stand where `expected` is asked for: in the parameter of an action, an input,
    /// a condition. Unknown parts fit; a whole number fits a double; lengths and points of time fit text, and text
    /// them, for that is their form as JSON.
    #[must_use]
    pub fn fits(&self, expected: &Self) -> bool {
        match (self.solid(), expected.solid()) {
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::Null, _) => matches!(expected, Self::Null | Self::Nullable(_)),
            (Self::Int | Self::Uint, Self::Double) | (Self::Uint, Self::Int) => true,
            (Self::Duration | Self::Timestamp, Self::String) => true,
            (Self::String, Self::Duration | Self::Timestamp) => true,
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.fits(b),
            (a, b) if a.is_mapping() && b.is_mapping() => mapping_fits(a, b),
            (a, b) => a == b,
        }
    }

    pub(super) fn is_mapping(&self) -> bool {
        matches!(self, Self::Map(_) | Self::Object(_) | Self::Labels)
    }

    /// The type of any value of a mapping.
    pub(super) fn value_type(&self) -> Self {
        match self {
            Self::Map(value) => (**value).clone(),
            Self::Labels => Self::String,
            _ => Self::Dyn,
        }
    }

    /// One type for values of both, if there is one that says anything; `Dyn` where either is unknown.
    pub(super) fn join(&self, other: &Self) -> Option<Self> {
        Some(match (self, other) {
            (a, b) if a == b => a.clone(),
            (Self::Dyn, _) | (_, Self::Dyn) => Self::Dyn,
            (Self::Null, b) => Self::nullable(b.clone()),
            (a, Self::Null) => Self::nullable(a.clone()),
            (Self::Nullable(a), b) | (b, Self::Nullable(a)) => Self::nullable(a.join(b.solid())?),
            (Self::List(a), Self::List(b)) => Self::list(a.join(b).unwrap_or_default()),
            (Self::Optional(a), Self::Optional(b)) => Self::optional(a.join(b)?),
            (a, b) if a.is_mapping() && b.is_mapping() => {
                Self::map(a.value_type().join(&b.value_type()).unwrap_or_default())
            }
            _ => return None,
        })
    }

    /// Whether `==` between the two can ever make sense.
    pub(super) fn comparable(&self, other: &Self) -> bool {
        match (self.solid(), other.solid()) {
            (Self::Dyn | Self::Null, _) | (_, Self::Dyn | Self::Null) => true,
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => {
                a.comparable(b)
            }
            (a, b) if a.is_mapping() && b.is_mapping() => true,
            (a, b) => a == b,
        }
    }

    /// The type, or `Dyn` if it has more than [`NODES_MAX`] nodes.
    pub(super) fn bounded(self) -> Self {
        if self.fits_into(&mut NODES_MAX.clone()) {
            self
        } else {
            Self::Dyn
        }
    }

    fn fits_into(&self, left: &mut usize) -> bool {
        let Some(rest) = left.checked_sub(1) else {
            return false;
        };
        *left = rest;
        match self {
            Self::List(inner)
            | Self::Map(inner)
            | Self::Optional(inner)
            | Self::Nullable(inner) => inner.fits_into(left),
            Self::Object(object) => {
                let mut fields = object.fields.values().chain(&object.rest);
                fields.all(|field| field.fits_into(left))
            }
            _ => true,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }
}

fn mapping_fits(actual: &Type, expected: &Type) -> bool {
    match (actual, expected) {
        (Type::Object(a), Type::Object(b)) => a
            .fields
            .iter()
            .all(|(name, ty)| b.fields.get(name).is_none_or(|other| ty.fits(other))),
        (Type::Object(a), b) => {
            let value = b.value_type();
            a.fields.values().all(|ty| ty.fits(&value))
        }
        (a, Type::Object(_)) => a.is_mapping(),
        (a, b) => a.value_type().fits(&b.value_type()),
    }
}

struct Reader<'s> {
    root: &'s serde_json::Value,
    left: usize,
}

impl Reader<'_> {
    fn read(&mut self, schema: &serde_json::Value, depth: usize) -> Type {
        if depth == 0 || self.left == 0 {
            return Type::Dyn;
        }
        self.left -= 1;
        if let Some(target) = schema["$ref"].as_str() {
            let root = self.root;
            let pointer = target.strip_prefix('#');
            let target = pointer.and_then(|pointer| root.pointer(pointer));
            return target.map_or(Type::Dyn, |target| self.read(target, depth - 1));
        }
        for keyword in ["anyOf", "oneOf", "allOf"] {
            if let Some(branches) = schema[keyword].as_array() {
                let branches = branches.iter().map(|branch| self.read(branch, depth - 1));
                return join_all(branches);
            }
        }
        if let Some(constant) = schema.get("const") {
            return of_value(constant);
        }
        match (&schema["type"], schema["enum"].as_array()) {
            (serde_json::Value::String(word), _) => self.word(word, schema, depth),
            (serde_json::Value::Array(words), _) => {
                let words = words.iter().filter_map(serde_json::Value::as_str);
                join_all(words.map(|word| self.word(word, schema, depth)))
            }
            (_, Some(values)) => join_all(values.iter().map(of_value)),
            (_, None) if schema.get("properties").is_some() => self.object(schema, depth),
            (_, None) => Type::Dyn,
        }
    }

    fn word(&mut self, word: &str, schema: &serde_json::Value, depth: usize) -> Type {
        match word {
            "null" => Type::Null,
            "boolean" => Type::Bool,
            "integer" => Type::Int,
            "number" => Type::Double,
            "string" => Type::String,
            "array" => Type::list(match schema.get("items") {
                Some(items) => self.read(items, depth - 1),
                None => Type::Dyn,
            }),
            "object" => self.object(schema, depth),
            _ => Type::Dyn,
        }
    }

    fn object(&mut self, schema: &serde_json::Value, depth: usize) -> Type {
        let rest = match schema.get("additionalProperties") {
            None | Some(serde_json::Value::Bool(false)) => None,
            Some(serde_json::Value::Bool(true)) => Some(Type::Dyn),
            Some(other) => Some(self.read(other, depth - 1)),
        };
        let Some(properties) = schema["properties"].as_object() else {
            return Type::map(rest.unwrap_or_default());
        };
        let fields = properties
            .iter()
            .map(|(name, field)| (name.clone(), self.read(field, depth - 1)));
        let fields = fields.collect();
        Type::Object(Arc::new(Object { fields, rest }))
    }
}

fn join_all(types: impl Iterator<Item = Type>) -> Type {
    types
        .map(Some)
        .reduce(|a, b| a?.join(&b?))
        .flatten()
        .unwrap_or_default()
}

fn of_value(value: &serde_json::Value) -> Type {
    match value {
        serde_json::Value::Null => Type::Null,
        serde_json::Value::Bool(_) => Type::Bool,
        serde_json::Value::Number(number) if number.is_f64() => Type::Double,
        serde_json::Value::Number(_) => Type::Int,
        serde_json::Value::String(_) => Type::String,
        serde_json::Value::Array(_) => Type::list(Type::Dyn),
        serde_json::Value::Object(_) => Type::map(Type::Dyn),
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Dyn => "dyn",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Timestamp => "timestamp",
            Self::Kind => "type",
            Self::Labels => "labels",
            Self::Object(_) => "object",
            Self::List(element) => return write!(f, "list({element})"),
            Self::Map(value) => return write!(f, "map({value})"),
            Self::Optional(inner) => return write!(f, "optional({inner})"),
            Self::Nullable(inner) => return write!(f, "{inner} or null"),
        };
        f.write_str(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_schema_gives_the_type_that_it_says() {
        let schema = json!({
            "type": "object",
            "properties": {
                "series": {"type": "array", "items": {"$ref": "#/$defs/series"}},
                "note": {"type": ["string", "null"]},
                "mode": {"enum": ["a", "b"]},
                "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                "any": true,
            },
            "$defs": {"series": {
                "type": "object",
                "properties": {
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "value": {"type": "number"},
                },
                "additionalProperties": true,
            }},
        });
        let Type::Object(object) = Type::from_schema(&schema) else {
            panic!("an object");
        };
        assert_eq!(object.rest, None);
        assert_eq!(object.fields["note"], Type::nullable(Type::String));
        assert_eq!(object.fields["mode"], Type::String);
        assert_eq!(object.fields["maybe"], Type::nullable(Type::Int));
        assert_eq!(object.fields["any"], Type::Dyn);
        let Type::List(series) = &object.fields["series"] else {
            panic!("a list");
        };
        let Type::Object(series) = &**series else {
            panic!("an object");
        };
        assert_eq!(series.rest, Some(Type::Dyn));
        assert_eq!(series.fields["labels"], Type::map(Type::String));
        assert_eq!(series.fields["value"], Type::Double);
    }

    #[test]
    fn a_schema_without_end_ends() {
        let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}});
        assert!(matches!(Type::from_schema(&schema), Type::List(_)));
        let schema = json!({"$ref": "#"});
        assert_eq!(Type::from_schema(&schema), Type::Dyn);
        // 15 levels of 100 references each: 100^15 subschemas, if each were read.
        let level = |next: usize| {
            let fields = (0..100).map(|n| (n.to_string(), json!({"$ref": format!("#/{next}")})));
            json!({"properties": fields.collect::<serde_json::Map<_, _>>()})
        };
        let levels = (0..15).map(|n| (n.to_string(), level(n + 1)));
        let mut schema = levels.collect::<serde_json::Map<_, _>>();
        schema.insert("$ref".to_owned(), json!("#/0"));
        assert!(Type::from_schema(&schema.into()).is_mapping());
    }

    #[test]
    fn what_fits_is_what_its_json_form_allows() {
        assert!(Type::Int.fits(&Type::Double));
        assert!(!Type::Double.fits(&Type::Int));
        assert!(Type::Duration.fits(&Type::String));
        assert!(!Type::Int.fits(&Type::String));
        assert!(!Type::Null.fits(&Type::String));
        assert!(Type::Null.fits(&Type::nullable(Type::String)));
        assert!(Type::object([("a", Type::Int)]).fits(&Type::map(Type::Double)));
        assert!(!Type::object([("a", Type::Int)]).fits(&Type::object([("a", Type::String)])));
        assert!(Type::list(Type::Dyn).fits(&Type::list(Type::Int)));
    }
}
