//! Names, fields and elements: what an expression reaches, and which paths it mentions.

use cel_core::{Expr, SpannedExpr};

use super::super::Type;
use super::super::nearest::did_you_mean;
use super::super::node::{Index, Kind, Select};
use super::{Checker, Typed, cast_to, node, open};

impl Checker<'_> {
    /// Notes the path that begins here, if one does: `steps.rate.output`, as far as it is known without values.
    pub(super) fn mention(&mut self, tree: &SpannedExpr) {
        let mut path = Vec::new();
        self.path(tree, &mut path);
        self.names.add(path, self.quoted == 0);
    }

    /// True when the whole of `tree` is in the path.
    pub(super) fn path(&self, tree: &SpannedExpr, path: &mut Vec<String>) -> bool {
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

    pub(super) fn member(
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

    pub(super) fn check_inside_path(&mut self, tree: &SpannedExpr) -> Typed {
        match tree.node {
            Expr::Ident(_) | Expr::RootIdent(_) | Expr::Member { .. } | Expr::Index { .. } => {
                self.check_inside(tree)
            }
            _ => self.check(tree),
        }
    }

    /// The type of a field; a problem where there can be none.
    pub(super) fn field(&mut self, tree: &SpannedExpr, of: &Type, field: &str) -> Type {
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

    pub(super) fn index(
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
}
