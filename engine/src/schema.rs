//! JSON Schema 2020-12 of actions and inputs: is a value right, and which type have its numbers.
//!
//! Compile once and keep: compiling costs milliseconds, using it microseconds. References stay inside the document
//! and lead on, and patterns are matched in linear time, so that no schema can make a check hang on a value.

use std::fmt;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

mod in_place;
mod types;

use types::Types;

/// So many violations are told; a list of ten thousand wrong items needs no ten thousand lines.
const VIOLATIONS_MAX: usize = 20;

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    types: Types,
}

/// The document is no schema that can be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a usable JSON Schema (2020-12, references inside the document only): {0}")]
pub struct BadSchema(String);

/// One place where a value is not as its schema says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where in the value (RFC 6901); empty for the value itself.
    pub pointer: String,
    /// What is wrong there. It never holds the value itself, which may be a secret or very long.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.message),
            pointer => write!(f, "{pointer}: {}", self.message),
        }
    }
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// [`BadSchema`], with the reason.
    pub fn compile(schema: &Value) -> Result<Self, BadSchema> {
        in_place::check(schema).map_err(BadSchema)?;
        let validator = jsonschema::draft202012::options()
            .with_pattern_options(PatternOptions::regex())
            .build(schema)
            .map_err(|e| BadSchema(e.to_string()))?;
        let types = Types::of(schema).map_err(BadSchema)?;
        Ok(Self { validator, types })
    }

    /// Whether `value` is as the schema says.
    ///
    /// # Errors
    /// The places where it is not, at most twenty.
    pub fn validate(&self, value: &Value) -> Result<(), Vec<Violation>> {
        if self.validator.is_valid(value) {
            return Ok(());
        }
        let violation = |error: jsonschema::ValidationError<'_>| Violation {
            pointer: error.instance_path().to_string(),
            message: error.masked().to_string(),
        };
        let errors = self.validator.iter_errors(value);
        Err(errors.take(VIOLATIONS_MAX).map(violation).collect())
    }

    /// Gives each number the type that the schema names: under `number` a whole one becomes a double, under `integer`
    /// a double without fraction becomes whole. Where the schema allows both, or names none, it stays as it is.
    #[must_use]
    pub fn coerce(&self, mut value: Value) -> Value {
        self.types.apply(&mut value);
        value
    }
}

#[cfg(test)]
mod tests;
