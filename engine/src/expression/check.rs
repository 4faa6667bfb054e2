//! The type check: from the parser's tree and a scope to the tree that is evaluated, with all problems at once.
//!
//! It is our own, because the parser library's accepts `'a' == 1`, rejects `(a + b) > 3` where a and b are unknown, and
//! knows no objects but protobuf's.

mod calls;
mod macros;
mod operators;
mod paths;

use cel_core::{Expr, ListElement, MapEntry, SpannedExpr};

use super::nearest::did_you_mean;
use super::node::{Cast, Kind, Node};
use super::value::Value;
use super::{Names, Problem, Scope, Type};

/// No deeper tree: the check and the evaluation recurse.
const DEPTH_MAX: usize = 128;
/// The names of types, for `type(x) == int`.
const KINDS: [&str; 12] = [
    "bool",
    "bytes",
    "double",
    "duration",
    "int",
    "list",
    "map",
    "null_type",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// A checked tree and what was learnt of it.
pub(super) struct Checked {
    pub(super) root: Node,
    pub(super) ty: Type,
    pub(super) names: Names,
}

/// Checks a tree.
pub(super) fn check(tree: &SpannedExpr, scope: &Scope) -> Result<Checked, Vec<Problem>> {
    let mut checker = Checker {
        scope,
        locals: Vec::new(),
        names: Names::default(),
        problems: Vec::new(),
        depth: 0,
        loops: 0,
        quoted: 0,
    };
    let (root, ty) = checker.check(tree);
    if checker.problems.is_empty() {
        let names = checker.names;
        Ok(Checked { root, ty, names })
    } else {
        Err(checker.problems)
    }
}

type Typed = (Node, Type);

struct Checker<'s> {
    scope: &'s Scope,
    /// The variables of the comprehensions that are open, outermost first.
    locals: Vec<(String, Type)>,
    names: Names,
    problems: Vec<Problem>,
    depth: usize,
    /// Comprehensions around here.
    loops: usize,
    /// `strings.quote` around here.
    quoted: usize,
}

impl Checker<'_> {
    /// After a problem the type is unknown, so that it is not reported once more for everything around it.
    fn check(&mut self, tree: &SpannedExpr) -> Typed {
        self.mention(tree);
        self.check_inside(tree)
    }

    /// The same for the beginning of a path, which the whole path mentions already.
    fn check_inside(&mut self, tree: &SpannedExpr) -> Typed {
        if self.depth >= DEPTH_MAX {
            let message = format!("nested more than {DEPTH_MAX} deep");
            return self.refuse(
                tree,
                Problem::new(tree.span.clone(), message).hint("use several steps or vars"),
            );
        }
        self.depth += 1;
        let typed = self.dispatch(tree);
        self.depth -= 1;
        typed
    }

    fn dispatch(&mut self, tree: &SpannedExpr) -> Typed {
        let constant = |value: Value<'static>, ty: Type| (node(tree, Kind::Constant(value)), ty);
        match &tree.node {
            Expr::Null => constant(Value::Null, Type::Null),
            Expr::Bool(value) => constant(Value::Bool(*value), Type::Bool),
            Expr::Int(value) => constant(Value::Int(*value), Type::Int),
            Expr::UInt(value) => constant(Value::Uint(*value), Type::Uint),
            Expr::Float(value) => constant(Value::Double(*value), Type::Double),
            Expr::String(text) => constant(Value::text(text.as_str()), Type::String),
            Expr::Bytes(bytes) => constant(Value::Bytes(bytes.as_slice().into()), Type::Bytes),
            Expr::Ident(name) => self.ident(tree, name),
            Expr::RootIdent(name) => self.root(tree, name),
            Expr::List(items) => self.list(tree, items),
            Expr::Map(entries) => self.map(tree, entries),
            Expr::Unary { op, expr } => self.unary(tree, *op, expr),
            Expr::Binary { op, left, right } => self.binary(tree, *op, left, right),
            Expr::Ternary {
                cond,
                then_expr,
                else_expr,
            } => self.conditional(tree, [cond, then_expr, else_expr]),
            Expr::Member {
                expr,
                field,
                optional,
            } => self.member(tree, expr, field, *optional),
            Expr::Index {
                expr,
                index,
                optional,
            } => self.index(tree, expr, index, *optional),
            Expr::Call { expr, args } => self.call(tree, expr, args),
            Expr::Struct { .. } => self.refused(
                tree,
                "messages cannot be made here",
                "make a mapping: {'key': value}",
            ),
            Expr::Comprehension(_)
            | Expr::MemberTestOnly { .. }
            | Expr::Bind { .. }
            | Expr::Error => {
                self.refused(tree, "this cannot stand in an expression", "leave it out")
            }
        }
    }

    fn ident(&mut self, tree: &SpannedExpr, name: &str) -> Typed {
        if let Some((slot, ty)) = self.local(name) {
            let kind = Kind::Local(slot, cast_to(&ty));
            return (node(tree, kind), ty);
        }
        self.root(tree, name)
    }

    /// The innermost variable of that name.
    fn local(&self, name: &str) -> Option<(usize, Type)> {
        let slot = self.locals.iter().rposition(|(local, _)| local == name)?;
        Some((slot, self.locals[slot].1.clone()))
    }

    fn root(&mut self, tree: &SpannedExpr, name: &str) -> Typed {
        if let Some(ty) = self.scope.get(name) {
            let kind = Kind::Root(name.to_owned(), cast_to(ty));
            return (node(tree, kind), ty.clone());
        }
        if let Some(kind) = KINDS.iter().find(|kind| **kind == name) {
            return (node(tree, Kind::Constant(Value::Kind(kind))), Type::Kind);
        }
        let problem = self.unknown_name(tree, name);
        self.refuse(tree, problem)
    }

    fn unknown_name(&self, tree: &SpannedExpr, name: &str) -> Problem {
        if name == "secrets" {
            return Problem::new(
                tree.span.clone(),
                "`secrets` cannot be computed with: an expression never sees a secret",
            )
            .hint("write exactly ${{ secrets.NAME }}, alone or inside a longer text, and only in `with`");
        }
        let problem = Problem::new(tree.span.clone(), format!("unknown name `{name}`"));
        let owner = self.scope.names().find_map(|(root, ty)| match ty.solid() {
            Type::Object(object) if object.fields.contains_key(name) => Some(root),
            _ => None,
        });
        if let Some(root) = owner {
            return problem.hint(format!("did you mean `{root}.{name}`?"));
        }
        let locals = self.locals.iter().map(|(name, _)| name.as_str());
        let known: Vec<&str> = self
            .scope
            .names()
            .map(|(name, _)| name)
            .chain(locals)
            .collect();
        let in_scope = format!("in scope are {}", known.join(", "));
        problem.hint(did_you_mean(name, known.iter().copied()).unwrap_or(in_scope))
    }

    fn list(&mut self, tree: &SpannedExpr, items: &[ListElement]) -> Typed {
        let mut element: Option<Option<Type>> = None;
        let mut nodes = Vec::with_capacity(items.len());
        for item in items {
            let (node, ty) = self.check(&item.expr);
            let ty = if item.optional { present(&ty) } else { ty };
            element = Some(match element {
                None => Some(ty),
                Some(before) => before.and_then(|before| before.join(&ty)),
            });
            nodes.push((node, item.optional));
        }
        let element = element.flatten().unwrap_or_default();
        (node(tree, Kind::List(nodes)), Type::list(element).bounded())
    }

    fn map(&mut self, tree: &SpannedExpr, entries: &[MapEntry]) -> Typed {
        let mut nodes = Vec::with_capacity(entries.len());
        let mut fields = Some(std::collections::BTreeMap::new());
        for entry in entries {
            let (key, key_type) = self.check(&entry.key);
            if !key_type.fits(&Type::String) {
                self.problem(
                    &entry.key,
                    format!("a key is text, not {key_type}"),
                    "use string(x)",
                );
            }
            let (value, value_type) = self.check(&entry.value);
            let fixed = matches!(&entry.key.node, Expr::String(_)) && !entry.optional;
            match (&entry.key.node, &mut fields) {
                (Expr::String(name), Some(fields)) if fixed => {
                    _ = fields.insert(name.clone(), value_type)
                }
                _ => fields = None,
            }
            nodes.push((key, value, entry.optional));
        }
        let ty = match fields {
            Some(fields) if !fields.is_empty() => Type::object(fields),
            _ => Type::map(Type::Dyn),
        };
        (node(tree, Kind::Map(nodes)), ty.bounded())
    }

    fn problem(&mut self, tree: &SpannedExpr, message: String, hint: &str) {
        self.problems
            .push(Problem::new(tree.span.clone(), message).hint(hint));
    }

    fn refused(&mut self, tree: &SpannedExpr, message: &str, hint: &str) -> Typed {
        self.refuse(tree, Problem::new(tree.span.clone(), message).hint(hint))
    }

    fn refuse(&mut self, tree: &SpannedExpr, problem: Problem) -> Typed {
        self.problems.push(problem);
        (node(tree, Kind::Constant(Value::Null)), Type::Dyn)
    }
}

fn node(tree: &SpannedExpr, kind: Kind) -> Node {
    Node {
        kind,
        span: tree.span.clone(),
    }
}

/// The type inside an optional, without "or null", and whether it was optional.
fn open(ty: &Type) -> (Type, bool) {
    match ty.solid() {
        Type::Optional(inner) => (inner.solid().clone(), true),
        solid => (solid.clone(), false),
    }
}

fn present(ty: &Type) -> Type {
    match ty {
        Type::Optional(inner) => (**inner).clone(),
        other => other.clone(),
    }
}

fn cast_to(ty: &Type) -> Cast {
    match ty.solid() {
        Type::Double => Cast::Double,
        Type::Duration => Cast::Duration,
        Type::Timestamp => Cast::Timestamp,
        Type::List(element) => match element.solid() {
            Type::Duration => Cast::Durations,
            Type::Timestamp => Cast::Timestamps,
            _ => Cast::None,
        },
        _ => Cast::None,
    }
}

fn mixing_hint(a: &Type, b: &Type) -> Option<&'static str> {
    let (a, b) = (a.solid(), b.solid());
    if a.is_number() && b.is_number() && (*a == Type::Double || *b == Type::Double) {
        return Some("int and double do not mix: use double(x), or write 1.0");
    }
    match (a, b) {
        (Type::Duration, Type::String) | (Type::String, Type::Duration) => {
            Some("write duration('1h30m')")
        }
        (Type::Timestamp, Type::String) | (Type::String, Type::Timestamp) => {
            Some("write timestamp('2026-01-31T08:00:00Z')")
        }
        (Type::Optional(_), _) | (_, Type::Optional(_)) => {
            Some("say what holds when it is absent: .orValue(…)")
        }
        (Type::String, _) | (_, Type::String) => Some("use string(x), or int(x) of the text"),
        _ => None,
    }
}
