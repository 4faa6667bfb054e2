//! The functions of the language: CEL's standard library, the extensions for optionals, strings, lists, math and
//! encoders, and `strings.quote`. To add one: a line in a table of this folder and its test.
//!
//! The tables are what both the type check and the evaluation go by. Whatever a function makes or walks it charges to
//! the meter first.

mod convert;
mod encoders;
mod format;
pub(super) mod lists;
mod math;
mod operators;
mod optionals;
pub(super) mod regexes;
mod strings;
mod times;

use super::Type;
use super::meter::{Fault, Meter};
use super::value::Value;

pub(super) type Run = for<'a> fn(&mut Meter, &[Value<'a>]) -> Result<Value<'a>, Fault>;

/// One way to call a function.
pub(super) struct Signature {
    pub(super) name: &'static str,
    /// Called as `x.f(…)`, with `x` the first parameter, and not as `f(…)`.
    pub(super) method: bool,
    pub(super) params: &'static [P],
    pub(super) result: P,
    pub(super) run: Run,
}

/// What a parameter takes, or a function answers.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum P {
    /// Anything; as a result: unknown.
    Any,
    /// Anything, the same in all places of a signature.
    T,
    /// A number, of the same kind in all places.
    N,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    Kind,
    /// A list of `T`.
    List,
    /// A list of text.
    Strings,
    /// A list of numbers of the kind `N`.
    Numbers,
    /// A mapping.
    Map,
    /// An optional `T`.
    Optional,
}

const fn function(name: &'static str, params: &'static [P], result: P, run: Run) -> Signature {
    Signature {
        name,
        method: false,
        params,
        result,
        run,
    }
}

const fn method(name: &'static str, params: &'static [P], result: P, run: Run) -> Signature {
    Signature {
        name,
        method: true,
        params,
        result,
        run,
    }
}

/// All ways to call any function.
pub(super) fn all() -> impl Iterator<Item = &'static Signature> {
    [
        operators::TABLE,
        convert::TABLE,
        strings::TABLE,
        lists::TABLE,
        math::TABLE,
        times::TABLE,
        optionals::TABLE,
        encoders::TABLE,
    ]
    .into_iter()
    .flatten()
}

/// The words before a point that are no names in scope: `math.abs`.
pub(super) const NAMESPACES: [&str; 5] = ["math", "strings", "lists", "base64", "optional"];

impl Signature {
    /// The type of a call with arguments of these types; `None` if it cannot be called so.
    pub(super) fn check(&self, args: &[Type]) -> Option<Type> {
        if args.len() != self.params.len() {
            return None;
        }
        let mut bound = None;
        let matches = self
            .params
            .iter()
            .zip(args)
            .all(|(param, arg)| param.takes(arg, &mut bound));
        matches.then(|| self.result.result(bound))
    }

    /// Whether it can be called with these values.
    pub(super) fn accepts(&self, args: &[Value<'_>]) -> bool {
        args.len() == self.params.len()
            && self
                .params
                .iter()
                .zip(args)
                .all(|(param, arg)| param.holds(arg))
    }
}

impl P {
    fn takes(self, ty: &Type, bound: &mut Option<Type>) -> bool {
        let ty = if self == Self::T { ty } else { ty.solid() };
        match (self, ty) {
            (Self::Any, _) => true,
            (Self::T | Self::N | Self::List | Self::Numbers | Self::Optional, Type::Dyn) => {
                bind(bound, &Type::Dyn)
            }
            (_, Type::Dyn) => true,
            (Self::T, ty) => bind(bound, ty),
            (Self::N, ty) => ty.is_number() && bind(bound, ty),
            (Self::List, Type::List(element)) | (Self::Optional, Type::Optional(element)) => {
                bind(bound, element)
            }
            (Self::Numbers, Type::List(element)) => {
                (element.is_number() || **element == Type::Dyn) && bind(bound, element)
            }
            (Self::Strings, Type::List(element)) => element.fits(&Type::String),
            (Self::Map, ty) => ty.is_mapping(),
            (Self::Bool, Type::Bool)
            | (Self::Int, Type::Int)
            | (Self::Uint, Type::Uint)
            | (Self::Double, Type::Double)
            | (Self::String, Type::String)
            | (Self::Bytes, Type::Bytes)
            | (Self::Duration, Type::Duration)
            | (Self::Timestamp, Type::Timestamp)
            | (Self::Kind, Type::Kind) => true,
            _ => false,
        }
    }

    fn result(self, bound: Option<Type>) -> Type {
        match self {
            Self::Any => Type::Dyn,
            Self::T | Self::N => bound.unwrap_or_default(),
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Uint => Type::Uint,
            Self::Double => Type::Double,
            Self::String => Type::String,
            Self::Bytes => Type::Bytes,
            Self::Duration => Type::Duration,
            Self::Timestamp => Type::Timestamp,
            Self::Kind => Type::Kind,
            Self::List | Self::Numbers => Type::list(bound.unwrap_or_default()),
            Self::Strings => Type::list(Type::String),
            Self::Map => Type::map(Type::Dyn),
            Self::Optional => Type::optional(bound.unwrap_or_default()),
        }
    }

    fn holds(self, value: &Value<'_>) -> bool {
        match self {
            Self::Any | Self::T => true,
            Self::N => matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_)),
            Self::Bool => matches!(value, Value::Bool(_)),
            Self::Int => matches!(value, Value::Int(_)),
            Self::Uint => matches!(value, Value::Uint(_)),
            Self::Double => matches!(value, Value::Double(_)),
            Self::String => matches!(value, Value::String(_)),
            Self::Bytes => matches!(value, Value::Bytes(_)),
            Self::Duration => matches!(value, Value::Duration(_)),
            Self::Timestamp => matches!(value, Value::Timestamp(_)),
            Self::Kind => matches!(value, Value::Kind(_)),
            Self::List | Self::Strings | Self::Numbers => matches!(value, Value::List(_)),
            Self::Map => matches!(value, Value::Map(_)),
            Self::Optional => matches!(value, Value::Optional(_)),
        }
    }
}

/// Binds a type variable, or widens what it is bound to; false where the two have nothing in common.
fn bind(bound: &mut Option<Type>, ty: &Type) -> bool {
    let joined = match bound {
        None => Some(ty.clone()),
        Some(before) => before.join(ty),
    };
    let fits = joined.is_some();
    *bound = joined;
    fits
}

// What the functions read their arguments with. The signature was matched against the values before, so that these
// fail only where a function contradicts its own table.

fn text<'v>(args: &'v [Value<'_>], index: usize) -> Result<&'v str, Fault> {
    match args.get(index) {
        Some(Value::String(text)) => Ok(text),
        other => mismatch("text", other),
    }
}

fn int(args: &[Value<'_>], index: usize) -> Result<i64, Fault> {
    match args.get(index) {
        Some(Value::Int(value)) => Ok(*value),
        other => mismatch("int", other),
    }
}

fn mismatch<T>(expected: &str, found: Option<&Value<'_>>) -> Result<T, Fault> {
    Fault::failed(format!(
        "{expected} is needed, not {}",
        found.map_or("nothing", Value::kind)
    ))
}

/// An index into something of `len` elements, or one past its end.
fn position(index: i64, len: usize) -> Result<usize, Fault> {
    match usize::try_from(index) {
        Ok(index) if index <= len => Ok(index),
        _ => Fault::failed(format!("index {index} is out of range: there are {len}")),
    }
}

#[cfg(test)]
mod tests;
