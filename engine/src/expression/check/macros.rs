//! What looks like a call and is none: `has`, the comprehensions, `optMap`. Their arguments are not values but names
//! and expressions over them.

use cel_core::{Expr, SpannedExpr};

use super::super::node::{Kind, Loop, LoopKind, Node};
use super::super::{LOOPS_MAX, Type};
use super::{Checker, Typed, node, open};

/// The names, for hints.
pub(super) const NAMES: [&str; 13] = [
    "has",
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "filter",
    "map",
    "transformList",
    "transformMap",
    "sortBy",
    "optMap",
    "optFlatMap",
    "matches",
];

impl Checker<'_> {
    /// `has(x.y)`
    pub(super) fn has(&mut self, tree: &SpannedExpr, args: &[SpannedExpr]) -> Typed {
        let [arg] = args else {
            return self.refused(tree, "`has` takes one argument", "write has(x.y)");
        };
        let (of, field) = match &arg.node {
            Expr::Member {
                expr,
                field,
                optional: false,
            } => (expr, field),
            Expr::Index { expr, index, .. } => match &index.node {
                Expr::String(field) => (expr, field),
                _ => return self.refused(arg, "`has` takes a path", "write has(x.y), or y in x"),
            },
            _ => return self.refused(arg, "`has` takes a path", "write has(x.y)"),
        };
        self.mention(arg);
        let (of, ty) = self.check_inside_path(of);
        let (inner, _) = open(&ty);
        self.field(arg, &inner, field);
        (
            node(tree, Kind::Has(Box::new(of), field.clone())),
            Type::Bool,
        )
    }

    /// The comprehension that `of.name(args)` is, if it is one.
    pub(super) fn comprehension(
        &mut self,
        tree: &SpannedExpr,
        of: &SpannedExpr,
        name: &str,
        args: &[SpannedExpr],
    ) -> Option<Typed> {
        let shape = match (name, args) {
            ("all", [x, p]) => Shape::new(LoopKind::All, [Some(x), None], p),
            ("all", [x, y, p]) => Shape::new(LoopKind::All, [Some(x), Some(y)], p),
            ("exists", [x, p]) => Shape::new(LoopKind::Exists, [Some(x), None], p),
            ("exists", [x, y, p]) => Shape::new(LoopKind::Exists, [Some(x), Some(y)], p),
            ("exists_one" | "existsOne", [x, p]) => {
                Shape::new(LoopKind::ExistsOne, [Some(x), None], p)
            }
            ("exists_one" | "existsOne", [x, y, p]) => {
                Shape::new(LoopKind::ExistsOne, [Some(x), Some(y)], p)
            }
            ("filter", [x, p]) => Shape::new(LoopKind::Filter, [Some(x), None], p),
            ("map", [x, t]) => Shape::new(LoopKind::List, [Some(x), None], t),
            ("map", [x, p, t]) => Shape::new(LoopKind::List, [Some(x), None], t).only(p),
            ("transformList", [x, y, t]) => Shape::new(LoopKind::List, [Some(x), Some(y)], t),
            ("transformList", [x, y, p, t]) => {
                Shape::new(LoopKind::List, [Some(x), Some(y)], t).only(p)
            }
            ("transformMap", [x, y, t]) => Shape::new(LoopKind::Map, [Some(x), Some(y)], t),
            ("transformMap", [x, y, p, t]) => {
                Shape::new(LoopKind::Map, [Some(x), Some(y)], t).only(p)
            }
            ("sortBy", [x, k]) => Shape::new(LoopKind::SortBy, [Some(x), None], k),
            ("optMap", [x, t]) => return Some(self.with_optional(tree, of, (x, t), false)),
            ("optFlatMap", [x, t]) => return Some(self.with_optional(tree, of, (x, t), true)),
            _ => return None,
        };
        Some(self.looped(tree, of, &shape))
    }

    fn looped(&mut self, tree: &SpannedExpr, of: &SpannedExpr, shape: &Shape<'_>) -> Typed {
        let (range, range_type) = self.check(of);
        let two = shape.variables[1].is_some();
        let Some((first, second)) = self.variables(of, &range_type, two) else {
            return (range, Type::Dyn);
        };
        if self.loops >= LOOPS_MAX {
            let message = format!("more than {LOOPS_MAX} comprehensions inside each other");
            return self.refused(tree, &message, "use several steps or vars");
        }
        let planted = crate::planted!("fuzz_expression");
        let asks = matches!(shape.kind, LoopKind::Exists | LoopKind::ExistsOne);
        let is_odd = asks && !matches!(first, Type::Dyn | Type::String | Type::Int);
        assert!(!(planted && is_odd), "planted: expression");
        let depth = self.locals.len();
        for (variable, ty) in shape.variables.iter().flatten().zip([&first, &second]) {
            self.bind(variable, ty.clone());
        }
        self.loops += 1;
        let filter = shape.filter.map(|filter| self.condition(filter));
        let (body, result) = self.body(shape, &first);
        self.loops -= 1;
        self.locals.truncate(depth);
        let looped = Loop {
            kind: shape.kind,
            range,
            two,
            filter,
            body,
        };
        (node(tree, Kind::Loop(Box::new(looped))), result)
    }

    fn body(&mut self, shape: &Shape<'_>, first: &Type) -> Typed {
        match shape.kind {
            LoopKind::All | LoopKind::Exists | LoopKind::ExistsOne => {
                (self.condition(shape.body), Type::Bool)
            }
            LoopKind::Filter => (self.condition(shape.body), Type::list(first.clone())),
            LoopKind::List => {
                let (body, ty) = self.check(shape.body);
                (body, Type::list(ty).bounded())
            }
            LoopKind::Map => {
                let (body, ty) = self.check(shape.body);
                (body, Type::map(ty).bounded())
            }
            LoopKind::SortBy => {
                let (body, _) = self.check(shape.body);
                (body, Type::list(first.clone()))
            }
        }
    }

    /// The types of the variables of a loop over `range`; `None` and a problem if it has no elements.
    fn variables(&mut self, of: &SpannedExpr, range: &Type, two: bool) -> Option<(Type, Type)> {
        Some(match range.solid() {
            Type::Dyn => (Type::Dyn, Type::Dyn),
            Type::List(element) if two => (Type::Int, (**element).clone()),
            Type::List(element) => ((**element).clone(), Type::Dyn),
            ty if ty.is_mapping() => (Type::String, ty.value_type()),
            other => {
                let hint = match other {
                    Type::Optional(_) => "say what holds when it is absent: .orValue([])",
                    _ => "only lists and mappings have elements",
                };
                self.problem(of, format!("{other} has no elements to go through"), hint);
                return None;
            }
        })
    }

    fn bind(&mut self, variable: &SpannedExpr, ty: Type) {
        let name = match &variable.node {
            Expr::Ident(name) => name.clone(),
            _ => {
                self.problem(
                    variable,
                    "a variable is needed here".to_owned(),
                    "write x.map(y, …) with a new name y",
                );
                String::new()
            }
        };
        if self.scope.get(&name).is_some() {
            let message = format!("`{name}` is in scope already");
            self.problem(variable, message, "choose another name for the variable");
        }
        self.locals.push((name, ty));
    }

    fn with_optional(
        &mut self,
        tree: &SpannedExpr,
        of: &SpannedExpr,
        (variable, body): (&SpannedExpr, &SpannedExpr),
        flat: bool,
    ) -> Typed {
        let (value, ty) = self.check(of);
        let inner = match ty.solid() {
            Type::Optional(inner) => (**inner).clone(),
            Type::Dyn => Type::Dyn,
            other => {
                self.problem(
                    of,
                    format!("{other} is never absent"),
                    "write x.?y.optMap(z, …)",
                );
                Type::Dyn
            }
        };
        self.bind(variable, inner);
        let (body, made) = self.check(body);
        self.locals.pop();
        let pair: Box<[Node; 2]> = Box::new([value, body]);
        let ty = if flat && made == Type::Dyn {
            Type::Dyn
        } else {
            Type::optional(made)
        };
        (node(tree, Kind::WithOptional(pair, flat)), ty)
    }
}

/// A comprehension as it is written.
struct Shape<'e> {
    kind: LoopKind,
    variables: [Option<&'e SpannedExpr>; 2],
    filter: Option<&'e SpannedExpr>,
    body: &'e SpannedExpr,
}

impl<'e> Shape<'e> {
    fn new(kind: LoopKind, variables: [Option<&'e SpannedExpr>; 2], body: &'e SpannedExpr) -> Self {
        Self {
            kind,
            variables,
            filter: None,
            body,
        }
    }

    fn only(self, filter: &'e SpannedExpr) -> Self {
        Self {
            filter: Some(filter),
            ..self
        }
    }
}
