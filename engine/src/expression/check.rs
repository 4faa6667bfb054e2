//! The type check: from the parser's tree and a scope to the tree that is evaluated, with all problems at once.
//!
//! It is our own, because the parser library's accepts `'a' == 1`, rejects `(a + b) > 3` where a and b are unknown, and
//! knows no objects but protobuf's.

mod calls;
mod macros;

use cel_core::{BinaryOp, Expr, ListElement, MapEntry, SpannedExpr, UnaryOp};

use super::nearest::did_you_mean;
use super::node::{Cast, Comparison, Index, Kind, Node, Select};
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

    /// Notes the path that begins here, if one does: `steps.rate.output`, as far as it is known without values.
    fn mention(&mut self, tree: &SpannedExpr) {
        let mut path = Vec::new();
        self.path(tree, &mut path);
        self.names.add(path, self.quoted == 0);
    }

    /// True when the whole of `tree` is in the path.
    fn path(&self, tree: &SpannedExpr, path: &mut Vec<String>) -> bool {
        let (of, field) = match &tree.node {
            Expr::Ident(name) if self.local(name).is_some() => return false,
            Expr::Ident(name) | Expr::RootIdent(name) => {
                if self.scope.get(name).is_none() {
                    return false;
                }
                path.push(name.clone());
                return true;
            }
            Expr::Member { expr, field, .. } => (expr, Some(field)),
            Expr::Index { expr, index, .. } => match &index.node {
                Expr::String(field) => (expr, Some(field)),
                _ => (expr, None),
            },
            _ => return false,
        };
        let whole = self.path(of, path);
        if let Some(field) = field.filter(|_| whole) {
            path.push(field.clone());
            return true;
        }
        false
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
        (node(tree, Kind::List(nodes)), Type::list(element))
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
        (node(tree, Kind::Map(nodes)), ty)
    }

    fn unary(&mut self, tree: &SpannedExpr, op: UnaryOp, of: &SpannedExpr) -> Typed {
        match op {
            UnaryOp::Not => {
                let of = self.condition(of);
                (node(tree, Kind::Not(Box::new(of))), Type::Bool)
            }
            UnaryOp::Neg => {
                let arg = self.check(of);
                self.resolve(tree, "-", false, vec![arg])
            }
        }
    }

    /// What must be true or false.
    fn condition(&mut self, tree: &SpannedExpr) -> Node {
        let (node, ty) = self.check(tree);
        if !ty.fits(&Type::Bool) {
            let hint = match ty.solid() {
                Type::Optional(_) => "end it with .orValue(false)",
                _ => "compare it with something: ==, !=, >, size(x) > 0",
            };
            self.problem(
                tree,
                format!("true or false is needed, and this is {ty}"),
                hint,
            );
        }
        node
    }

    fn binary(
        &mut self,
        tree: &SpannedExpr,
        op: BinaryOp,
        left: &SpannedExpr,
        right: &SpannedExpr,
    ) -> Typed {
        let arithmetic = |checker: &mut Self, name| {
            let args = vec![checker.check(left), checker.check(right)];
            checker.resolve(tree, name, false, args)
        };
        match op {
            BinaryOp::Add => arithmetic(self, "+"),
            BinaryOp::Sub => arithmetic(self, "-"),
            BinaryOp::Mul => arithmetic(self, "*"),
            BinaryOp::Div => arithmetic(self, "/"),
            BinaryOp::Mod => arithmetic(self, "%"),
            BinaryOp::Eq => self.equality(tree, left, right, false),
            BinaryOp::Ne => self.equality(tree, left, right, true),
            BinaryOp::Lt => self.ordering(tree, left, right, Comparison::Less),
            BinaryOp::Le => self.ordering(tree, left, right, Comparison::LessOrEqual),
            BinaryOp::Gt => self.ordering(tree, left, right, Comparison::Greater),
            BinaryOp::Ge => self.ordering(tree, left, right, Comparison::GreaterOrEqual),
            BinaryOp::In => self.membership(tree, left, right),
            BinaryOp::And => {
                let pair = (
                    Box::new(self.condition(left)),
                    Box::new(self.condition(right)),
                );
                (node(tree, Kind::And(pair.0, pair.1)), Type::Bool)
            }
            BinaryOp::Or => {
                let pair = (
                    Box::new(self.condition(left)),
                    Box::new(self.condition(right)),
                );
                (node(tree, Kind::Or(pair.0, pair.1)), Type::Bool)
            }
        }
    }

    fn equality(
        &mut self,
        tree: &SpannedExpr,
        left: &SpannedExpr,
        right: &SpannedExpr,
        unequal: bool,
    ) -> Typed {
        let ((left, a), (right, b)) = (self.check(left), self.check(right));
        if !a.comparable(&b) {
            self.cannot_compare(tree, &a, &b);
        }
        (
            node(tree, Kind::Equal(Box::new([left, right]), unequal)),
            Type::Bool,
        )
    }

    fn ordering(
        &mut self,
        tree: &SpannedExpr,
        left: &SpannedExpr,
        right: &SpannedExpr,
        comparison: Comparison,
    ) -> Typed {
        let ((left, a), (right, b)) = (self.check(left), self.check(right));
        let ordered = |ty: &Type| {
            matches!(
                ty.solid(),
                Type::Dyn
                    | Type::Bool
                    | Type::String
                    | Type::Bytes
                    | Type::Duration
                    | Type::Timestamp
            ) || ty.solid().is_number()
        };
        if !(ordered(&a) && ordered(&b) && a.comparable(&b)) {
            self.cannot_compare(tree, &a, &b);
        }
        let kind = Kind::Compare(Box::new([left, right]), comparison);
        (node(tree, kind), Type::Bool)
    }

    fn cannot_compare(&mut self, tree: &SpannedExpr, a: &Type, b: &Type) {
        let message = format!("{a} and {b} cannot be compared");
        self.problem(
            tree,
            message,
            mixing_hint(a, b).unwrap_or("convert one of them, as in int(x) or string(x)"),
        );
    }

    fn membership(&mut self, tree: &SpannedExpr, left: &SpannedExpr, right: &SpannedExpr) -> Typed {
        let ((left, what), (right, within)) = (self.check(left), self.check(right));
        let fits = match within.solid() {
            Type::Dyn => true,
            Type::List(element) => what.comparable(element),
            ty if ty.is_mapping() => what.comparable(&Type::String),
            _ => false,
        };
        if !fits {
            let hint = match within.solid() {
                Type::String => "for text inside text: x.contains(y)",
                _ => "in takes an element and a list, or a key and a mapping",
            };
            self.problem(tree, format!("{what} cannot be in {within}"), hint);
        }
        (node(tree, Kind::In(Box::new([left, right]))), Type::Bool)
    }

    fn conditional(&mut self, tree: &SpannedExpr, parts: [&SpannedExpr; 3]) -> Typed {
        let condition = self.condition(parts[0]);
        let ((yes, a), (no, b)) = (self.check(parts[1]), self.check(parts[2]));
        let ty = a.join(&b).unwrap_or_default();
        (node(tree, Kind::If(Box::new([condition, yes, no]))), ty)
    }

    fn member(
        &mut self,
        tree: &SpannedExpr,
        of: &SpannedExpr,
        field: &str,
        optional: bool,
    ) -> Typed {
        let (of, of_type) = self.check_inside_path(of);
        let (inner, was_optional) = open(&of_type);
        let found = self.field(tree, &inner, field);
        let select = Select {
            of,
            field: field.to_owned(),
            optional,
            labels: inner == Type::Labels,
            cast: cast_to(&found),
        };
        let ty = if optional || was_optional {
            Type::optional(found)
        } else {
            found
        };
        (node(tree, Kind::Select(Box::new(select))), ty)
    }

    fn check_inside_path(&mut self, tree: &SpannedExpr) -> Typed {
        match tree.node {
            Expr::Ident(_) | Expr::RootIdent(_) | Expr::Member { .. } | Expr::Index { .. } => {
                self.check_inside(tree)
            }
            _ => self.check(tree),
        }
    }

    /// The type of a field; a problem where there can be none.
    fn field(&mut self, tree: &SpannedExpr, of: &Type, field: &str) -> Type {
        match of {
            Type::Dyn => Type::Dyn,
            Type::Object(object) => match (object.fields.get(field), &object.rest) {
                (Some(ty), _) | (None, Some(ty)) => ty.clone(),
                (None, None) => {
                    let message = format!("there is no field `{field}`");
                    let known: Vec<&str> = object.fields.keys().map(String::as_str).collect();
                    let fields = format!("there are {}", known.join(", "));
                    let hint = did_you_mean(field, known.iter().copied()).unwrap_or(fields);
                    self.problem(tree, message, &hint);
                    Type::Dyn
                }
            },
            of if of.is_mapping() => of.value_type(),
            other => {
                let hint = match other {
                    Type::List(_) => {
                        "take an element first, as in x[0], or go through them: x.map(y, …)"
                    }
                    _ => "only mappings have fields",
                };
                self.problem(tree, format!("{other} has no field `{field}`"), hint);
                Type::Dyn
            }
        }
    }

    fn index(
        &mut self,
        tree: &SpannedExpr,
        of: &SpannedExpr,
        by: &SpannedExpr,
        optional: bool,
    ) -> Typed {
        if let Expr::String(field) = &by.node {
            return self.member(tree, of, field, optional);
        }
        let (of, of_type) = self.check_inside_path(of);
        let (index, by_type) = self.check(by);
        let (inner, was_optional) = open(&of_type);
        let (found, fits) = match &inner {
            Type::Dyn => (Type::Dyn, true),
            Type::List(element) => (
                (**element).clone(),
                matches!(by_type.solid(), Type::Int | Type::Uint | Type::Dyn),
            ),
            ty if ty.is_mapping() => (ty.value_type(), by_type.fits(&Type::String)),
            _ => (Type::Dyn, false),
        };
        if !fits {
            let hint = "a list is indexed by int, a mapping by text";
            self.problem(
                tree,
                format!("{inner} cannot be indexed by {by_type}"),
                hint,
            );
        }
        let access = Index {
            of,
            index,
            optional,
            labels: inner == Type::Labels,
            cast: cast_to(&found),
        };
        let ty = if optional || was_optional {
            Type::optional(found)
        } else {
            found
        };
        (node(tree, Kind::Index(Box::new(access))), ty)
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
