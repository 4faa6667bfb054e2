//! Expressions: the Common Expression Language (CEL) over values that are read lazily.
//!
//! Whoever saves a workflow compiles everything: [`Template::parse`] for text with `${{ … }}`, [`Expression::condition`]
//! for conditions and `for_each`. Whoever runs it evaluates. In between nothing is parsed, and no string is ever put
//! together and parsed afterwards.
//!
//! **No expression can stall or bloat its caller.** Its source and nesting are bounded before it is parsed, its loops
//! when it is checked, and its steps and bytes while it runs: everything is charged to a meter before it is done.
//! Evaluation borrows from the JSON that it reads. Equal inputs give equal outputs on every machine: there is no clock,
//! mappings are sorted, time zones are compiled in.
//!
//! The parser is `cel-core`'s, behind `parse.rs`. Checking and evaluating are ours. Measured on 0.5.1, its checker accepts
//! `'a' == 1`, rejects `(a + b) > 3` for unknown a and b, and knows no objects but protobuf's; its evaluator copies all
//! of a value that an expression touches, has no place for a meter (28 characters ran 39 s), and panics on
//! `'%.99999f'.format([1.0])` and two more. Of CEL's standard library all is here but integer keys of mappings;
//! comprehensions may be two deep.
//!
//! Start reading at [`Expression::compile`], then `check.rs` and `eval.rs`.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a match over values, types or syntax lists what an operation takes; everything else, also what is yet to come, is refused"
)]

mod check;
mod eval;
mod functions;
mod meter;
mod names;
pub(crate) mod nearest;
mod node;
mod output;
mod parse;
mod scan;
mod scope;
mod template;
mod time;
mod types;
mod value;
mod values;

use std::fmt;
use std::ops::Range;

use serde_json::Value as Json;

pub use meter::Budget;
pub use names::Names;
pub use nearest::did_you_mean;
pub use scope::Scope;
pub use template::{Part, Rendered, Template};
pub use types::{Object, Type};
pub use values::{Values, View};

use eval::{Evaluator, Located, at};
use meter::Fault;
use node::Node;

/// No longer source, in bytes.
pub const SOURCE_BYTES_MAX: usize = 4 * 1024;
/// No more comprehensions inside each other.
pub const LOOPS_MAX: usize = 2;
/// No larger result, in bytes of JSON: the limit of a value.
pub const RESULT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// An evaluation looks at no more bytes of values.
pub const READ_BYTES_MAX: usize = 16 * 1024 * 1024;
/// An evaluation makes no more bytes of new values, those between included.
pub const MADE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// An evaluation takes no more steps: a tenth of a second, while 10,000 items with 50 operations each fit twice.
pub const STEPS_MAX: u64 = 1_000_000;

/// What is wrong with an expression, where in its source, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The part of the source, or of the template's text, in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            span,
            message: message.into(),
            hint: None,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn moved(mut self, by: usize) -> Self {
        self.span = self.span.start + by..self.span.end + by;
        self
    }
}

/// Why an evaluation ended without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The values do not fit: an absent key, a division by zero, a value of another type.
    Failed,
    /// It would cost more than a bound allows.
    Limit,
    /// A value must be fetched first; the message is what [`View::Missing`] said.
    Missing,
}

/// An evaluation that ended without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Why, for programs.
    pub kind: ErrorKind,
    /// Why, for people.
    pub message: String,
    /// The part of the source, or of the template's text, in bytes.
    pub span: Range<usize>,
}

impl Error {
    fn new(fault: Fault, span: Range<usize>) -> Self {
        let (kind, message) = match fault {
            Fault::Failed(message) => (ErrorKind::Failed, message),
            Fault::Limit(message) => (ErrorKind::Limit, format!("the expression {message}")),
            Fault::Missing(what) => (ErrorKind::Missing, what),
        };
        Self {
            kind,
            message,
            span,
        }
    }

    fn moved(mut self, by: usize) -> Self {
        self.span = self.span.start + by..self.span.end + by;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<Located> for Error {
    fn from(located: Located) -> Self {
        Self::new(located.fault, located.span)
    }
}

/// What must come of an expression.
#[derive(Clone, Copy)]
pub(crate) enum Want<'t> {
    Any,
    Type(&'t Type),
    /// A part of a longer text.
    Text,
}

/// An expression that was parsed and checked.
pub struct Expression {
    source: String,
    root: Node,
    ty: Type,
    /// Whole numbers become doubles at the end.
    double: bool,
    names: Names,
}

impl Expression {
    /// Parses and checks a source. With `expected`, a result of another type is a problem ([`Type::fits`]).
    ///
    /// # Errors
    /// All problems, with their places in `source`.
    pub fn compile(
        source: &str,
        scope: &Scope,
        expected: Option<&Type>,
    ) -> Result<Self, Vec<Problem>> {
        Self::compile_for(source, scope, expected.map_or(Want::Any, Want::Type))
    }

    /// The same for the text of an `if`, `until`, `assert` or `for_each`: one whole expression that may leave `${{ }}`
    /// out. Places are in `text`.
    ///
    /// # Errors
    /// All problems; also where there is text beside the expression.
    pub fn whole(text: &str, scope: &Scope, expected: Option<&Type>) -> Result<Self, Vec<Problem>> {
        let (source, start) = template::unwrapped(text).map_err(|problem| vec![problem])?;
        let compiled = Self::compile(source, scope, expected);
        compiled.map_err(|problems| {
            problems
                .into_iter()
                .map(|problem| problem.moved(start))
                .collect()
        })
    }

    /// The same for a condition: it must be true or false.
    ///
    /// # Errors
    /// All problems.
    pub fn condition(text: &str, scope: &Scope) -> Result<Self, Vec<Problem>> {
        Self::whole(text, scope, Some(&Type::Bool))
    }

    pub(crate) fn compile_for(
        source: &str,
        scope: &Scope,
        want: Want<'_>,
    ) -> Result<Self, Vec<Problem>> {
        let tree = parse::parse(source)?;
        let checked = check::check(&tree, scope)?;
        if let Some(problem) = unwanted(&checked.ty, want) {
            return Err(vec![Problem {
                span: tree.span,
                ..problem
            }]);
        }
        Ok(Self {
            source: source.to_owned(),
            root: checked.root,
            ty: checked.ty,
            double: matches!(want, Want::Type(ty) if *ty.solid() == Type::Double),
            names: checked.names,
        })
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The type of its result.
    #[must_use]
    pub fn ty(&self) -> &Type {
        &self.ty
    }

    /// The names that it mentions.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Its value.
    ///
    /// # Errors
    /// Where the values do not fit, a bound is reached, or a value must be fetched first.
    pub fn evaluate(&self, values: &dyn Values) -> Result<Json, Error> {
        let mut evaluator = Evaluator::new(values);
        let mut value = evaluator.value(&self.root)?;
        if self.double {
            value = eval::casts::as_double(value);
        }
        let json = output::to_json(&mut evaluator.meter, &value);
        json.map_err(|fault| at(&self.root, fault).into())
    }

    /// Its value, which must be true or false.
    ///
    /// # Errors
    /// As [`Self::evaluate`], and where it is neither.
    pub fn test(&self, values: &dyn Values) -> Result<bool, Error> {
        Ok(Evaluator::new(values).condition(&self.root)?)
    }

    /// Its value inside a longer text.
    fn evaluate_text(&self, values: &dyn Values) -> Result<String, Error> {
        let mut evaluator = Evaluator::new(values);
        let value = evaluator.value(&self.root)?;
        let text = output::to_text(&mut evaluator.meter, &value);
        text.map_err(|fault| at(&self.root, fault).into())
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?}: {})", self.source, self.ty)
    }
}

/// What is wrong with the type of a result.
fn unwanted(ty: &Type, want: Want<'_>) -> Option<Problem> {
    let problem = |message: String, hint: &str| Some(Problem::new(0..0, message).hint(hint));
    match ty.solid() {
        Type::Optional(_) => {
            return problem(
                "the value may be absent".to_owned(),
                "say what holds then: .orValue(…)",
            );
        }
        Type::Bytes => {
            return problem(
                "bytes cannot leave an expression".to_owned(),
                "use base64.encode(x)",
            );
        }
        Type::Kind => {
            return problem(
                "a type cannot leave an expression".to_owned(),
                "compare it: type(x) == int",
            );
        }
        _ => {}
    }
    match want {
        Want::Any => None,
        Want::Type(expected) if ty.fits(expected) => None,
        Want::Type(expected) => problem(
            format!("this is {ty}, and {expected} is needed"),
            convert_hint(ty.solid(), expected.solid()),
        ),
        Want::Text => match ty.solid() {
            Type::List(_) | Type::Map(_) | Type::Object(_) | Type::Labels => problem(
                format!("{ty} cannot be part of a text"),
                "take what the text should say, as in x.join(', ') or x.name",
            ),
            Type::Null => problem("null cannot be part of a text".to_owned(), "leave it out"),
            _ => None,
        },
    }
}

fn convert_hint(ty: &Type, expected: &Type) -> &'static str {
    match expected {
        Type::Bool => "compare it with something: ==, !=, >, size(x) > 0",
        Type::String => "use string(x)",
        Type::Int => "use int(x)",
        Type::Double if *ty == Type::String => "use double(x)",
        Type::List(_) => "put it into a list: [x]",
        _ => "convert it, or take a part of it",
    }
}

#[cfg(test)]
mod tests;
